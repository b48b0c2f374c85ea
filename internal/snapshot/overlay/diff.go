package overlay

import (
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"

	"golang.org/x/sys/unix"
)

// Diff writes the upper directory as a layer.
func (d *Overlay) Diff(ctx context.Context, id string, w io.Writer) error {
	s, err := d.load(id)
	if err != nil {
		return err
	}
	upper, below, err := d.open(id, s)
	if err != nil {
		return err
	}
	defer upper.Close()
	defer below.close()
	return layer.Write(ctx, w, upper, layer.WriteOptions{IDs: s.IDs, Upper: true, Hides: below.has})
}

// Changes compares the upper directory with what it stands on.
func (d *Overlay) Changes(id string) ([]driver.Change, error) {
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	upper, below, err := d.open(id, s)
	if err != nil {
		return nil, err
	}
	defer upper.Close()
	defer below.close()
	c := &comparer{ids: s.IDs}
	if err := c.dir(int(upper.Fd()), below, "/"); err != nil {
		return nil, &container.Error{Verb: "compare container", Object: id, Cause: err}
	}
	sort.Slice(c.changes, func(i, j int) bool { return c.changes[i].Path < c.changes[j].Path })
	return c.changes, nil
}

// Usage sums up the sizes of the files in the upper directory.
func (d *Overlay) Usage(id string) (int64, error) {
	if _, err := d.load(id); err != nil {
		return 0, err
	}
	upper, err := d.openUpper(id)
	if err != nil {
		return 0, err
	}
	defer upper.Close()
	sum, err := layer.Usage(upper)
	if err != nil {
		return 0, &container.Error{Verb: "measure container", Object: id, Cause: err}
	}
	return sum, nil
}

func (d *Overlay) openUpper(id string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(d.containerDir(id), "upper"), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &container.Error{Verb: "open writable layer", Object: id, Cause: err}
	}
	return f, nil
}

// open opens the upper directory and the merged directory below it.
func (d *Overlay) open(id string, s *snapshot) (*os.File, *merged, error) {
	upper, err := d.openUpper(id)
	if err != nil {
		return nil, nil, err
	}
	below := new(merged)
	for _, dir := range s.Lower {
		f, err := os.OpenFile(d.abs(dir), os.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			below.close()
			upper.Close()
			return nil, nil, &container.Error{Verb: "open layer", Object: dir, Cause: err}
		}
		below.dirs = append(below.dirs, f)
	}
	return upper, below, nil
}

// merged is one directory as an overlay of lower layers shows it: the layers' directories, the topmost first.
// No directories means that there is none.
type merged struct{ dirs []*os.File }

func (m *merged) close() {
	for _, f := range m.dirs {
		f.Close()
	}
	m.dirs = nil
}

// lookup finds name: the directory that holds it and what it is there; nil if the layers have none.
func (m *merged) lookup(name string) (*os.File, *unix.Stat_t) {
	for _, dir := range m.dirs {
		var st unix.Stat_t
		if unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		if isWhiteout(&st) {
			return nil, nil
		}
		return dir, &st
	}
	return nil, nil
}

// sub opens the merged directory name.
func (m *merged) sub(name string) *merged {
	out := new(merged)
	for _, dir := range m.dirs {
		fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			break // a whiteout or a file hides the rest
		}
		f := os.NewFile(uintptr(fd), name)
		out.dirs = append(out.dirs, f)
		if layer.IsOpaque(f) {
			break
		}
	}
	return out
}

// names lists what the merged directory shows.
func (m *merged) names() []string {
	seen := map[string]bool{}
	var out []string
	for _, dir := range m.dirs {
		names, err := readNames(int(dir.Fd()))
		if err != nil {
			continue
		}
		for _, n := range names {
			if !seen[n] {
				seen[n] = true
				if _, st := m.lookup(n); st != nil {
					out = append(out, n)
				}
			}
		}
	}
	return out
}

// walk opens the merged directory at a path, not following links. The caller closes it.
func (m *merged) walk(name string) *merged {
	at := &merged{}
	for _, dir := range m.dirs {
		fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		at.dirs = append(at.dirs, os.NewFile(uintptr(fd), dir.Name()))
	}
	if name == "." {
		return at
	}
	for c := range strings.SplitSeq(name, "/") {
		next := at.sub(c)
		at.close()
		at = next
	}
	return at
}

// has says whether the path exists as a directory in the layers.
func (m *merged) has(name string) bool {
	at := m.walk(name)
	defer at.close()
	return len(at.dirs) > 0
}

func readNames(fd int) ([]string, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}

func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// comparer walks upper and lower side by side. A directory counts as changed where its own data (owner, mode,
// attributes; not its time) or anything in it did, as docker counts.
type comparer struct {
	ids     layer.IDMaps
	changes []driver.Change
}

func (c *comparer) add(kind driver.ChangeKind, p string) {
	c.changes = append(c.changes, driver.Change{Kind: kind, Path: p})
}

// dir compares one directory's entries.
func (c *comparer) dir(upper int, below *merged, at string) error {
	names, err := readNames(upper)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.entry(upper, below, at, name); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparer) entry(upper int, below *merged, at, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(upper, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == unix.ENOENT {
		return nil
	} else if err != nil {
		return err
	}
	p := path.Join(at, name)
	holder, old := below.lookup(name)
	switch {
	case isWhiteout(&st):
		if old != nil {
			c.add(driver.Deleted, p)
		}
		return nil
	case old == nil:
		c.add(driver.Added, p)
		if isDir(&st) {
			return c.subdir(upper, &merged{}, p, name)
		}
		return nil
	}
	if isDir(old) && !isDir(&st) {
		c.deleted(below.sub(name), nil, p)
	}
	n := len(c.changes)
	if isDir(&st) {
		sub := &merged{}
		if isDir(old) {
			sub = below.sub(name)
		}
		err := c.subdir(upper, sub, p, name)
		sub.close()
		if err != nil {
			return err
		}
	}
	if len(c.changes) > n || c.differ(upper, holder, name, &st, old) {
		c.add(driver.Modified, p)
	}
	return nil
}

// subdir goes into a directory of the upper layer. In an opaque one everything old that isn't new is deleted.
func (c *comparer) subdir(upper int, below *merged, p, name string) error {
	fd, err := unix.Openat(upper, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if layer.IsOpaque(f) {
		c.deleted(below, f, p)
	}
	return c.dir(fd, below, p)
}

// deleted lists the entries of a lower directory that are not in the new one (nil: there is none).
func (c *comparer) deleted(below *merged, now *os.File, p string) {
	for _, name := range below.names() {
		var st unix.Stat_t
		if now == nil || unix.Fstatat(int(now.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			c.add(driver.Deleted, path.Join(p, name))
		}
	}
	if now == nil {
		below.close()
	}
}

// differ compares what is known of two entries; their content is taken as equal where size and time are.
func (c *comparer) differ(upper int, holder *os.File, name string, now, old *unix.Stat_t) bool {
	uid, gid := c.ids.Container(now.Uid, now.Gid)
	if now.Mode != old.Mode || uid != old.Uid || gid != old.Gid || now.Rdev != old.Rdev {
		return true
	}
	if !isDir(now) && (now.Mtim != old.Mtim || now.Size != old.Size) {
		return true
	}
	a, aerr := layer.Xattrs(upper, name, c.ids)
	b, berr := layer.Xattrs(int(holder.Fd()), name, layer.IDMaps{})
	if aerr != nil || berr != nil || len(a) != len(b) {
		return true
	}
	for k, v := range a {
		if b[k] != v {
			return true
		}
	}
	return false
}
