package runtime

import (
	"fmt"
	"path"
	"strings"

	"gourd/internal/linux"
	"gourd/internal/runtime/child"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The kit is a tmpfs with the container's device nodes, made by the parent through its descriptor: nodes
// on a file system of the host's user namespace work in the container's, and an image can't have put
// anything there (CVE-2025-31133: /dev/null as a link). Usually it is the container's /dev. A
// container without a tmpfs on /dev has it out of sight, and gets each node by a bind.

// defaultDevices are those every container has (runtime-spec, config-linux.md, "Default Devices").
var defaultDevices = []specs.LinuxDevice{
	{Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
	{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	{Path: "/dev/full", Type: "c", Major: 1, Minor: 7},
	{Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
	{Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
	{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9},
}

// devLinks are the symbolic links of every /dev.
var devLinks = [][2]string{
	{"/proc/self/fd", "fd"},
	{"/proc/self/fd/0", "stdin"},
	{"/proc/self/fd/1", "stdout"},
	{"/proc/self/fd/2", "stderr"},
	{"/proc/kcore", "core"},
	{"pts/ptmx", "ptmx"},
}

func isDevTmpfs(m *specs.Mount) bool {
	return m.Type == "tmpfs" && path.Clean("/"+m.Destination) == "/dev"
}

// devMount is the spec's mount at /dev, nil for none.
func (b *build) devMount() *specs.Mount {
	for i := range b.spec.Mounts {
		if path.Clean("/"+b.spec.Mounts[i].Destination) == "/dev" {
			return &b.spec.Mounts[i]
		}
	}
	return nil
}

// makeKit makes the tmpfs and its nodes.
func (b *build) makeKit() error {
	o := mountOptions{data: []linux.Option{{Key: "mode", Value: "755"}, {Key: "size", Value: "64k"}}}
	if m := b.devMount(); m != nil && isDevTmpfs(m) {
		o = parseMountOptions(m.Options)
	}
	devices := b.devices()
	calls := func() []string {
		list := []string{`fsopen("tmpfs")`}
		for _, d := range devices {
			list = append(list, fmt.Sprintf("mknodat(%q, %d:%d)", d.Path, d.Major, d.Minor))
		}
		return list
	}
	return b.parent("make devices", "a /dev of the container's own, with the few devices it needs", calls, func() error {
		uid, gid, err := b.ids.root()
		if err != nil {
			return err
		}
		if err := b.mountKit(&o, uid, gid); err != nil {
			return err
		}
		for i := range devices {
			if err := b.makeNode(&devices[i]); err != nil {
				return err
			}
		}
		for _, l := range devLinks {
			if err := linux.Symlink(l[0], b.kitMount, l[1]); err != nil {
				return fmt.Errorf("make link /dev/%s: %w", l[1], err)
			}
			if err := b.ownNode(l[1], uid, gid); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *build) mountKit(o *mountOptions, uid, gid int) (err error) {
	options := make([]linux.Option, 0, len(o.data)+2)
	options = append(options, linux.Option{Key: "uid", Value: fmt.Sprint(uid)}, linux.Option{Key: "gid", Value: fmt.Sprint(gid)})
	for _, d := range o.data {
		if d, err = b.mapOption(d); err != nil {
			return err
		}
		options = append(options, d)
	}
	// Read-only, if it shall be, once everything is in it.
	b.kitMount, err = linux.Mount("tmpfs", o.own()&^unix.MOUNT_ATTR_RDONLY, options...)
	b.own(b.kitMount)
	return err
}

// devices are the default ones and the spec's; the spec's come first where both have one.
func (b *build) devices() []specs.LinuxDevice {
	list := b.spec.Linux.Devices
	have := make(map[string]bool, len(list))
	for _, d := range list {
		have[path.Clean(d.Path)] = true
	}
	all := append([]specs.LinuxDevice(nil), list...)
	for _, d := range defaultDevices {
		if !have[d.Path] {
			all = append(all, d)
		}
	}
	return all
}

// nodeName is where a device lies in the kit: its path below /dev, or one that can't clash.
func nodeName(d *specs.LinuxDevice) string {
	if rel, ok := strings.CutPrefix(path.Clean(d.Path), "/dev/"); ok {
		return rel
	}
	return ".outside" + strings.ReplaceAll(path.Clean("/"+d.Path), "/", "_")
}

// makeNode makes one device node with its mode and owner.
func (b *build) makeNode(d *specs.LinuxDevice) error {
	kind, err := nodeType(d.Type)
	if err != nil {
		return err
	}
	name := nodeName(d)
	uid, gid, err := b.nodeOwner(d)
	if err != nil {
		return err
	}
	if err := b.makeNodeParents(name); err != nil {
		return err
	}
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(d.FileMode.Perm())
	}
	dev := uint64(0)
	if kind != unix.S_IFIFO {
		dev = unix.Mkdev(uint32(d.Major), uint32(d.Minor))
	}
	if err := linux.Mknod(b.kitMount, name, kind|mode, dev); err != nil {
		return fmt.Errorf("make device %s: %w", d.Path, err)
	}
	if err := linux.Chmod(b.kitMount, name, mode); err != nil { // mknod obeys this process's umask
		return fmt.Errorf("set mode of device %s: %w", d.Path, err)
	}
	return b.ownNode(name, uid, gid)
}

func (b *build) ownNode(name string, uid, gid int) error {
	if uid == 0 && gid == 0 {
		return nil
	}
	if err := linux.Chown(b.kitMount, name, uid, gid); err != nil {
		return fmt.Errorf("set owner of /dev/%s: %w", name, err)
	}
	return nil
}

func (b *build) nodeOwner(d *specs.LinuxDevice) (uid, gid int, err error) {
	u, g := uint32(0), uint32(0)
	if d.UID != nil {
		u = *d.UID
	}
	if d.GID != nil {
		g = *d.GID
	}
	hu, ok := b.ids.hostUID(u)
	hg, ok2 := b.ids.hostGID(g)
	if !ok || !ok2 {
		return 0, 0, b.invalid("linux.devices", fmt.Errorf("the owner %d:%d of %s is not mapped", u, g, d.Path))
	}
	return int(hu), int(hg), nil
}

// makeNodeParents makes the directories of a node such as /dev/net/tun.
func (b *build) makeNodeParents(name string) error {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	uid, gid, err := b.ids.root()
	if err != nil {
		return err
	}
	fd, err := linux.MkdirAllInRootFD(b.kitMount, dir, 0o755, uid, gid)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func nodeType(t string) (uint32, error) {
	switch t {
	case "c", "u":
		return unix.S_IFCHR, nil
	case "b":
		return unix.S_IFBLK, nil
	case "p":
		return unix.S_IFIFO, nil
	}
	return 0, invalidSpec("linux.devices", fmt.Errorf("%q is no type of device", t))
}

// placeKit hands the kit to the child.
func (b *build) placeKit() { b.kit = b.p.FD(b.kitMount) }

// attachDev attaches the kit as /dev.
func (b *build) attachDev(o *mountOptions) error {
	b.p.Step("mount /dev", "a /dev of the container's own")
	b.attach(b.kit, "/dev", false)
	return nil
}

// finishDev does what has to wait until all mounts are there: a read-only /dev, and nodes outside of it.
func (b *build) finishDev() {
	m := b.devMount()
	ours := m != nil && isDevTmpfs(m)
	if ours {
		if o := parseMountOptions(m.Options); (o.set|o.setAll)&unix.MOUNT_ATTR_RDONLY != 0 {
			b.setAttr(b.kit, false, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		}
	} else {
		b.p.Step("keep devices ready", "they are bound into the container's own /dev")
		b.hide(b.kit, "/sys")
	}
	for _, d := range b.devices() {
		inDev := strings.HasPrefix(path.Clean(d.Path), "/dev/")
		if inDev && (ours || m != nil) {
			continue // there already, or /dev is the spec's own business
		}
		b.p.Step("bind device "+d.Path, "a device the container was given")
		b.bindNode(nodeName(&d), path.Clean("/"+d.Path))
	}
}

// bindNode attaches a copy of a node of the kit somewhere else.
func (b *build) bindNode(name, dest string) {
	mount := b.p.NewSlot()
	b.p.Call(unix.SYS_OPEN_TREE, b.kit.Value(), b.p.Str(name), child.N(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).Into(mount)
	b.attach(mount, dest, true)
	b.p.Call(unix.SYS_CLOSE, mount.Value())
}
