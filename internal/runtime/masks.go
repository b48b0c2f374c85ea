package runtime

import (
	"path"
	"strings"

	"gourd/internal/linux"
	"gourd/internal/runtime/child"

	"golang.org/x/sys/unix"
)

// writeReadonlyPaths covers each path with a copy of itself that was made read-only before it is attached: nothing is
// looked up twice (youki GHSA-3q8j-pf29-vwv8).
func (b *build) writeReadonlyPaths() {
	if len(b.spec.Linux.ReadonlyPaths) == 0 {
		return
	}
	p := b.p
	p.Step("make paths read-only", "these belong to the machine, not to the container")
	readonly := child.Struct(p, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	empty := p.Str("")
	for _, name := range b.spec.Linux.ReadonlyPaths {
		next, at, copied := p.NewLabel(), p.NewSlot(), p.NewSlot()
		p.Call(unix.SYS_OPENAT2, b.root.Value(), b.relative(name), b.inRoot(unix.O_PATH), child.N(openHowSize)).Into(at).OnError(next, unix.ENOENT, unix.ENOTDIR)
		p.Call(unix.SYS_OPEN_TREE, at.Value(), empty, child.N(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)).Into(copied)
		p.Call(unix.SYS_MOUNT_SETATTR, copied.Value(), empty, child.N(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE), readonly, child.N(32))
		b.moveTo(copied, at)
		p.Place(next)
	}
}

// moveTo attaches a detached mount to an opened place.
func (b *build) moveTo(mount, at child.Slot) {
	p := b.p
	p.Call(unix.SYS_MOVE_MOUNT, mount.Value(), p.Str(""), at.Value(), p.Str(""), child.N(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
	p.Call(unix.SYS_CLOSE, mount.Value())
	p.Call(unix.SYS_CLOSE, at.Value())
}

func (b *build) relative(name string) child.Arg {
	return b.p.Str("./" + strings.TrimPrefix(path.Clean("/"+name), "/"))
}

// writeMaskedPaths covers files with our own null device and directories with an empty read-only tmpfs.
func (b *build) writeMaskedPaths() {
	if len(b.spec.Linux.MaskedPaths) == 0 {
		return
	}
	p := b.p
	p.Step("mask paths", "what they tell about the machine is none of the container's business")
	// An empty directory that the masks of directories are copies of.
	blank := b.newMount("tmpfs", "tmpfs", &mountOptions{
		set:  unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
		data: []linux.Option{{Key: "mode", Value: "755"}},
	})
	b.hide(blank, "/proc")
	null, clone, empty := p.Str("null"), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC, p.Str("")
	seen := map[string]bool{}
	for _, name := range b.spec.Linux.MaskedPaths {
		if seen[path.Clean(name)] {
			continue
		}
		seen[path.Clean(name)] = true
		next, file, at, mask := p.NewLabel(), p.NewLabel(), p.NewSlot(), p.NewSlot()
		rel := b.relative(name)
		// O_DIRECTORY tells the two kinds apart.
		p.Call(unix.SYS_OPENAT2, b.root.Value(), rel, b.inRoot(unix.O_PATH|unix.O_DIRECTORY), child.N(openHowSize)).Into(at).OnError(file, unix.ENOTDIR, unix.ENOENT)
		p.Call(unix.SYS_OPEN_TREE, blank.Value(), empty, child.N(clone|unix.AT_EMPTY_PATH)).Into(mask)
		b.moveTo(mask, at)
		p.Goto(next)
		p.Place(file)
		p.Call(unix.SYS_OPENAT2, b.root.Value(), rel, b.inRoot(unix.O_PATH), child.N(openHowSize)).Into(at).OnError(next, unix.ENOENT, unix.ENOTDIR)
		p.Call(unix.SYS_OPEN_TREE, b.kit.Value(), null, child.N(clone)).Into(mask)
		b.moveTo(mask, at)
		p.Place(next)
	}
}
