package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// awkward makes a tree with everything that a root file system can have.
const awkward = `
mkdir -p t/etc t/bin t/empty t/dev 't/with space' "t/$(printf 'a%.0s' $(seq 200))/$(printf 'b%.0s' $(seq 200))"
echo hello > t/etc/file; chmod 640 t/etc/file; chown 88889462:70001 t/etc/file
printf '' > t/etc/nothing
ln t/etc/file t/etc/hard; ln t/etc/file t/bin/hard
ln -s /etc/file t/bin/abs; ln -s ../../../outside t/bin/up; ln -s x t/bin/dangling; ln t/bin/dangling t/bin/dangling2
chown -h 5:6 t/bin/abs
cp /bin/true t/bin/true; chmod 6755 t/bin/true
chmod 1777 t/empty; chmod 700 t/bin; chown 7:8 t/bin
mknod t/dev/null c 1 3; mknod t/dev/sda b 8 0; mkfifo t/dev/fifo; mknod t/dev/minor b 259 300000; chmod 600 t/dev/null
echo x > "t/with space/ünï cödé"; echo y > "t/$(printf 'a%.0s' $(seq 200))/$(printf 'b%.0s' $(seq 200))/deep"
echo z > t/etc/-dash; printf 'a\nb' > "t/etc/$(printf 'new\nline')"
truncate -s 5M t/hole; printf end >> t/hole
truncate -s 3M t/allhole
printf begin > t/headhole; truncate -s 2M t/headhole
dd if=/dev/urandom of=t/random bs=1k count=700 status=none
touch -d '1960-01-02 03:04:05.123456789' t/etc/nothing; touch -h -d '2300-01-01 00:00:00.5' t/bin/abs; touch -d '2001-02-03 04:05:06.000000001' t/empty
`

const (
	capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	// user::rw- user:1000:r-- group::r-- group:77:-w- mask::rw- other::r--
	someACL = "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x04\x00\xe8\x03\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff" +
		"\x08\x00\x02\x00\x4d\x00\x00\x00\x10\x00\x06\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
)

// makeAwkward makes the tree t below top.
func makeAwkward(t *testing.T, top string) {
	t.Helper()
	needRoot(t)
	run(t, top, awkward)
	setXattr(t, filepath.Join(top, "t/etc/file"), "user.text", "value")
	setXattr(t, filepath.Join(top, "t/empty"), "user.bin", "\x00\xff\x00")
	setXattr(t, filepath.Join(top, "t/bin/true"), "security.capability", capNetRaw)
}

func setXattr(t *testing.T, p, name, value string) {
	t.Helper()
	if err := unix.Lsetxattr(p, name, []byte(value), 0); err != nil {
		t.Fatalf("set %s of %s: %v", name, p, err)
	}
}

// snapshotTree describes every file completely: mode, owner, time, link group, attributes, content, holes.
func snapshotTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out, groups := map[string]string{}, map[uint64][]string{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		s := fmt.Sprintf("mode %o owner %d:%d time %d.%09d rdev %x", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" size %d content %s", st.Size, DigestOf(b))
		case unix.S_IFLNK:
			target, _ := os.Readlink(p)
			s += " -> " + target
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			groups[st.Ino] = append(groups[st.Ino], name)
		}
		x, err := Xattrs(unix.AT_FDCWD, p, IDMaps{})
		if err != nil {
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			s += fmt.Sprintf(" %s=%q", k, x[k])
		}
		out[name] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		sort.Strings(g)
		for _, name := range g {
			out[name] += fmt.Sprintf(" linked %q", g)
		}
	}
	return out
}

func sameTree(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if g := got[name]; g != w {
			t.Errorf("%s: %q is\n  %s\nwant\n  %s", what, name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %q should not be there", what, name)
		}
	}
}

// blocks is what a file takes on disk, in bytes.
func blocks(t *testing.T, p string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// TestAgainstGNUTar: what GNU tar packs, Extract unpacks to the same tree, in all of its formats.
func TestAgainstGNUTar(t *testing.T) {
	top := t.TempDir()
	makeAwkward(t, top)
	want := snapshotTree(t, filepath.Join(top, "t"))
	whole := func(m map[string]string) map[string]string { // GNU format has no fractions of a second, no attributes
		out := map[string]string{}
		for name, s := range m {
			before, rest, _ := strings.Cut(s, ".")
			rest = rest[9:]
			if i := strings.Index(rest, " security."); i >= 0 {
				rest = rest[:i]
			}
			if i := strings.Index(rest, " user."); i >= 0 {
				j := strings.Index(rest, " linked")
				if j < 0 {
					j = len(rest)
				}
				rest = rest[:i] + rest[j:]
			}
			out[name] = before + rest
		}
		return out
	}
	for _, c := range []struct {
		name, flags string
		weaken      func(map[string]string) map[string]string
	}{
		{"pax", "--format=pax --xattrs --xattrs-include='*'", nil},
		{"pax, sparse", "--format=pax -S --xattrs --xattrs-include='*'", nil},
		{"pax, sparse 0.1", "--format=pax -S --sparse-version=0.1 --xattrs --xattrs-include='*'", nil},
		{"pax, sparse 0.0", "--format=pax -S --sparse-version=0.0 --xattrs --xattrs-include='*'", nil},
		{"gnu", "--format=gnu", whole},
		{"gnu, sparse", "--format=gnu -S", whole},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := run(t, top, "tar -C t --numeric-owner "+c.flags+" -c .")
			dir, _, err := extract(t, data, ExtractOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, expected := snapshotTree(t, dir), want
			if c.weaken != nil {
				got, expected = c.weaken(got), c.weaken(want)
			}
			sameTree(t, c.name, got, expected)
			if strings.Contains(c.flags, "-S") {
				for _, name := range []string{"hole", "allhole", "headhole"} {
					if n := blocks(t, filepath.Join(dir, name)); n > 64<<10 {
						t.Errorf("%s takes %d bytes: its holes are gone", name, n)
					}
				}
			}
		})
	}
}

// TestWrite: what Write packs is the tree again, for GNU tar and for Extract, and the same bytes each time.
func TestWrite(t *testing.T) {
	top := t.TempDir()
	makeAwkward(t, top)
	want := snapshotTree(t, filepath.Join(top, "t"))
	data := pack(t, filepath.Join(top, "t"), WriteOptions{})
	if again := pack(t, filepath.Join(top, "t"), WriteOptions{}); !bytes.Equal(data, again) {
		t.Error("the same tree gave other bytes")
	}
	if len(data) > 2<<20 {
		t.Errorf("the archive has %d bytes: holes were written out", len(data))
	}
	dir, _, err := extract(t, data, ExtractOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, "Extract", snapshotTree(t, dir), want)
	if err := os.WriteFile(filepath.Join(top, "a.tar"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, top, "mkdir gnu; tar -C gnu --numeric-owner --xattrs --xattrs-include='*' -xpf a.tar")
	sameTree(t, "GNU tar", snapshotTree(t, filepath.Join(top, "gnu")), want)
}

func pack(t *testing.T, dir string, o WriteOptions) []byte {
	t.Helper()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, root, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestShift: a tree with a user namespace's host ids comes from and goes to an archive with the container's.
func TestShift(t *testing.T) {
	needRoot(t)
	top := t.TempDir()
	run(t, top, "mkdir t; cp /bin/true t/x; echo > t/f; chown 1000:50 t/f; echo > t/big; chown 70000:0 t/big")
	setXattr(t, filepath.Join(top, "t/x"), "security.capability", capNetRaw)
	setXattr(t, filepath.Join(top, "t/f"), aclAccess, someACL)
	ids := IDMaps{UIDs: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1 << 29, Size: 65536}, {ContainerID: 65536, HostID: 1 << 30, Size: 1 << 20}}}
	ids.GIDs = ids.UIDs
	plain := pack(t, filepath.Join(top, "t"), WriteOptions{})
	dir, _, err := extract(t, plain, ExtractOptions{IDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	for name, owner := range map[string][2]uint32{"x": {1 << 29, 1 << 29}, "f": {1<<29 + 1000, 1<<29 + 50}, "big": {1<<30 + 4464, 1 << 29}} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil || st.Uid != owner[0] || st.Gid != owner[1] {
			t.Errorf("%s belongs to %d:%d, want %v", name, st.Uid, st.Gid, owner)
		}
	}
	if v := xattrsOf(t, filepath.Join(dir, "x"))["security.capability"]; len(v) != capSize3 {
		t.Errorf("the capability on disk is % x", v)
	}
	acl := xattrsOf(t, filepath.Join(dir, "f"))[aclAccess]
	if len(acl) != len(someACL) || binary.LittleEndian.Uint32([]byte(acl[16:])) != 1<<29+1000 || binary.LittleEndian.Uint32([]byte(acl[32:])) != 1<<29+77 {
		t.Errorf("the ACL on disk is % x", acl)
	}
	if back := pack(t, dir, WriteOptions{IDs: ids}); !bytes.Equal(back, plain) {
		t.Error("the way back gives another archive")
	}
}

// TestWriteUpper: overlayfs' marks become .wh. names, and Extract makes them marks again.
func TestWriteUpper(t *testing.T) {
	needRoot(t)
	top := t.TempDir()
	run(t, top, "mkdir -p t/old t/new; mknod t/gone c 0 0; echo > t/old/f")
	for _, name := range []string{"t/old", "t/new"} {
		setXattr(t, filepath.Join(top, name), overlayOpaque, "y")
	}
	data := pack(t, filepath.Join(top, "t"), WriteOptions{Upper: true, Hides: func(name string) bool { return name == "old" }})
	var kinds []string
	r := NewReader(bytes.NewReader(data))
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind.String()+" "+e.Name)
	}
	want := "directory .; whiteout gone; directory new; directory old; opaque whiteout old; file old/f"
	if got := strings.Join(kinds, "; "); got != want {
		t.Errorf("archive is\n  %s\nwant\n  %s", got, want)
	}
}

// TestShrinkingFile: a file that shrinks while it is read is padded, so that the archive stays whole.
func TestShrinkingFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("short"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := &treeWriter{ctx: t.Context(), buf: make([]byte, 16)}
	if err := w.copy(&b, f, 0, 40); err != nil {
		t.Fatal(err)
	}
	if want := "short" + strings.Repeat("\x00", 35); b.String() != want {
		t.Errorf("copied %q", b.String())
	}
}

// TestSparseBomb: a few bytes of archive must not keep a machine busy for hours.
func TestSparseBomb(t *testing.T) {
	top := t.TempDir()
	run(t, top, "truncate -s 3T hole && tar -S --format=gnu -cf gnu.tar hole && tar -S --format=pax -cf pax.tar hole")
	for _, name := range []string{"gnu.tar", "pax.tar"} {
		data, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := extract(t, data, ExtractOptions{}); !errors.Is(err, container.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
