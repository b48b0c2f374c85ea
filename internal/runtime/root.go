package runtime

import (
	"fmt"
	"path/filepath"
	"strconv"

	"gourd/internal/container"
	"gourd/internal/linux"
	"gourd/internal/runtime/child"

	"golang.org/x/sys/unix"
)

// mountRoot makes the root tree as a detached mount: nobody sees it before it is the container's root.
func (b *build) mountRoot() error {
	fs := b.c.RootFS
	if fs == nil {
		dir := b.spec.Root.Path
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(b.c.Bundle, dir)
		}
		fs = &container.RootFS{Layers: []container.Layer{{Dir: dir}}}
	}
	for _, l := range fs.Layers {
		if l.Dir == "" {
			return unsupported("a root file system layer that is no directory")
		}
	}
	why := "the floor the container stands on: an image's files"
	return b.parent("mount root file system", why, func() []string { return rootCalls(fs) }, func() (err error) {
		if !fs.Overlay && len(fs.Layers) == 1 && fs.Upper == "" {
			b.rootMount, err = b.plainRoot(fs)
		} else {
			b.rootMount, err = b.overlayRoot(fs)
		}
		b.own(b.rootMount)
		return err
	})
}

func rootCalls(fs *container.RootFS) []string {
	var calls []string
	for _, l := range fs.Layers {
		calls = append(calls, fmt.Sprintf("open_tree(%q, OPEN_TREE_CLONE)", l.Dir))
	}
	if fs.Idmap {
		calls = append(calls, "mount_setattr(MOUNT_ATTR_IDMAP) on each")
	}
	if fs.Overlay || len(fs.Layers) != 1 || fs.Upper != "" {
		calls = append(calls, `fsopen("overlay")`, fmt.Sprintf("fsconfig(lowerdir+) × %d", len(fs.Layers)))
		if fs.Upper != "" {
			calls = append(calls, fmt.Sprintf("fsconfig(upperdir, %q)", fs.Upper))
		}
	}
	return calls
}

// plainRoot copies the mount of one directory. What is mounted below it comes along, as with runc.
func (b *build) plainRoot(fs *container.RootFS) (int, error) {
	dir := fs.Layers[0].Dir
	fd, err := linux.OpenTree(unix.AT_FDCWD, dir, true)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", dir, err)
	}
	attr := unix.MountAttr{Propagation: b.rootPropagation()}
	err = linux.SetAttr(fd, true, &attr)
	if err == nil && fs.Idmap && b.ids.active {
		err = linux.SetAttr(fd, false, b.idmapAttr())
	}
	if err == nil {
		err = b.protectRoot(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set attributes of %s: %w", dir, err)
	}
	return fd, nil
}

func (b *build) idmapAttr() *unix.MountAttr {
	return &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(b.userNS)}
}

// protectRoot forbids device nodes on the root of a container in a user namespace: it can't make any, so
// those that an image brings are not for it. The devices it has are on /dev, which we made.
func (b *build) protectRoot(fd int) error {
	if !b.ids.active {
		return nil
	}
	return linux.SetAttr(fd, false, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NODEV})
}

// rootPropagation is what linux.rootfsPropagation makes of the tree; private by default.
func (b *build) rootPropagation() uint64 {
	flag, _, _ := propagationFlag(b.spec.Linux.RootfsPropagation)
	if flag == 0 {
		return unix.MS_PRIVATE
	}
	return flag
}

// overlayRoot makes an overlay of layers, each copied (and idmapped) first. The layers are handed over
// as descriptors, which overlayfs takes since Linux 6.13; before, see overlayByPath.
func (b *build) overlayRoot(fs *container.RootFS) (int, error) {
	layers := make([]int, 0, len(fs.Layers))
	defer func() {
		for _, fd := range layers {
			unix.Close(fd)
		}
	}()
	for _, l := range fs.Layers {
		fd, err := b.openLayer(l.Dir, fs.Idmap)
		if err != nil {
			return -1, err
		}
		layers = append(layers, fd)
	}
	options := make([]linux.Option, 0, len(layers)+4)
	for _, fd := range layers {
		options = append(options, linux.Option{Key: "lowerdir+", FD: fd, IsFD: true})
	}
	if fs.Upper != "" {
		for key, dir := range map[string]string{"upperdir": fs.Upper, "workdir": fs.Work} {
			fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return -1, fmt.Errorf("open %s: %w", dir, err)
			}
			layers = append(layers, fd)
			options = append(options, linux.Option{Key: key, FD: fd, IsFD: true})
		}
		if fs.Volatile {
			options = append(options, linux.Option{Key: "volatile"})
		}
	}
	attrs := 0
	if b.ids.active {
		attrs = unix.MOUNT_ATTR_NODEV // see protectRoot
	}
	fd, err := linux.Mount("overlay", attrs, options...)
	if err == nil {
		return fd, nil
	}
	byPath, pathErr := b.overlayByPath(layers[:len(fs.Layers)], fs, attrs)
	if pathErr != nil {
		return -1, err
	}
	return byPath, nil
}

func (b *build) openLayer(dir string, idmap bool) (int, error) {
	fd, err := linux.OpenTree(unix.AT_FDCWD, dir, false)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", dir, err)
	}
	attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
	if idmap && b.ids.active {
		attr = *b.idmapAttr()
		attr.Propagation = unix.MS_PRIVATE
	}
	if err := linux.SetAttr(fd, false, &attr); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set attributes of %s: %w", dir, err)
	}
	return fd, nil
}

// writeRoot makes the root tree cover the child's "/", and everything that is mounted later land in it.
func (b *build) writeRoot() {
	b.root = b.p.FD(b.rootMount)
	p := b.p
	p.Step("attach root file system", "another floor to stand on")
	p.Call(unix.SYS_MOVE_MOUNT, b.root.Value(), p.Str(""), child.N(unix.AT_FDCWD), p.Str("/"), child.N(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// hide attaches a mount to a directory of the host's tree in the child's mount namespace. It goes with that tree, but until
// then copies can be made of it: of a detached mount only since Linux 6.15. It comes after the spec's mounts: the
// kernel gives a new proc and sysfs only to those who see the host's.
func (b *build) hide(mount child.Slot, dir string) {
	p := b.p
	p.Call(unix.SYS_MOVE_MOUNT, mount.Value(), p.Str(""), child.N(unix.AT_FDCWD), p.Str(dir), child.N(unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// writePivot makes the root tree "/" and the host's tree unreachable.
func (b *build) writePivot() {
	p, top := b.p, b.p.NewSlot()
	p.Step("pivot root", "the host's files are gone from sight")
	p.Call(unix.SYS_FCHDIR, b.root.Value())
	p.Call(unix.SYS_PIVOT_ROOT, p.Str("."), p.Str("."))
	p.Call(unix.SYS_UMOUNT2, p.Str("."), child.N(unix.MNT_DETACH)) // the host's tree, which lies on the new root now
	p.Call(unix.SYS_CHDIR, p.Str("/"))
	// If anything were left on "/", ".." would lead there.
	how := child.Struct(p, unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_XDEV})
	p.Call(unix.SYS_OPENAT2, child.N(unix.AT_FDCWD), p.Str(".."), how, child.N(openHowSize)).Into(top)
	p.Call(unix.SYS_CLOSE, top.Value())
	if flag := b.rootPropagation(); flag != unix.MS_PRIVATE {
		b.setAttr(b.root, true, unix.MountAttr{Propagation: flag})
	}
	if b.rootReadOnly() {
		p.Step("make root read-only", "the container can't change its files")
		b.setAttr(b.root, false, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	}
}

func (b *build) rootReadOnly() bool {
	return b.c.RootFS != nil && b.c.RootFS.ReadOnly || b.spec.Root != nil && b.spec.Root.Readonly
}

// becomeRoot takes the identity that the child has in its user namespace: before, it was nobody there.
func (b *build) becomeRoot() {
	if !b.ids.active {
		return
	}
	p := b.p
	p.Step("become root of the user namespace", "what is made from here on belongs to the container's root")
	p.Call(unix.SYS_SETRESGID, child.N(0), child.N(0), child.N(0))
	p.Call(unix.SYS_SETRESUID, child.N(0), child.N(0), child.N(0))
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_DUMPABLE), child.N(0))
	b.armParentDeath() // changing ids cleared it
	p.CheckParent()
}

// mapOption gives an option such as gid=5 of a file system that the parent mounts the host's number.
func (b *build) mapOption(o linux.Option) (linux.Option, error) {
	if o.Key != "uid" && o.Key != "gid" {
		return o, nil
	}
	n, err := strconv.ParseUint(o.Value, 10, 32)
	if err != nil {
		return o, b.invalid("mount option "+o.Key, err)
	}
	host, ok := b.ids.hostUID(uint32(n))
	if o.Key == "gid" {
		host, ok = b.ids.hostGID(uint32(n))
	}
	if !ok {
		return o, b.invalid("mount option "+o.Key, fmt.Errorf("%d is not mapped in the container's user namespace", n))
	}
	o.Value = strconv.FormatUint(uint64(host), 10)
	return o, nil
}
