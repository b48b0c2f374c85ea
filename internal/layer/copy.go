package layer

import (
	"context"
	"fmt"
	"os"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// Copy makes name, relative to root, a copy of one file, link, device or directory (without what is in it): base
// in the open directory dir. The directories above name must be there.
func Copy(ctx context.Context, root *os.File, name string, dir *os.File, base string) error {
	e, data, err := entryOf(int(dir.Fd()), base)
	if err != nil {
		return &container.Error{Verb: "copy", Object: fmt.Sprintf("%.300q", name), Cause: err}
	}
	defer data.Close()
	e.Name = name
	x := newExtractor(ctx, root, data, ExtractOptions{Mode: Apply})
	defer x.forget()
	if err := x.entry(e); err != nil {
		return x.failed(e, err)
	}
	return x.finish()
}

// entryOf describes a file of a tree as an archive would, with its data open (or its O_PATH handle, where it has none).
func entryOf(dir int, base string) (*Entry, *os.File, error) {
	flags := unix.O_PATH
	st, err := lstatAt(dir, base)
	if err != nil {
		return nil, nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		flags = unix.O_RDONLY | unix.O_NONBLOCK
	}
	fd, err := unix.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), base)
	e, err := openedEntry(fd)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return e, f, nil
}

func openedEntry(fd int) (*Entry, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	e := &Entry{Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, Time: mtime(&st)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind, e.Size, e.Sparse = File, st.Size, st.Blocks*512 < st.Size
	case unix.S_IFDIR:
		e.Kind = Dir
	case unix.S_IFLNK:
		e.Kind = Symlink
		buf := make([]byte, maxPath+1)
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return nil, err
		}
		e.Link = string(buf[:n])
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Kind, e.Major, e.Minor = Char, unix.Major(st.Rdev), unix.Minor(st.Rdev)
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			e.Kind = Block
		}
	case unix.S_IFIFO:
		e.Kind = Fifo
	default:
		return nil, fmt.Errorf("type %o can't be copied", st.Mode&unix.S_IFMT)
	}
	var err error
	e.Xattrs, err = xattrFile{path: procPath(fd)}.content(IDMaps{})
	return e, err
}
