package vfs

import (
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"sort"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"

	"golang.org/x/sys/unix"
)

// node is what base.json remembers of a file, as the host sees it.
type node struct {
	Mode   uint32            `json:"m"`
	UID    uint32            `json:"u,omitempty"`
	GID    uint32            `json:"g,omitempty"`
	Size   int64             `json:"s,omitempty"`
	Sec    int64             `json:"t,omitempty"`
	Nsec   int64             `json:"n,omitempty"`
	Rdev   uint64            `json:"r,omitempty"`
	Xattrs map[string][]byte `json:"x,omitempty"`
}

func (n node) isDir() bool { return n.Mode&unix.S_IFMT == unix.S_IFDIR }

// tree is a whole directory tree, by path relative to its root.
type tree map[string]node

func readTree(root *os.File) (tree, error) {
	t := tree{}
	if err := t.dir(int(root.Fd()), "."); err != nil {
		return nil, &container.Error{Verb: "read tree", Object: root.Name(), Cause: err}
	}
	return t, nil
}

func (t tree) dir(fd int, name string) error {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(again), name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := t.entry(again, path.Join(name, n), n); err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

func (t tree) entry(parent int, name, base string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	n := node{Mode: st.Mode, UID: st.Uid, GID: st.Gid, Rdev: st.Rdev}
	if !n.isDir() { // a directory's own time and size are no change, as docker counts
		n.Size, n.Sec, n.Nsec = st.Size, st.Mtim.Sec, st.Mtim.Nsec
	}
	xattrs, err := layer.Xattrs(parent, base, layer.IDMaps{})
	if err != nil {
		return err
	}
	for k, v := range xattrs {
		if n.Xattrs == nil {
			n.Xattrs = map[string][]byte{}
		}
		n.Xattrs[k] = []byte(v)
	}
	t[name] = n
	if !n.isDir() {
		return nil
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return t.dir(fd, name)
}

// compare gives what differs by path.
func (t tree) compare(now tree) map[string]driver.ChangeKind {
	out := map[string]driver.ChangeKind{}
	note := func(name string, kind driver.ChangeKind) {
		out[name] = kind
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, known := out[dir]; !known {
				out[dir] = driver.Modified
			}
		}
	}
	for name, n := range now {
		if old, ok := t[name]; !ok {
			note(name, driver.Added)
		} else if !reflect.DeepEqual(n, old) {
			note(name, driver.Modified)
		}
	}
	for name := range t {
		if _, ok := now[name]; ok {
			continue
		}
		if _, parent := now[path.Dir(name)]; parent || path.Dir(name) == "." {
			note(name, driver.Deleted)
		}
	}
	return out
}

// changed reads a container's base and tree and compares them. The root stays open for the caller.
func (d *VFS) changed(id string) (*os.File, tree, map[string]driver.ChangeKind, error) {
	base := tree{}
	if err := readJSON(filepath.Join(d.containerDir(id), "base.json"), id, &base); err != nil {
		return nil, nil, nil, err
	}
	root, err := os.OpenFile(filepath.Join(d.containerDir(id), "root"), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, nil, &container.Error{Verb: "open writable layer", Object: id, Cause: err}
	}
	now, err := readTree(root)
	if err != nil {
		root.Close()
		return nil, nil, nil, err
	}
	return root, now, base.compare(now), nil
}

// Changes lists what differs from the image.
func (d *VFS) Changes(id string) ([]driver.Change, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	root, _, kinds, err := d.changed(id)
	if err != nil {
		return nil, err
	}
	root.Close()
	out := make([]driver.Change, 0, len(kinds))
	for name, kind := range kinds {
		out = append(out, driver.Change{Kind: kind, Path: "/" + name})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, nil
}

// Diff writes what differs as a layer.
func (d *VFS) Diff(ctx context.Context, id string, w io.Writer) error {
	s, err := d.load(id)
	if err != nil {
		return err
	}
	root, _, kinds, err := d.changed(id)
	if err != nil {
		return err
	}
	defer root.Close()
	deleted := map[string][]string{}
	for name, kind := range kinds {
		if kind == driver.Deleted {
			deleted[path.Dir(name)] = append(deleted[path.Dir(name)], path.Base(name))
		}
	}
	return layer.Write(ctx, w, root, layer.WriteOptions{
		IDs:  s.IDs,
		Keep: func(name string, st *unix.Stat_t) bool { return kinds[name] != 0 && kinds[name] != driver.Deleted },
		Deleted: func(dir string) []string {
			sort.Strings(deleted[dir])
			return deleted[dir]
		},
	})
}

// Usage is what the container added to or changed in its copy.
func (d *VFS) Usage(id string) (int64, error) {
	if err := checkID(id); err != nil {
		return 0, err
	}
	root, now, kinds, err := d.changed(id)
	if err != nil {
		return 0, err
	}
	root.Close()
	var sum int64
	for name := range kinds {
		if n := now[name]; n.Mode&unix.S_IFMT == unix.S_IFREG {
			sum += n.Size
		}
	}
	return sum, nil
}
