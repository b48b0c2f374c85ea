package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// archiveOf writes headers and, for files, their Size in "x".
func archiveOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%q: %v", h.Name, err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatalf("%q: %v", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// needRoot skips where owners and devices can't be made.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making owners, devices and trusted attributes needs root")
	}
}

// extract unpacks into a fresh directory beside a canary that nothing may touch.
func extract(t *testing.T, data []byte, o ExtractOptions) (dir string, got Extracted, err error) {
	t.Helper()
	needRoot(t)
	top := t.TempDir()
	dir = filepath.Join(top, "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "canary"), []byte("alive"), 0o640); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b, err := os.ReadFile(filepath.Join(top, "canary"))
		st, serr := os.Stat(filepath.Join(top, "canary"))
		if err != nil || serr != nil || string(b) != "alive" || st.Mode() != 0o640 {
			t.Errorf("the archive reached a file outside: %q, %v, %v", b, st, err)
		}
		entries, _ := os.ReadDir(top)
		if len(entries) != 2 {
			t.Errorf("the archive made something outside: %v", entries)
		}
	})
	got, err = extractInto(t.Context(), dir, data, o)
	return dir, got, err
}

func extractInto(ctx context.Context, dir string, data []byte, o ExtractOptions) (Extracted, error) {
	root, err := os.Open(dir)
	if err != nil {
		return Extracted{}, err
	}
	defer root.Close()
	return Extract(ctx, root, NewReader(bytes.NewReader(data)), o)
}

// list describes a tree, one line for each file: what it is and what is in it.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		lines = append(lines, name+" "+describe(p, &st))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return lines
}

func describe(p string, st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		buf := make([]byte, 8)
		if n, err := unix.Lgetxattr(p, overlayOpaque, buf); err == nil && string(buf[:n]) == "y" {
			return "opaque"
		}
		return "dir"
	case unix.S_IFLNK:
		target, _ := os.Readlink(p)
		return "-> " + target
	case unix.S_IFCHR:
		if st.Rdev == 0 {
			return "whiteout"
		}
		return fmt.Sprintf("char %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case unix.S_IFBLK:
		return fmt.Sprintf("block %d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case unix.S_IFIFO:
		return "fifo"
	}
	return fmt.Sprintf("file %d links %d", st.Size, st.Nlink)
}

func dirHeader(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}

func reg(name string, size int64) tar.Header { return tar.Header{Name: name, Size: size} }

// TestHostile: what no honest archive has is refused, and nothing outside the root is touched.
func TestHostile(t *testing.T) {
	long := strings.Repeat("a", 256)
	cases := map[string][]tar.Header{
		"dot dot":                      {reg("../canary", 1)},
		"dot dot inside":               {reg("a/../../canary", 1)},
		"dot dot harmless":             {reg("a/../b", 1)},
		"dot dot at end":               {dirHeader("a/..")},
		"hard link outside":            {link("x", "../canary")},
		"hard link to nothing":         {link("x", "canary")},
		"hard link to directory":       {dirHeader("d"), link("x", "d")},
		"hard link to root":            {link("x", "./")},
		"hard link to whiteout":        {reg(".wh.f", 0), link("x", "f")},
		"hard link through link out":   {symlink("up", ".."), link("x", "up/canary")},
		"file below file":              {reg("f", 1), reg("f/x", 1)},
		"write through dangling link":  {symlink("l", "/nowhere/at/all"), reg("l/x", 1)},
		"link loop":                    {symlink("a", "b"), symlink("b", "a"), reg("a/x", 1)},
		"long part":                    {reg(long, 1)},
		"long name":                    {reg(strings.Repeat("aaaaaaaa/", 500)+"a", 1)},
		"symlink without target":       {symlink("l", "")},
		"symlink target too long":      {symlink("l", strings.Repeat("a/", 3000))},
		"user id -1":                   {{Name: "f", Uid: 1<<32 - 1}},
		"group id too large":           {{Name: "f", Gid: 1 << 40}},
		"negative user id":             {{Name: "f", Uid: -5, Format: tar.FormatGNU}},
		"device number":                {{Name: "d", Typeflag: tar.TypeBlock, Devmajor: 1 << 20}},
		"negative device number":       {{Name: "d", Typeflag: tar.TypeChar, Devminor: -1, Format: tar.FormatGNU}},
		"whiteout of nothing":          {reg(".wh.", 0)},
		"whiteout of dot":              {reg(".wh..", 0)},
		"whiteout of dot dot":          {reg("a/.wh...", 0)},
		"below a whiteout":             {reg(".wh.a/b", 1)},
		"root is a file":               {{Name: ".", Typeflag: tar.TypeFifo}},
		"root is a link":               {symlink(".", "/etc")},
		"multi-volume":                 {{Name: "f", Typeflag: 'M'}},
		"unknown type":                 {{Name: "f", Typeflag: 'Q'}},
		"opaque below a dangling link": {symlink("l", "/nowhere"), reg("l/.wh..wh..opq", 0)},
	}
	for name, headers := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := extract(t, archiveOf(t, headers...), ExtractOptions{})
			if !errors.Is(err, container.ErrCorrupt) {
				t.Fatalf("error is %v", err)
			}
		})
	}
}

// TestTricky: odd but legal archives, and attacks that end inside the root.
func TestTricky(t *testing.T) {
	cases := []struct {
		name    string
		headers []tar.Header
		want    string
	}{
		{"absolute name", []tar.Header{reg("/etc/x", 1)}, "etc dir; etc/x file 1 links 1"},
		{"dots and slashes", []tar.Header{reg(".//./a///b", 1)}, "a dir; a/b file 1 links 1"},
		{"symlink out, then write", []tar.Header{dirHeader("etc"), symlink("l", "/etc"), reg("l/x", 1)}, "etc dir; etc/x file 1 links 1; l -> /etc"},
		{"symlink up, then write", []tar.Header{symlink("l", "../../.."), reg("l/x", 1)}, "l -> ../../..; x file 1 links 1"},
		{"file over symlink out", []tar.Header{symlink("l", "../canary"), reg("l", 1)}, "l file 1 links 1"},
		{"hard link to symlink out, then write", []tar.Header{symlink("l", "../canary"), link("h", "l"), reg("h", 2)}, "h file 2 links 1; l -> ../canary"},
		{"directory over symlink", []tar.Header{dirHeader("d"), symlink("l", "d"), dirHeader("l"), reg("l/x", 1)}, "d dir; l opaque; l/x file 1 links 1"},
		{"twice", []tar.Header{reg("f", 1), reg("f", 2)}, "f file 2 links 1"},
		{"link, then other file", []tar.Header{reg("a", 1), link("b", "a"), reg("a", 3)}, "a file 3 links 1; b file 1 links 1"},
		{"link to itself", []tar.Header{reg("a", 1), link("a", "./a")}, "a file 1 links 1"},
		{"link to /name", []tar.Header{reg("d/a", 1), link("b", "/d/a")}, "b file 1 links 2; d dir; d/a file 1 links 2"},
		{"link to later-deleted", []tar.Header{reg("a", 1), link("b", "a"), reg(".wh.a", 0)}, "a file 1 links 2; b file 1 links 2"},
		{"link after whiteout", []tar.Header{reg(".wh.b", 0), reg("a", 1), link("b", "a")}, "a file 1 links 2; b file 1 links 2"},
		{"link over its own target's directory", []tar.Header{reg("d/a", 1), reg("e", 1), link("d", "e")}, "d file 1 links 2; e file 1 links 2"},
		{"file, directory, file", []tar.Header{reg("a", 1), dirHeader("a"), reg("a/b", 1), reg("a", 2)}, "a file 2 links 1"},
		{"file, then directory", []tar.Header{reg("a", 1), dirHeader("a"), reg("a/b", 1)}, "a opaque; a/b file 1 links 1"},
		{"whiteout, then file", []tar.Header{reg(".wh.a", 0), reg("a", 1)}, "a file 1 links 1"},
		{"file, then whiteout", []tar.Header{reg("a", 1), reg(".wh.a", 0)}, "a file 1 links 1"},
		{"whiteout, then directory", []tar.Header{reg(".wh.a", 0), dirHeader("a")}, "a opaque"},
		{"directory, then whiteout", []tar.Header{dirHeader("a"), reg(".wh.a", 0)}, "a opaque"},
		{"whiteout, then implied directory", []tar.Header{reg(".wh.a", 0), reg("a/b", 1)}, "a opaque; a/b file 1 links 1"},
		{"whiteout only", []tar.Header{reg("d/.wh.a", 0)}, "d dir; d/a whiteout"},
		{"whiteout that is a directory", []tar.Header{dirHeader("d/.wh.a")}, "d dir; d/a whiteout"},
		{"opaque", []tar.Header{reg("d/.wh..wh..opq", 0), reg("d/a", 1)}, "d opaque; d/a file 1 links 1"},
		{"opaque afterwards", []tar.Header{reg("d/a", 1), reg("d/.wh..wh..opq", 0)}, "d opaque; d/a file 1 links 1"},
		{"aufs' own", []tar.Header{reg(".wh..wh.aufs", 0), dirHeader(".wh..wh.plnk"), reg(".wh..wh.plnk/1", 3), reg("a", 1)}, "a file 1 links 1"},
		{"fake whiteout device", []tar.Header{{Name: "a", Typeflag: tar.TypeChar}, reg("b", 1)}, "b file 1 links 1"},
		{"devices", []tar.Header{{Name: "n", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, {Name: "s", Typeflag: tar.TypeBlock, Devmajor: 8, Devminor: 300}, {Name: "p", Typeflag: tar.TypeFifo}}, "n char 1:3; p fifo; s block 8:300"},
		{"global header", []tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x", "path": "../canary"}}, reg("a", 1)}, "a file 1 links 1"},
		{"incremental directory", []tar.Header{{Name: "d/", Typeflag: 'D', Size: 7}, reg("d/a", 1)}, "d dir; d/a file 1 links 1"},
		{"volume label", []tar.Header{{Name: "label", Typeflag: 'V'}, reg("a", 1)}, "a file 1 links 1"},
		{"contiguous file", []tar.Header{{Name: "a", Typeflag: tar.TypeCont, Size: 5}}, "a file 5 links 1"},
		{"link beside a link", []tar.Header{dirHeader("real"), symlink("l", "real"), reg("real/f", 1), link("l/g", "l/f")}, "l -> real; real dir; real/f file 1 links 2; real/g file 1 links 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, _, err := extract(t, archiveOf(t, c.headers...), ExtractOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(list(t, dir), "; "); got != c.want {
				t.Errorf("tree is\n  %s\nwant\n  %s", got, c.want)
			}
		})
	}
}

// TestApply: a layer changes a complete tree.
func TestApply(t *testing.T) {
	lower := []tar.Header{reg("d/a", 1), reg("d/b", 1), reg("e/f", 1), reg("g", 1), symlink("l", "d")}
	cases := []struct {
		name  string
		upper []tar.Header
		want  string
	}{
		{"whiteout", []tar.Header{reg("d/.wh.a", 0), reg(".wh.e", 0)}, "d dir; d/b file 1 links 1; g file 1 links 1; l -> d"},
		{"whiteout spares its own layer", []tar.Header{reg("d/a", 2), reg("d/.wh.a", 0)}, "d dir; d/a file 2 links 1; d/b file 1 links 1; e dir; e/f file 1 links 1; g file 1 links 1; l -> d"},
		{"whiteout of a remade directory", []tar.Header{dirHeader("e"), reg("e/new", 1), reg(".wh.e", 0), reg(".wh.d", 0)}, "e dir; e/new file 1 links 1; g file 1 links 1; l -> d"},
		{"opaque", []tar.Header{reg("d/c", 1), reg("d/.wh..wh..opq", 0), reg(".wh.e", 0), reg(".wh.l", 0)}, "d dir; d/c file 1 links 1; g file 1 links 1"},
		{"opaque root", []tar.Header{reg(".wh..wh..opq", 0), reg("x/y", 1)}, "x dir; x/y file 1 links 1"},
		{"link to a lower file", []tar.Header{link("h", "g"), reg(".wh.d", 0), reg(".wh.e", 0), reg(".wh.l", 0)}, "g file 1 links 2; h file 1 links 2"},
		{"through a lower link", []tar.Header{reg("l/x", 1), reg(".wh.e", 0), reg(".wh.g", 0)}, "d dir; d/a file 1 links 1; d/b file 1 links 1; d/x file 1 links 1; l -> d"},
		{"whiteout of nothing", []tar.Header{reg("no/.wh.x", 0), reg(".wh.y", 0), reg("no/.wh..wh..opq", 0), reg(".wh.d", 0), reg(".wh.e", 0), reg(".wh.l", 0)}, "g file 1 links 1"},
		{"directory becomes file", []tar.Header{reg("d", 4), reg(".wh.e", 0), reg(".wh.g", 0)}, "d file 4 links 1; l -> d"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := ExtractOptions{Mode: Apply}
			dir, _, err := extract(t, archiveOf(t, lower...), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := extractInto(t.Context(), dir, archiveOf(t, c.upper...), o); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(list(t, dir), "; "); got != c.want {
				t.Errorf("tree is\n  %s\nwant\n  %s", got, c.want)
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	capability := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	acl := "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\x39\x30\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x04\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	h := tar.Header{
		Name: "d/f", Size: 3, Mode: 0o4755, Uid: 88889462, Gid: 70000, ModTime: time.Unix(-1234, 987654321), Format: tar.FormatPAX,
		PAXRecords: map[string]string{
			xattrRecord + "user.nul": "a\x00b", xattrRecord + "security.capability": capability, xattrRecord + "trusted.overlay.redirect": "/etc",
			xattrRecord + "user.overlay.opaque": "y", xattrRecord + "security.selinux": "x", xattrRecord + "trusted.x": "y",
		},
	}
	d := tar.Header{Name: "d", Typeflag: tar.TypeDir, Mode: 0o2775, ModTime: time.Unix(1<<33, 5), Format: tar.FormatPAX, PAXRecords: map[string]string{xattrRecord + aclDefault: acl, xattrRecord + "user.d": "1"}}
	dir, got, err := extract(t, archiveOf(t, d, h, dirHeader("implied/explicit"), tar.Header{Name: "plain", Mode: 0o604}), ExtractOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".", "implied"}; got.Bytes != 3 || got.Entries != 4 || fmt.Sprint(got.Implied) != fmt.Sprint(want) {
		t.Errorf("extracted %+v", got)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, "d/f"), &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode != unix.S_IFREG|0o4755 || st.Uid != 88889462 || st.Gid != 70000 || st.Mtim.Sec != -1234 || st.Mtim.Nsec != 987654321 {
		t.Errorf("d/f is %+v", st)
	}
	if x := xattrsOf(t, filepath.Join(dir, "d/f")); len(x) != 2 || x["user.nul"] != "a\x00b" || x["security.capability"] != capability {
		t.Errorf("d/f has %q", x)
	}
	if x := xattrsOf(t, filepath.Join(dir, "d")); len(x) != 2 || x[aclDefault] != acl || x["user.d"] != "1" {
		t.Errorf("d has %q", x)
	}
	if err := unix.Lstat(filepath.Join(dir, "d"), &st); err != nil || st.Mode != unix.S_IFDIR|0o2775 || st.Mtim.Sec != 1<<33 || st.Mtim.Nsec != 5 {
		t.Errorf("d is %+v, %v", st, err)
	}
	if err := unix.Lstat(filepath.Join(dir, "implied"), &st); err != nil || st.Mode != unix.S_IFDIR|0o755 || st.Mtim.Sec != 0 {
		t.Errorf("implied is %+v, %v", st, err)
	}
}

func xattrsOf(t *testing.T, p string) map[string]string {
	t.Helper()
	names, err := xattrFile{path: p}.names()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, n := range names {
		v, _, err := xattrFile{path: p}.value(n)
		if err != nil {
			t.Fatal(err)
		}
		out[n] = v
	}
	return out
}

// TestTruncated: wherever an archive is cut, that is an error or visibly incomplete.
func TestTruncated(t *testing.T) {
	data := archiveOf(t, dirHeader("d"), reg("d/f", 700), reg("g", 100), symlink("l", "g"))
	for n := range len(data) {
		r := NewReader(bytes.NewReader(data[:n]))
		var err error
		for err == nil {
			var e *Entry
			if e, err = r.Next(); err == nil && e.Kind == File {
				_, err = io.Copy(io.Discard, r)
			}
		}
		if err == io.EOF && r.Complete() && n < len(data)-1024 {
			t.Errorf("cut at %d of %d it passes for complete", n, len(data))
		}
		if err != io.EOF && !errors.Is(err, container.ErrCorrupt) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// TestReadError: an error of the stream is no fault of the archive.
func TestReadError(t *testing.T) {
	data := archiveOf(t, reg("f", 2000))
	broken := errors.New("the line is dead")
	_, _, err := extractStream(t, io.MultiReader(bytes.NewReader(data[:1000]), failing{broken}))
	if !errors.Is(err, broken) || errors.Is(err, container.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
	_, _, err = extractStream(t, io.MultiReader(bytes.NewReader(data[:1000]), failing{context.Canceled}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func extractStream(t *testing.T, r io.Reader) (string, Extracted, error) {
	needRoot(t)
	dir := t.TempDir()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := Extract(t.Context(), root, NewReader(r), ExtractOptions{})
	return dir, got, err
}

func run(t *testing.T, dir, command string) []byte {
	t.Helper()
	c := exec.Command("sh", "-ec", command)
	c.Dir = dir
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, stderr.Bytes())
	}
	return out
}
