package compression

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"testing"

	"gourd/internal/container"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compressors are the usual tools; xz and the others must be what users have, not what our libraries write.
var compressors = map[Format]string{Plain: "cat", Gzip: "gzip -c", Zstd: "zstd -q -c", Bzip2: "bzip2 -c", XZ: "xz -c"}

func compressed(t *testing.T, f Format, data []byte) []byte {
	t.Helper()
	c := exec.Command("sh", "-c", compressors[f])
	c.Stdin = bytes.NewReader(data)
	out, err := c.Output()
	if err != nil {
		t.Skipf("%s: %v", compressors[f], err)
	}
	return out
}

func TestDecompress(t *testing.T) {
	text := bytes.Repeat([]byte("all work and no play\n"), 20000)
	for format := range compressors {
		t.Run("format "+string(format), func(t *testing.T) {
			data := compressed(t, format, text)
			d, err := Decompress(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			got, err := io.ReadAll(d)
			if err != nil || !bytes.Equal(got, text) || d.Format != format || d.Size() != int64(len(text)) {
				t.Fatalf("%d bytes as %q, %v", len(got), d.Format, err)
			}
			if format == Plain {
				return
			}
			for _, n := range []int{7, len(data) / 2, len(data) - 1} {
				if err := readAll(data[:n]); !errors.Is(err, container.ErrCorrupt) {
					t.Errorf("cut at %d of %d: %v", n, len(data), err)
				}
			}
			flipped := bytes.Clone(data)
			flipped[len(flipped)/2] ^= 0x55
			if err := readAll(flipped); !errors.Is(err, container.ErrCorrupt) {
				t.Errorf("with wrong bits: %v", err)
			}
		})
	}
}

func readAll(data []byte) error {
	d, err := Decompress(bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = io.Copy(io.Discard, d)
	return err
}

// TestMembers: gzip and zstd streams may be several in a row, also with zstd's skippable frames first.
func TestMembers(t *testing.T) {
	var g, z bytes.Buffer
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}
	z.Write(skippable)
	for _, part := range []string{"one ", "two"} {
		gw := gzip.NewWriter(&g)
		io.WriteString(gw, part)
		gw.Close()
		zw, err := zstd.NewWriter(&z)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(zw, part)
		zw.Close()
	}
	for _, data := range [][]byte{g.Bytes(), z.Bytes()} {
		d, err := Decompress(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(d)
		if err != nil || string(got) != "one two" {
			t.Errorf("%s: %q, %v", d.Format, got, err)
		}
		d.Close()
	}
}

// TestBomb: what grows without bound is stopped early; what is merely well compressed is not.
func TestBomb(t *testing.T) {
	limits := Limits{MaxBytes: 1 << 40, MaxRatio: 200, Free: 8 << 20}
	bomb := func(size int) []byte {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		w.Write(make([]byte, size))
		w.Close()
		return b.Bytes()
	}
	read := func(data []byte, l Limits) (int64, error) {
		d, err := DecompressWith(bytes.NewReader(data), l)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		return io.Copy(io.Discard, d)
	}
	if n, err := read(bomb(100<<20), limits); !errors.Is(err, container.ErrCorrupt) || n > 40<<20 {
		t.Errorf("a bomb of 100 MiB gave %d bytes and %v", n, err)
	}
	if n, err := read(bomb(4<<20), limits); err != nil || n != 4<<20 {
		t.Errorf("4 MiB of zeros gave %d bytes and %v", n, err)
	}
	limits.MaxBytes = 1 << 20
	if _, err := read(make([]byte, 2<<20), limits); !errors.Is(err, container.ErrCorrupt) {
		t.Errorf("more than the most gave %v", err)
	}
}

// TestXZWindow: an xz header that asks for gigabytes of memory is refused before they are allocated.
func TestXZWindow(t *testing.T) {
	data := compressed(t, XZ, []byte("small"))
	for i := 12; i < 20; i++ {
		if data[i] == 0x21 && data[i+1] == 1 {
			data[i+2] = 40 // 4 GiB
		}
	}
	if err := readAll(data); !errors.Is(err, container.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
}

// FuzzDecompress: the decoders end, with data or with an error that says whose fault it is.
func FuzzDecompress(f *testing.F) {
	var g bytes.Buffer
	w := gzip.NewWriter(&g)
	io.WriteString(w, "hello")
	w.Close()
	f.Add(g.Bytes())
	for _, format := range []Format{Zstd, Bzip2, XZ} {
		c := exec.Command("sh", "-c", compressors[format])
		c.Stdin = bytes.NewReader([]byte("hello"))
		if out, err := c.Output(); err == nil {
			f.Add(out)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := DecompressWith(bytes.NewReader(data), Limits{MaxBytes: 16 << 20, MaxRatio: 200, Free: 1 << 20})
		if err == nil {
			_, err = io.Copy(io.Discard, d)
			d.Close()
		}
		if err != nil && !errors.Is(err, container.ErrCorrupt) {
			t.Fatalf("error is %v", err)
		}
	})
}
