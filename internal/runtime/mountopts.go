package runtime

import (
	"strings"

	"gourd/internal/linux"

	"golang.org/x/sys/unix"
)

// mountOptions are a mount's options, sorted by what the kernel takes them for.
type mountOptions struct {
	set, clear       uint64 // MOUNT_ATTR_… of this mount
	setAll, clearAll uint64 // of this mount and all below
	propagation      uint64 // MS_PRIVATE …, 0: not given
	propagationAll   bool
	bind, recursive  bool
	idmap, idmapAll  bool
	tmpcopyup        bool
	data             []linux.Option // the file system's own
}

// attribute gives the mount attribute that an option sets or clears. The atime options are one field.
func attribute(name string) (set, clear uint64, ok bool) {
	const atime = unix.MOUNT_ATTR__ATIME
	switch name {
	case "ro":
		return unix.MOUNT_ATTR_RDONLY, 0, true
	case "rw":
		return 0, unix.MOUNT_ATTR_RDONLY, true
	case "nosuid":
		return unix.MOUNT_ATTR_NOSUID, 0, true
	case "suid":
		return 0, unix.MOUNT_ATTR_NOSUID, true
	case "nodev":
		return unix.MOUNT_ATTR_NODEV, 0, true
	case "dev":
		return 0, unix.MOUNT_ATTR_NODEV, true
	case "noexec":
		return unix.MOUNT_ATTR_NOEXEC, 0, true
	case "exec":
		return 0, unix.MOUNT_ATTR_NOEXEC, true
	case "nodiratime":
		return unix.MOUNT_ATTR_NODIRATIME, 0, true
	case "diratime":
		return 0, unix.MOUNT_ATTR_NODIRATIME, true
	case "nosymfollow":
		return unix.MOUNT_ATTR_NOSYMFOLLOW, 0, true
	case "symfollow":
		return 0, unix.MOUNT_ATTR_NOSYMFOLLOW, true
	case "relatime", "atime", "nostrictatime", "norelatime":
		return unix.MOUNT_ATTR_RELATIME, atime, true
	case "noatime":
		return unix.MOUNT_ATTR_NOATIME, atime, true
	case "strictatime":
		return unix.MOUNT_ATTR_STRICTATIME, atime, true
	}
	return 0, 0, false
}

// propagationFlag gives the propagation type of a word: "private", "rslave", … (mount_namespaces(7)).
func propagationFlag(name string) (flag uint64, recursive, ok bool) {
	word, recursive := strings.CutPrefix(name, "r")
	switch word {
	case "private":
		return unix.MS_PRIVATE, recursive, true
	case "shared":
		return unix.MS_SHARED, recursive, true
	case "slave":
		return unix.MS_SLAVE, recursive, true
	case "unbindable":
		return unix.MS_UNBINDABLE, recursive, true
	}
	return 0, false, false
}

// parseMountOptions sorts a mount's options. What is not known to be a mount attribute is the file
// system's own; it refuses what it doesn't know.
func parseMountOptions(options []string) mountOptions {
	var o mountOptions
	for _, name := range options {
		o.add(name)
	}
	return o
}

func (o *mountOptions) add(name string) {
	if set, clear, ok := attribute(name); ok {
		o.set, o.clear = o.set&^clear|set, o.clear&^set|clear
		return
	}
	if flag, recursive, ok := propagationFlag(name); ok {
		o.propagation, o.propagationAll = flag, recursive
		return
	}
	if word, ok := strings.CutPrefix(name, "r"); ok {
		if set, clear, ok := attribute(word); ok {
			o.setAll, o.clearAll = o.setAll&^clear|set, o.clearAll&^set|clear
			return
		}
	}
	switch name {
	case "bind":
		o.bind = true
	case "rbind":
		o.bind, o.recursive = true, true
	case "idmap":
		o.idmap = true
	case "ridmap":
		o.idmap, o.idmapAll = true, true
	case "tmpcopyup":
		o.tmpcopyup = true
	case "defaults", "remount", "":
	default:
		key, value, _ := strings.Cut(name, "=")
		o.data = append(o.data, linux.Option{Key: key, Value: value})
	}
}

// own is the attributes for a mount of a new file system, as fsmount(2) takes them.
func (o *mountOptions) own() int { return int(o.set | o.setAll) }
