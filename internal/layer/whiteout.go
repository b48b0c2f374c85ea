package layer

import (
	"path"

	"golang.org/x/sys/unix"
)

// whiteout hides a name of the lower layers. What this layer itself makes stays, in whatever order the
// archive has them (image-spec, layer.md: whiteouts apply to lower layers only).
func (x *extractor) whiteout(e *Entry) error {
	dir, base := split(e.Name)
	if x.o.Mode == Apply {
		return x.delete(dir, base, e.Name)
	}
	parent, err := x.parent(dir)
	if err != nil {
		return err
	}
	err = unix.Mknodat(parent, base, unix.S_IFCHR, 0)
	if err != unix.EEXIST {
		return err
	}
	st, err := lstatAt(parent, base)
	if err != nil || !isDir(&st) {
		return err
	}
	// "It was deleted and there is a new directory": the new one shows nothing of the lower layers.
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return setOpaque(fd)
}

// opaque hides all that lower layers have in a directory.
func (x *extractor) opaque(e *Entry) error {
	if x.o.Mode == Apply {
		return x.empty(e.Name)
	}
	if e.Name == "." {
		x.result.Opaque = true
	}
	fd, err := x.parent(e.Name)
	if err != nil {
		return err
	}
	return setOpaque(fd)
}

// delete is Apply's whiteout.
func (x *extractor) delete(dir, base, name string) error {
	parent, err := openInRoot(x.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(parent)
	x.forget()
	if err := x.touch(parent, dir); err != nil {
		return err
	}
	if !x.made[name] {
		return removeAll(parent, base)
	}
	if st, err := lstatAt(parent, base); err == nil && isDir(&st) {
		return x.empty(name)
	}
	return nil
}

// empty is Apply's opaque: everything in the directory goes that this layer has not made.
func (x *extractor) empty(name string) error {
	fd, err := openInRoot(x.root, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	x.forget()
	if err := x.touch(fd, name); err != nil {
		return err
	}
	names, err := readNames(fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		child := path.Join(name, n)
		if !x.made[child] {
			err = removeAll(fd, n)
		} else if st, lerr := lstatAt(fd, n); lerr == nil && isDir(&st) {
			err = x.empty(child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
