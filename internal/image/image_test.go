package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"
	"gourd/internal/snapshot/overlay"
)

// newStore opens a store and a real driver below a directory of the test's.
func newStore(t *testing.T) (*Store, driver.Driver) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("unpacking layers needs root")
	}
	root := t.TempDir()
	d, err := overlay.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

// tarOf makes an archive of files: name, content, name, content …
func tarOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func importImage(t *testing.T, s *Store, d LayerSink, ref string, files ...string) layer.Digest {
	t.Helper()
	l, err := s.Import(t.Context(), bytes.NewReader(tarOf(t, files...)), ImportOptions{Ref: ref}, d)
	if err != nil {
		t.Fatal(err)
	}
	return l.ID
}

func checkClean(t *testing.T, s *Store, d LayerSink) {
	t.Helper()
	problems, err := s.Check(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("check: %s", p)
	}
}

func TestImportSaveRemoveLoad(t *testing.T) {
	s, d := newStore(t)
	o := ImportOptions{Ref: "foo:1", Changes: []string{`CMD ["/bin/sh"]`, "ENV A=b"}, Message: "by hand"}
	l, err := s.Import(t.Context(), bytes.NewReader(tarOf(t, "etc/x", "hello")), o, d)
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Resolve("foo:1")
	if err != nil {
		t.Fatal(err)
	}
	if img.ID != l.ID || img.Config.Config.Cmd[0] != "/bin/sh" || img.Config.Config.Env[0] != "A=b" || img.Config.History[0].Comment != "by hand" || img.Size != 5 {
		t.Errorf("image is %+v with %+v", img.Summary, img.Config)
	}
	var saved bytes.Buffer
	if err := s.Save(t.Context(), &saved, []string{"foo"}); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Remove("foo:1", RemoveOptions{}, d)
	if err != nil {
		t.Fatal(err)
	}
	want := []Removed{{Untagged: "foo:1"}, {Deleted: l.ID}, {Deleted: img.DiffIDs[0]}}
	if len(removed) != 3 || removed[0] != want[0] || removed[1] != want[1] || removed[2] != want[2] {
		t.Errorf("removed %v, want %v", removed, want)
	}
	if d.Has(img.DiffIDs[0]) {
		t.Error("the layer is still there")
	}
	checkClean(t, s, d)
	loaded, err := s.Load(t.Context(), &saved, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) != 1 || loaded[0].ID != l.ID || loaded[0].Names[0] != "foo:1" {
		t.Errorf("loaded %+v", loaded)
	}
	again, err := s.Resolve(l.ID.Short())
	if err != nil {
		t.Fatal(err)
	}
	if again.Manifest.Digest != img.Manifest.Digest {
		t.Errorf("the manifest's digest changed from %s to %s", img.Manifest.Digest, again.Manifest.Digest)
	}
	checkClean(t, s, d)
}

func TestLoadNothing(t *testing.T) {
	s, d := newStore(t)
	for name, data := range map[string][]byte{"empty": nil, "rootfs": tarOf(t, "etc/passwd", "x"), "text": []byte(strings.Repeat("hello ", 500))} {
		if _, err := s.Load(context.Background(), bytes.NewReader(data), d, nil); !errors.Is(err, container.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkClean(t, s, d)
}

func must(t *testing.T, s *Store, id layer.Digest) *Image {
	t.Helper()
	img, err := s.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func reader(b []byte) *bytes.Reader { return bytes.NewReader(b) }
