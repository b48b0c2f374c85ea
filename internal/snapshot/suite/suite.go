// Package suite is what every snapshot driver must pass. It compares whole trees, mounted as the runtime would.
package suite

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Open opens the driver under test below root.
type Open func(root string) (driver.Driver, error)

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	if os.Getuid() != 0 {
		t.Skip("making owners and mounting needs root")
	}
	for name, f := range map[string]func(*testing.T, driver.Driver){
		"layers": layers, "bad layers": badLayers, "concurrent": concurrent, "containers": containers, "in use": inUse, "tree": wholeTree,
		"implied": implied, "opaque root": opaqueRoot, "lower link": lowerLink, "sweep": sweep,
		"changes":                     func(t *testing.T, d driver.Driver) { changes(t, d, layer.IDMaps{}) },
		"changes in a user namespace": func(t *testing.T, d driver.Driver) { changes(t, d, shifted()) },
	} {
		t.Run(name, func(t *testing.T) {
			d, err := open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			f(t, d)
		})
	}
}

// shifted is a container's usual user namespace.
func shifted() layer.IDMaps {
	m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0x20000000, Size: 65536}, {ContainerID: 65536, HostID: 0x60000000, Size: 1 << 20}}
	return layer.IDMaps{UIDs: m, GIDs: m}
}

// item is an entry of a layer; its data is text.
type item struct {
	tar.Header
	text string
}

var then = time.Unix(1600000000, 123456789)

func dir(name string, mode int64) item {
	return item{Header: tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode}}
}

func file(name, text string) item {
	return item{Header: tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, text: text}
}

func symlink(name, target string) item {
	return item{Header: tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink, Mode: 0o777}}
}

func link(name, target string) item {
	return item{Header: tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink, Mode: 0o644}}
}

func device(name string, kind byte, major, minor int64) item {
	return item{Header: tar.Header{Name: name, Typeflag: kind, Mode: 0o620, Devmajor: major, Devminor: minor}}
}

// owned gives an item another owner and mode.
func (i item) owned(uid, gid int, mode int64) item {
	i.Uid, i.Gid, i.Mode = uid, gid, mode
	return i
}

// with gives an item an extended attribute.
func (i item) with(name, value string) item {
	i.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	return i
}

func (i item) at(t time.Time) item {
	i.ModTime = t
	return i
}

// pack makes a layer's tar.
func pack(t *testing.T, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for n, i := range items {
		if i.ModTime.IsZero() {
			i.ModTime = then.Add(time.Duration(n) * time.Second)
		}
		i.Format, i.Size = tar.FormatPAX, int64(len(i.text))
		if err := w.WriteHeader(&i.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func add(t *testing.T, d driver.Driver, data []byte) layer.Digest {
	t.Helper()
	id := layer.DigestOf(data)
	if err := d.Add(t.Context(), id, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return id
}

const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// stack is an image of three layers in which everything happens that can happen between layers.
func stack(t *testing.T) [][]byte {
	return [][]byte{
		pack(t, dir(".", 0o755), dir("etc", 0o750).owned(0, 42, 0o750), file("etc/passwd", "root"), file("etc/group", "root"), dir("etc/gone", 0o755), file("etc/gone/f", "x"),
			dir("bin", 0o755), file("bin/ping", "ELF").owned(0, 0, 0o4755).with("security.capability", capability), link("bin/ping6", "bin/ping"), symlink("bin/sh", "/bin/busybox"),
			dir("var", 0o1777).with("user.kind", "var"), dir("var/lib", 0o755), file("var/lib/a", "a"), file("var/lib/b", "b"), dir("var/lib/sub", 0o700), file("var/lib/sub/c", "c"),
			dir("home", 0o755), file("home/big", "id").owned(70000, 88889, 0o600), dir("swap", 0o755), file("swap/x", "1"), file("flip", "file"),
			device("null", tar.TypeChar, 1, 3), device("disk", tar.TypeBlock, 8, 0), device("pipe", tar.TypeFifo, 0, 0), dir("tmp", 0o1777), dir("root", 0o700)),
		pack(t, dir("etc", 0o751).owned(0, 43, 0o751), file("etc/.wh.gone", ""), file("etc/group", "root wheel").owned(0, 0, 0o604), dir("var", 0o1770), dir("var/lib", 0o711), file("var/lib/.wh..wh..opq", ""),
			file("var/lib/new", "n"), file(".wh.swap", ""), symlink("swap", "etc"), dir("flip", 0o755), file("flip/f", "f"), file("plain", "p"), link("plain2", "plain")),
		pack(t, dir(".", 0o711).owned(3, 4, 0o711), dir("etc", 0o755), dir("etc/gone", 0o700), file("etc/gone/g", "back"), file(".wh.pipe", ""), file("late", "").owned(1000, 1000, 0o2755), dir("var", 0o755),
			dir("var/lib", 0o755), file("var/lib/a", "again")),
	}
}

func layers(t *testing.T, d driver.Driver) {
	var ids []layer.Digest
	for _, data := range stack(t) {
		id := layer.DigestOf(data)
		if d.Has(id) {
			t.Error("it has a layer that was never added")
		}
		ids = append(ids, add(t, d, data))
		if !d.Has(id) {
			t.Error("it has not what was added")
		}
	}
	if size, err := d.LayerSize(ids[0]); err != nil || size != int64(len("rootrootxELFabcid1file")) {
		t.Errorf("size is %d, %v", size, err)
	}
	got, err := d.Layers()
	slices.Sort(got)
	slices.Sort(ids)
	if err != nil || !slices.Equal(got, ids) {
		t.Errorf("layers are %v, %v; want %v", got, err, ids)
	}
	if err := d.Add(t.Context(), ids[0], failing{}); err != nil {
		t.Errorf("adding what is there: %v", err)
	}
	for _, id := range ids {
		if err := errors.Join(d.RemoveLayer(id), d.RemoveLayer(id)); err != nil || d.Has(id) {
			t.Errorf("remove: %v, still there: %t", err, d.Has(id))
		}
	}
	if _, err := d.LayerSize(ids[0]); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("size of a removed layer: %v", err)
	}
}

type failing struct{}

var errFailing = errors.New("the line is dead")

func (failing) Read([]byte) (int, error) { return 0, errFailing }

// badLayers: nothing of a layer that is refused stays.
func badLayers(t *testing.T, d driver.Driver) {
	good := pack(t, file("a", strings.Repeat("x", 2000)))
	evil := pack(t, file("a", "x"), file("../b", "x"))
	cases := map[string]struct {
		id   layer.Digest
		r    io.Reader
		kind error
	}{
		"other digest":         {layer.DigestOf([]byte("other")), bytes.NewReader(good), container.ErrCorrupt},
		"cut off":              {layer.DigestOf(good), bytes.NewReader(good[:1500]), container.ErrCorrupt},
		"something at the end": {layer.DigestOf(good), io.MultiReader(bytes.NewReader(good), strings.NewReader("x")), container.ErrCorrupt},
		"hostile":              {layer.DigestOf(evil), bytes.NewReader(evil), container.ErrCorrupt},
		"broken stream":        {layer.DigestOf(good), io.MultiReader(bytes.NewReader(good[:1500]), failing{}), errFailing},
		"no digest":            {"sha256:../../etc", bytes.NewReader(good), container.ErrInvalid},
	}
	for name, c := range cases {
		if err := d.Add(t.Context(), c.id, c.r); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := d.Layers(); err != nil || len(got) != 0 {
		t.Errorf("layers are %v, %v", got, err)
	}
	add(t, d, good)
}

// concurrent: many add and remove the same layers.
func concurrent(t *testing.T, d driver.Driver) {
	data := stack(t)
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			for range 5 {
				for _, b := range data {
					if err := d.Add(t.Context(), layer.DigestOf(b), bytes.NewReader(b)); err != nil {
						t.Error(err)
					}
				}
				if n == 0 {
					if err := d.RemoveLayer(layer.DigestOf(data[0])); err != nil {
						t.Error(err)
					}
				}
				if err := d.Sweep(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	id := prepare(t, d, "c", driver.Options{}, data...)
	check(t, d, id, layer.IDMaps{}, data)
}

// prepare adds layers and makes a container above them.
func prepare(t *testing.T, d driver.Driver, id string, o driver.Options, data ...[]byte) string {
	t.Helper()
	var ids []layer.Digest
	for _, b := range data {
		ids = append(ids, add(t, d, b))
	}
	if err := d.Prepare(t.Context(), id, ids, o); err != nil {
		t.Fatal(err)
	}
	return id
}

// expected is what the layers make when each is applied to the tree of those before: another way than any
// overlay's. What drivers add for mount points is added.
func expected(t *testing.T, data [][]byte) map[string]string {
	t.Helper()
	root := t.TempDir()
	f, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, b := range data {
		if _, err := layer.Extract(t.Context(), f, layer.NewReader(bytes.NewReader(b)), layer.ExtractOptions{Mode: layer.Apply}); err != nil {
			t.Fatal(err)
		}
	}
	return tree(t, root, layer.IDMaps{})
}

// mountPoints are what drivers put into roots that lack them.
var mountPoints = []string{"proc", "sys", "dev", "etc", "etc/hosts", "etc/hostname", "etc/resolv.conf"}

// check compares a container's mounted root with what its layers must make.
func check(t *testing.T, d driver.Driver, id string, ids layer.IDMaps, data [][]byte) {
	t.Helper()
	compare(t, d, id, ids, expected(t, data))
}

func compare(t *testing.T, d driver.Driver, id string, ids layer.IDMaps, want map[string]string) {
	t.Helper()
	fs, err := d.Mount(id)
	if err != nil {
		t.Fatal(err)
	}
	WithRoot(t, fs, ids, func(dir string) {
		got := tree(t, dir, ids)
		for _, name := range mountPoints {
			if _, ok := want[name]; !ok {
				if got[name] == "" {
					t.Errorf("the mount point /%s is missing", name)
				}
				delete(got, name)
			}
		}
		same(t, id, got, want)
	})
}

func wholeTree(t *testing.T, d driver.Driver) {
	data := stack(t)
	for n := 1; n <= len(data); n++ {
		check(t, d, prepare(t, d, fmt.Sprintf("host%d", n), driver.Options{}, data[:n]...), layer.IDMaps{}, data[:n])
		check(t, d, prepare(t, d, fmt.Sprintf("user%d", n), driver.Options{IDs: shifted()}, data[:n]...), shifted(), data[:n])
	}
}

// implied: a directory that a layer has no entry for looks as the lower layers say.
func implied(t *testing.T, d driver.Driver) {
	data := [][]byte{
		pack(t, dir(".", 0o750).at(then), dir("a", 0o700).owned(5, 6, 0o700).at(then).with("user.x", "y"), dir("a/b", 0o3770).owned(7, 8, 0o3770).at(then), file("a/b/one", "1")),
		pack(t, file("a/b/two", "2"), file("new/three", "3")),
		pack(t, file("a/b/.wh.one", ""), file("a/b/c/four", "4")),
	}
	prepare(t, d, "c", driver.Options{}, data...)
	fs, err := d.Mount("c")
	if err != nil {
		t.Fatal(err)
	}
	WithRoot(t, fs, layer.IDMaps{}, func(dir string) {
		got := tree(t, dir, layer.IDMaps{})
		for name, want := range map[string]string{".": "mode 40750 owner 0:0 ", "a": "mode 40700 owner 5:6 ", "a/b": "mode 43770 owner 7:8 ", "a/b/c": "mode 40755 owner 0:0 ", "new": "mode 40755 owner 0:0 "} {
			if !strings.HasPrefix(got[name], want) {
				t.Errorf("%s is %s, want %s…", name, got[name], want)
			}
		}
		if !strings.HasSuffix(got["a"], `user.x="y"`) {
			t.Errorf("a is %s: its attribute is missing", got["a"])
		}
		if got["a/b/one"] != "" || got["a/b/two"] == "" || got["a/b/c/four"] == "" {
			t.Errorf("the files are %v", got)
		}
	})
	if c, err := d.Changes("c"); err != nil || len(c) != 0 {
		t.Errorf("a new container differs by %v, %v", c, err)
	}
}

func opaqueRoot(t *testing.T, d driver.Driver) {
	data := [][]byte{pack(t, dir(".", 0o755), file("old", "1"), dir("d", 0o755), file("d/old", "2")), pack(t, dir(".", 0o711), file(".wh..wh..opq", ""), dir("d", 0o700), file("d/new", "3"))}
	check(t, d, prepare(t, d, "c", driver.Options{}, data...), layer.IDMaps{}, data)
}

// lowerLink: a hard link may have its target in a lower layer. Both names must be there; whether they are one
// file differs, as it does after overlayfs' copy-up.
func lowerLink(t *testing.T, d driver.Driver) {
	data := [][]byte{
		pack(t, dir(".", 0o755), dir("d", 0o755), file("d/a", "content").owned(3, 4, 0o640).at(then)),
		pack(t, dir("e", 0o755), link("e/b", "d/a"), link("e/c", "e/b"), file("d/.wh.a", "")),
		pack(t, file("f", "x")),
	}
	prepare(t, d, "c", driver.Options{}, data...)
	fs, err := d.Mount("c")
	if err != nil {
		t.Fatal(err)
	}
	WithRoot(t, fs, layer.IDMaps{}, func(dir string) {
		got := tree(t, dir, layer.IDMaps{})
		want := fmt.Sprintf("mode 100640 owner 3:4 time %d.%09d rdev 0 size 7 content %s", then.Unix(), then.Nanosecond(), layer.DigestOf([]byte("content")).Short())
		for _, name := range []string{"e/b", "e/c"} {
			if s, _, _ := strings.Cut(got[name], " linked"); s != want {
				t.Errorf("%s is %s, want %s", name, got[name], want)
			}
		}
		if got["d/a"] != "" {
			t.Error("the deleted target is still there")
		}
	})
}

func containers(t *testing.T, d driver.Driver) {
	data := stack(t)
	prepare(t, d, "one", driver.Options{}, data...)
	prepare(t, d, "two", driver.Options{IDs: shifted()}, data[0])
	if ids, err := d.Containers(); err != nil || len(ids) != 2 || !slices.Contains(ids, "one") || !slices.Contains(ids, "two") {
		t.Errorf("containers are %v, %v", ids, err)
	}
	if l, err := d.Layered("two"); err != nil || len(l) != 1 || l[0] != layer.DigestOf(data[0]) {
		t.Errorf("two stands on %v, %v", l, err)
	}
	if err := d.Prepare(t.Context(), "one", nil, driver.Options{}); !errors.Is(err, container.ErrExists) {
		t.Errorf("a second one of the same id: %v", err)
	}
	if err := d.Prepare(t.Context(), "three", []layer.Digest{layer.DigestOf([]byte("?"))}, driver.Options{}); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("above a missing layer: %v", err)
	}
	for _, id := range []string{"", ".", "..", "a/b", ".x", "\x00"} {
		err := d.Prepare(t.Context(), id, nil, driver.Options{})
		if rerr := d.Remove(id); !errors.Is(err, container.ErrInvalid) || !errors.Is(rerr, container.ErrInvalid) {
			t.Errorf("id %q: %v, %v", id, err, rerr)
		}
	}
	for _, f := range []func(string) error{
		func(id string) error { _, err := d.Mount(id); return err },
		func(id string) error { _, err := d.Changes(id); return err },
		func(id string) error { _, err := d.Usage(id); return err },
		func(id string) error { return d.Diff(t.Context(), id, io.Discard) },
	} {
		if err := f("none"); !errors.Is(err, container.ErrNotFound) {
			t.Errorf("of no container: %v", err)
		}
	}
	if err := errors.Join(d.Remove("one"), d.Remove("one"), d.Remove("none")); err != nil {
		t.Error(err)
	}
	if ids, err := d.Containers(); err != nil || !slices.Equal(ids, []string{"two"}) {
		t.Errorf("containers are %v, %v", ids, err)
	}
}

func inUse(t *testing.T, d driver.Driver) {
	data := stack(t)
	prepare(t, d, "c", driver.Options{}, data[0])
	id := layer.DigestOf(data[0])
	if err := d.RemoveLayer(id); !errors.Is(err, container.ErrInUse) || !d.Has(id) {
		t.Errorf("removing a used layer: %v", err)
	}
	check(t, d, "c", layer.IDMaps{}, data[:1])
	if err := errors.Join(d.Remove("c"), d.RemoveLayer(id)); err != nil || d.Has(id) {
		t.Errorf("removing it then: %v", err)
	}
}

func sweep(t *testing.T, d driver.Driver) {
	data := stack(t)
	prepare(t, d, "c", driver.Options{}, data...)
	if err := d.Sweep(); err != nil {
		t.Fatal(err)
	}
	check(t, d, "c", layer.IDMaps{}, data)
}

// work is what a container does to its root, and what `diff` must say of it.
const work = `
mkdir foo; touch foo/a; rm etc/group; echo more >> etc/passwd; chmod 711 root; touch tmp/t; chown 1000:1000 tmp/t; echo new > home/big
rm -r var/lib; mkdir var/lib; echo 1 > var/lib/fresh
mv bin/sh bin/sh2; ln etc/passwd etc/passwd.link; ln -s nowhere dangling; mkfifo pipe2
rm swap/x; rmdir swap; echo file > swap
rm flip; mkdir flip; touch flip/in; touch null
touch -d '2020-02-02 02:02:02.5' tmp/old; echo unchanged > bin/new; rm bin/new
`

var workChanges = `A /dangling
C /bin
D /bin/sh
A /bin/sh2
C /etc
D /etc/group
C /etc/passwd
A /etc/passwd.link
C /flip
A /flip/in
A /foo
A /foo/a
C /home
C /home/big
C /null
A /pipe2
C /root
C /swap
D /swap/x
C /tmp
A /tmp/old
A /tmp/t
C /var
C /var/lib
D /var/lib/a
D /var/lib/b
A /var/lib/fresh
D /var/lib/sub`

// changes: what a container did is listed as docker lists it; committed as a layer, it makes the same tree.
func changes(t *testing.T, d driver.Driver, ids layer.IDMaps) {
	data := stack(t)[:1]
	prepare(t, d, "c", driver.Options{IDs: ids}, data...)
	fs, err := d.Mount("c")
	if err != nil {
		t.Fatal(err)
	}
	var after map[string]string
	WithRoot(t, fs, ids, func(dir string) {
		inside(t, dir, ids, work)
		after = tree(t, dir, ids)
	})
	got, err := d.Changes("c")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range got {
		lines = append(lines, c.String())
	}
	want := strings.Split(workChanges, "\n")
	slices.SortFunc(want, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	if !slices.Equal(lines, want) {
		t.Errorf("changes are\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if n, err := d.Usage("c"); err != nil || n < 20 || n > 200 {
		t.Errorf("usage is %d, %v", n, err)
	}
	commit(t, d, ids, data, after)
}

func commit(t *testing.T, d driver.Driver, ids layer.IDMaps, data [][]byte, after map[string]string) {
	t.Helper()
	var b bytes.Buffer
	if err := d.Diff(t.Context(), "c", &b); err != nil {
		t.Fatal(err)
	}
	prepare(t, d, "again", driver.Options{IDs: ids}, append(slices.Clone(data), b.Bytes())...)
	for _, name := range mountPoints {
		if !strings.HasPrefix(name, "etc") || name != "etc" {
			delete(after, name)
		}
	}
	compare(t, d, "again", ids, after)
	if c, err := d.Changes("again"); err != nil || len(c) != 0 {
		t.Errorf("a new container differs by %v, %v", c, err)
	}
}
