package linux

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenTree makes a detached copy of what is mounted at path (relative to dir; "" with a descriptor of the
// place itself), with everything below it if recursive (open_tree(2), Linux 5.2).
func OpenTree(dir int, path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	return unix.OpenTree(dir, path, flags)
}

// SetAttr changes attributes of a detached mount before it is attached anywhere (mount_setattr(2), Linux 5.12).
func SetAttr(mount int, recursive bool, attr *unix.MountAttr) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	var empty [1]byte
	_, _, errno := syscall.RawSyscall6(unix.SYS_MOUNT_SETATTR, uintptr(mount), uintptr(unsafe.Pointer(&empty)), uintptr(flags),
		uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr), 0)
	return orNil(errno)
}

// Option is one parameter of a file system, as fsconfig(2) takes it: a flag, a string, or a descriptor.
type Option struct {
	Key   string
	Value string
	FD    int // with IsFD
	IsFD  bool
}

// Mount makes a new, detached mount of a file system (fsopen(2), fsconfig(2), fsmount(2), Linux 5.2).
// The kernel's own words about a failure are part of the error.
func Mount(fstype string, attrs int, options ...Option) (int, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		switch {
		case o.IsFD:
			err = unix.FsconfigSetFd(fs, o.Key, o.FD)
		default:
			err = fsconfig(fs, o.Key, o.Value)
		}
		if err != nil {
			return -1, fmt.Errorf("set option %s of %s: %w%s", o.Key, fstype, err, fsLog(fs))
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("create %s: %w%s", fstype, err, fsLog(fs))
	}
	fd, err := raw(unix.SYS_FSMOUNT, uintptr(fs), unix.FSMOUNT_CLOEXEC, uintptr(attrs), 0, 0)
	if err != nil {
		return -1, fmt.Errorf("fsmount %s: %w%s", fstype, err, fsLog(fs))
	}
	return fd, nil
}

// fsLog reads what the kernel has to say about a failed fsconfig.
func fsLog(fs int) string {
	var b [512]byte
	n, err := unix.Read(fs, b[:])
	if err != nil || n < 3 {
		return ""
	}
	return " (" + string(b[2:n]) + ")"
}

// FDPath is a path by which this process reaches what a descriptor refers to.
func FDPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func readAll(f *os.File, most int) ([]byte, error) {
	var b []byte
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		b = append(b, buf[:n]...)
		if n == 0 || err != nil || len(b) > most {
			if len(b) > most {
				return nil, fmt.Errorf("read %s: more than %d bytes", f.Name(), most)
			}
			return b, nil
		}
	}
}
