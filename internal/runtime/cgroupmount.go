package runtime

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"gourd/internal/linux"
	"gourd/internal/runtime/child"

	"golang.org/x/sys/unix"
)

// writeCgroupMount mounts what a container sees of its cgroups: on v2 the hierarchy itself, on v1 and hybrid
// a tmpfs with a directory per hierarchy, each a bind of the container's own cgroup (its limits can be
// read there, and nothing above).
func (b *build) writeCgroupMount(o *mountOptions, dest string) error {
	unified, legacy := b.cgroupDirs()
	if len(legacy) == 0 {
		return b.writeCgroup2(unified, o, dest)
	}
	type bind struct {
		name  string
		mount child.Slot
	}
	var binds []bind
	for _, dir := range sortedKeys(legacy) {
		mount := -1
		err := b.parent("copy cgroup "+hierarchyName(dir), "the container may look at its own limits", cgroupCall(dir),
			func() (err error) {
				mount, err = cgroupBind(dir, o.set|o.setAll)
				return err
			})
		if err != nil {
			return err
		}
		binds = append(binds, bind{hierarchyName(dir), b.p.FD(b.own(mount))})
	}
	p := b.p
	p.Step("mount "+dest, "the container's own limits, hierarchy by hierarchy")
	b.requireRealDirectory("/sys")
	tmpfs := b.newMount("tmpfs", "tmpfs", &mountOptions{set: (o.set | o.setAll) &^ unix.MOUNT_ATTR_RDONLY, data: []linux.Option{{Key: "mode", Value: "755"}}})
	b.attach(tmpfs, dest, false)
	for _, h := range binds {
		p.Call(unix.SYS_MKDIRAT, tmpfs.Value(), p.Str(h.name), child.N(0o755))
		p.Call(unix.SYS_MOVE_MOUNT, h.mount.Value(), p.Str(""), tmpfs.Value(), p.Str(h.name), child.N(unix.MOVE_MOUNT_F_EMPTY_PATH))
	}
	b.linkControllers(tmpfs, legacy)
	if (o.set|o.setAll)&unix.MOUNT_ATTR_RDONLY != 0 {
		b.setAttr(tmpfs, false, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	}
	return nil
}

// linkControllers makes "cpu" lead to "cpu,cpuacct" where hierarchies are mounted together.
func (b *build) linkControllers(tmpfs child.Slot, legacy map[string][]string) {
	for _, dir := range sortedKeys(legacy) {
		for _, controller := range legacy[dir] {
			if name := hierarchyName(dir); name != controller && strings.Contains(","+name+",", ","+controller+",") {
				b.p.Call(unix.SYS_SYMLINKAT, b.p.Str(name), tmpfs.Value(), b.p.Str(controller))
			}
		}
	}
}

// cgroupDirs sorts the group's directories: the unified one, and the legacy ones with their controllers.
func (b *build) cgroupDirs() (unified string, legacy map[string][]string) {
	legacy = map[string][]string{}
	for controller, dir := range b.c.Cgroup.Paths() {
		if controller == "" {
			unified = dir
			continue
		}
		legacy[dir] = append(legacy[dir], controller)
	}
	if len(legacy) > 0 && unified != "" {
		legacy[unified] = nil
	}
	return unified, legacy
}

// hierarchyName is the directory that a hierarchy is mounted on: /sys/fs/cgroup/NAME/…
func hierarchyName(dir string) string {
	rel := strings.TrimPrefix(filepath.Clean(dir), "/sys/fs/cgroup/")
	name, _, _ := strings.Cut(strings.TrimPrefix(rel, "/"), "/")
	return name
}

func cgroupBind(dir string, attrs uint64) (int, error) {
	mount, err := linux.OpenTree(unix.AT_FDCWD, dir, false)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", dir, err)
	}
	if err := linux.SetAttr(mount, false, &unix.MountAttr{Attr_set: attrs, Propagation: unix.MS_PRIVATE}); err != nil {
		unix.Close(mount)
		return -1, fmt.Errorf("set attributes of %s: %w", dir, err)
	}
	return mount, nil
}

func cgroupCall(dir string) func() []string {
	return func() []string { return []string{fmt.Sprintf("open_tree(%q, OPEN_TREE_CLONE)", dir)} }
}

// writeCgroup2 mounts the v2 hierarchy: in a cgroup namespace its root is the container's cgroup; without
// one, a bind shows only that.
func (b *build) writeCgroup2(dir string, o *mountOptions, dest string) error {
	if b.ns.has(unix.CLONE_NEWCGROUP) {
		b.p.Step("mount "+dest, "the container's own limits")
		b.attach(b.newMount("cgroup2", "cgroup", &mountOptions{set: o.set, setAll: o.setAll}), dest, false)
		return nil
	}
	mount := -1
	err := b.parent("copy cgroup", "the container may look at its own limits", cgroupCall(dir), func() (err error) {
		mount, err = cgroupBind(dir, o.set|o.setAll)
		return err
	})
	if err != nil {
		return err
	}
	slot := b.p.FD(b.own(mount))
	b.p.Step("mount "+dest, "the container's own limits")
	b.attach(slot, dest, false)
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
