package runtime

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"gourd/internal/container"
	"gourd/internal/linux"
	"gourd/internal/runtime/child"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkMounts refuses mounts that can't be made.
func (b *build) checkMounts() error {
	for i := range b.spec.Mounts {
		m := &b.spec.Mounts[i]
		o := parseMountOptions(m.Options)
		switch {
		case path.Clean("/"+m.Destination) == "/":
			return b.invalid("mounts", fmt.Errorf("destination %q is the root itself", m.Destination))
		case o.tmpcopyup:
			return unsupported("mount option tmpcopyup")
		case isBind(m, &o) && m.Source == "":
			return b.invalid("mounts", fmt.Errorf("the bind to %s has no source", m.Destination))
		case len(m.UIDMappings)+len(m.GIDMappings) > 0 && !b.sameMappings(m):
			return unsupported("mount mappings other than the container's own")
		case m.Type == "cgroup" && b.c.Cgroup == nil:
			return b.invalid("mounts", errors.New("a mount of type cgroup needs a cgroup"))
		}
	}
	return nil
}

func isBind(m *specs.Mount, o *mountOptions) bool { return m.Type == "bind" || o.bind }

// sameMappings says whether the mount's id mappings are those of the container's user namespace.
func (b *build) sameMappings(m *specs.Mount) bool {
	l := b.spec.Linux
	return equalMappings(m.UIDMappings, l.UIDMappings) && equalMappings(m.GIDMappings, l.GIDMappings)
}

func equalMappings(a, b []specs.LinuxIDMapping) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// writeMounts writes the steps for the spec's mounts, in its order.
func (b *build) writeMounts() error {
	for i := range b.spec.Mounts {
		if err := b.writeMount(&b.spec.Mounts[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *build) writeMount(m *specs.Mount) error {
	o := parseMountOptions(m.Options)
	dest := path.Clean("/" + m.Destination)
	name := "mount " + dest
	switch {
	case isBind(m, &o):
		return b.writeBind(m, &o, dest)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return b.writeCgroupMount(&o, dest)
	case isDevTmpfs(m):
		return b.attachDev(&o)
	case m.Type == "devpts":
		return b.writeDevpts(&o, dest)
	}
	b.p.Step(name, "a new "+m.Type+" of the container's own")
	if dest == "/proc" || dest == "/sys" {
		b.requireRealDirectory(dest)
	}
	mount := b.newMount(m.Type, m.Source, &o)
	if m.Type == "proc" {
		b.writeSysctls(mount)
	}
	b.attach(mount, dest, false)
	b.propagate(mount, &o)
	return nil
}

// newMount adds the calls that make a file system in the child, and so in its user namespace.
func (b *build) newMount(fstype, source string, o *mountOptions) child.Slot {
	p, fs, mount := b.p, b.p.NewSlot(), b.p.NewSlot()
	p.Call(unix.SYS_FSOPEN, p.Str(fstype), child.N(unix.FSOPEN_CLOEXEC)).Into(fs)
	if source != "" {
		p.Call(unix.SYS_FSCONFIG, fs.Value(), child.N(unix.FSCONFIG_SET_STRING), p.Str("source"), p.Str(source), child.N(0))
	}
	for _, opt := range o.data {
		if opt.Value == "" {
			p.Call(unix.SYS_FSCONFIG, fs.Value(), child.N(unix.FSCONFIG_SET_FLAG), p.Str(opt.Key), child.N(0), child.N(0))
			continue
		}
		p.Call(unix.SYS_FSCONFIG, fs.Value(), child.N(unix.FSCONFIG_SET_STRING), p.Str(opt.Key), p.Str(opt.Value), child.N(0))
	}
	p.Call(unix.SYS_FSCONFIG, fs.Value(), child.N(unix.FSCONFIG_CMD_CREATE), child.N(0), child.N(0), child.N(0))
	p.Call(unix.SYS_FSMOUNT, fs.Value(), child.N(unix.FSMOUNT_CLOEXEC), child.N(o.own())).Into(mount)
	p.Call(unix.SYS_CLOSE, fs.Value())
	return mount
}

// inRoot is struct open_how for a place in the container's tree: "/" is its root, magic links lead nowhere.
func (b *build) inRoot(flags uint64) child.Arg {
	return child.Struct(b.p, unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}

const openHowSize = 24

// attach puts a detached mount at dest in the root tree. dest is found through a handle on the root, once; the
// place is made where it is missing (isFile: as an empty file).
func (b *build) attach(mount child.Slot, dest string, isFile bool) {
	p := b.p
	at := b.openPlace(dest, isFile)
	p.Call(unix.SYS_MOVE_MOUNT, mount.Value(), p.Str(""), at.Value(), p.Str(""),
		child.N(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	p.Call(unix.SYS_CLOSE, at.Value())
}

// openPlace opens dest with O_PATH, making it and its parents where they are missing.
func (b *build) openPlace(dest string, isFile bool) child.Slot {
	p, at := b.p, b.p.NewSlot()
	rel := strings.TrimPrefix(dest, "/")
	how := b.inRoot(unix.O_PATH)
	missing, found := p.NewLabel(), p.NewLabel()
	name := p.Str(rel)
	p.Call(unix.SYS_OPENAT2, b.root.Value(), name, how, child.N(openHowSize)).Into(at).OnError(missing, unix.ENOENT)
	p.Goto(found)
	p.Place(missing)
	b.makePlace(rel, isFile, nil)
	p.Call(unix.SYS_OPENAT2, b.root.Value(), name, how, child.N(openHowSize)).Into(at)
	p.Place(found)
	return at
}

// owner is who gets a directory that is made, by ids of the container.
type owner struct{ uid, gid uint32 }

// makePlace makes the directories of a path, and the last part as a file or directory. Each parent is looked up from
// the root again: nothing trusts what a string meant a moment ago (CVE-2024-45310).
func (b *build) makePlace(rel string, isFile bool, o *owner) {
	p, parent := b.p, b.p.NewSlot()
	parts := strings.Split(rel, "/")
	for i, part := range parts {
		if i == 0 {
			p.Call(unix.SYS_OPENAT2, b.root.Value(), p.Str("."), b.inRoot(unix.O_PATH), child.N(openHowSize)).Into(parent)
		} else {
			p.Call(unix.SYS_OPENAT2, b.root.Value(), p.Str(strings.Join(parts[:i], "/")), b.inRoot(unix.O_PATH), child.N(openHowSize)).Into(parent)
		}
		exists, made := p.NewLabel(), p.NewLabel()
		if isFile && i == len(parts)-1 {
			p.Call(unix.SYS_MKNODAT, parent.Value(), p.Str(part), child.N(unix.S_IFREG|0o644), child.N(0)).OnError(exists, unix.EEXIST)
		} else {
			p.Call(unix.SYS_MKDIRAT, parent.Value(), p.Str(part), child.N(0o755)).OnError(exists, unix.EEXIST)
		}
		if o != nil {
			p.Call(unix.SYS_FCHOWNAT, parent.Value(), p.Str(part), child.N(o.uid), child.N(o.gid), child.N(unix.AT_SYMLINK_NOFOLLOW))
		}
		p.Place(exists)
		p.Place(made)
		p.Call(unix.SYS_CLOSE, parent.Value())
	}
}

// requireRealDirectory refuses a root tree where /proc or /sys is a symbolic link (CVE-2019-19921, CVE-2023-27561).
func (b *build) requireRealDirectory(dest string) {
	p, fd := b.p, b.p.NewSlot()
	how := child.Struct(p, unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS,
	})
	p.Call(unix.SYS_OPENAT2, b.root.Value(), p.Str(strings.TrimPrefix(dest, "/")), how, child.N(openHowSize)).Into(fd).Tolerate(unix.ENOENT)
	p.Call(unix.SYS_CLOSE, fd.Value()).Tolerate(unix.EBADF)
}

// setAttr adds mount_setattr(2) on a mount the child has a descriptor of.
func (b *build) setAttr(mount child.Slot, recursive bool, attr unix.MountAttr) {
	flags := unix.AT_EMPTY_PATH
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	b.p.Call(unix.SYS_MOUNT_SETATTR, mount.Value(), b.p.Str(""), child.N(flags), child.Struct(b.p, attr), child.N(32))
}

// propagate sets the propagation a mount was given, after it is attached (a shared mount below a private
// one is fine, and attaching doesn't change it).
func (b *build) propagate(mount child.Slot, o *mountOptions) {
	if o.propagation != 0 && o.propagation != unix.MS_PRIVATE {
		b.setAttr(mount, o.propagationAll, unix.MountAttr{Propagation: o.propagation})
	}
}

// writeBind has the parent make a detached copy of the source with all its attributes, and the child attach it.
func (b *build) writeBind(m *specs.Mount, o *mountOptions, dest string) error {
	source := m.Source
	if !filepath.IsAbs(source) {
		source = filepath.Join(b.c.Bundle, source)
	}
	mount, isFile := -1, false
	err := b.parent("copy mount for "+dest, "a bind shows a directory or file of the host", func() []string { return bindCall(source, o) }, func() (err error) {
		mount, isFile, err = b.openBind(source, m, o)
		return err
	})
	if err != nil {
		return err
	}
	slot := b.p.FD(b.own(mount))
	b.p.Step("mount "+dest, "what the host has at "+source)
	b.attach(slot, dest, isFile)
	return nil
}

func bindCall(source string, o *mountOptions) []string {
	flags := "OPEN_TREE_CLONE"
	if o.recursive {
		flags += "|AT_RECURSIVE"
	}
	return []string{fmt.Sprintf("open_tree(%q, %s)", source, flags)}
}

// openBind copies the mount at source; the caller owns the result.
func (b *build) openBind(source string, m *specs.Mount, o *mountOptions) (mount int, isFile bool, err error) {
	if f := b.c.Detached[source]; f != nil {
		mount, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	} else {
		mount, err = linux.OpenTree(unix.AT_FDCWD, source, o.recursive)
	}
	if err != nil {
		return -1, false, fmt.Errorf("open %s: %w", source, err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(mount, &st); err == nil {
		err = b.setBindAttrs(mount, source, m, o)
	}
	if err != nil {
		unix.Close(mount)
		return -1, false, err
	}
	return mount, st.Mode&unix.S_IFMT != unix.S_IFDIR, nil
}

// setBindAttrs sets everything about a bind while nobody can see it yet.
func (b *build) setBindAttrs(mount int, source string, m *specs.Mount, o *mountOptions) error {
	all := unix.MountAttr{Attr_set: o.setAll, Attr_clr: o.clearAll}
	one := unix.MountAttr{Attr_set: o.set, Attr_clr: o.clear}
	// Like every engine: private unless something else is asked for.
	switch {
	case o.propagation == 0:
		all.Propagation = unix.MS_PRIVATE
	case o.propagationAll:
		all.Propagation = o.propagation
	default:
		one.Propagation = o.propagation
	}
	if all != (unix.MountAttr{}) {
		if err := linux.SetAttr(mount, true, &all); err != nil {
			return fmt.Errorf("set attributes of %s: %w", source, err)
		}
	}
	if one != (unix.MountAttr{}) {
		if err := linux.SetAttr(mount, false, &one); err != nil {
			return fmt.Errorf("set attributes of %s: %w", source, err)
		}
	}
	if (o.idmap || len(m.UIDMappings) > 0) && b.ids.active {
		return b.idmapBind(mount, source, o.idmapAll)
	}
	return nil
}

// idmapBind shows the files of a bind with the container's ids.
func (b *build) idmapBind(mount int, source string, recursive bool) error {
	err := linux.SetAttr(mount, recursive, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(b.userNS)})
	switch {
	case err == nil:
		return nil
	case b.c.LenientIdmap && (err == unix.EINVAL || err == unix.EPERM):
		b.notice("%s: its file system can't be mapped to the container's users (mount_setattr: %v); files there show their host owners, or nobody", source, err)
		return nil
	}
	return &container.Error{
		Verb: "map ids of mount", Object: source, Kind: container.ErrUnsupported, Cause: err,
		Hint: "its file system doesn't support idmapped mounts",
	}
}
