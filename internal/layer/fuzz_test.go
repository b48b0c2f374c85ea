package layer

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"gourd/internal/container"
)

func TestParseDigest(t *testing.T) {
	good := DigestOf([]byte("x"))
	if d, err := ParseDigest(string(good)); err != nil || d != good || len(d.Hex()) != 64 || d.Short() != d.Hex()[:12] {
		t.Errorf("%v, %v", d, err)
	}
	for s, kind := range map[string]error{
		"": container.ErrInvalid, "sha256:": container.ErrInvalid, "sha256:abc": container.ErrInvalid, string(good) + "0": container.ErrInvalid,
		"sha256:" + string(good)[7:70] + "G": container.ErrInvalid, "sha256:" + string(good)[7:70] + "A": container.ErrInvalid,
		"sha512:" + string(good)[7:]: container.ErrUnsupported, "sha256:../../../etc": container.ErrInvalid, "../x:aa": container.ErrUnsupported,
	} {
		if _, err := ParseDigest(s); !errors.Is(err, kind) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// FuzzReader: whatever the bytes, the reader ends, and what it yields is safe to act on. What it yields is also
// extracted, beside a canary.
func FuzzReader(f *testing.F) {
	for _, headers := range [][]byte{
		archiveOf(f, dirHeader("d"), reg("d/f", 600), link("h", "d/f"), symlink("s", "../x")),
		archiveOf(f, reg(".wh.a", 0), reg("a/.wh..wh..opq", 0), reg("../x", 1)),
		archiveOf(f, symlink("l", "/"), reg("l/etc/x", 3), link("y", "l/etc/x"), dirHeader("l")),
	} {
		f.Add(headers)
	}
	seeds, _ := filepath.Glob(filepath.Join("testdata", "*.tar"))
	for _, s := range seeds {
		if b, err := os.ReadFile(s); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data))
		var total int64
		for {
			e, err := r.Next()
			if err != nil {
				if err != io.EOF && !errors.Is(err, container.ErrCorrupt) {
					t.Fatalf("error is %v", err)
				}
				break
			}
			checkEntry(t, e)
			total += e.Size
		}
		if total < 1<<20 && os.Getuid() == 0 {
			extract(t, data, ExtractOptions{})
			extract(t, data, ExtractOptions{Mode: Apply})
		}
	})
}

func checkEntry(t *testing.T, e *Entry) {
	for _, name := range []string{e.Name, e.Link} {
		if name == e.Link && e.Kind != HardLink {
			continue
		}
		if clean, err := cleanPath(name); err != nil || clean != name || filepath.IsAbs(name) {
			t.Errorf("%s has the name %q", e.Kind, name)
		}
	}
	if e.UID > maxID || e.GID > maxID || e.Mode&^0o7777 != 0 || e.Size < 0 || e.Kind == Char && e.Major == 0 && e.Minor == 0 {
		t.Errorf("entry is %+v", e)
	}
	for k := range e.Xattrs {
		if !keepXattr(k) {
			t.Errorf("attribute %q was let through", k)
		}
	}
}
