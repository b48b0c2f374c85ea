package linux

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below never wait for a disk or another machine: they work on descriptors of file systems in memory. So
// they are made without telling the Go scheduler, which otherwise hands this thread's work to another one
// when a call takes more than 20 µs, and wakes it to do so.

func raw(nr int, a1, a2, a3, a4, a5 uintptr) (int, error) {
	r, _, errno := syscall.RawSyscall6(uintptr(nr), a1, a2, a3, a4, a5, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}

// rawPath is raw for calls that begin with a directory and a path.
func rawPath(nr, dir int, path string, a3, a4, a5 uintptr) (int, error) {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	r, _, errno := syscall.RawSyscall6(uintptr(nr), uintptr(dir), uintptr(unsafe.Pointer(p)), a3, a4, a5, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(r), nil
}

// Mknod, Chmod, Chown and Symlink act on a tmpfs by a descriptor of it. None follows a link.
func Mknod(dir int, name string, mode uint32, dev uint64) error {
	_, err := rawPath(unix.SYS_MKNODAT, dir, name, uintptr(mode), uintptr(dev), 0)
	return err
}

// Chmod: see Mknod. name is no link (the caller has just made it).
func Chmod(dir int, name string, mode uint32) error {
	_, err := rawPath(unix.SYS_FCHMODAT, dir, name, uintptr(mode), 0, 0)
	return err
}

// Chown: see Mknod.
func Chown(dir int, name string, uid, gid int) error {
	_, err := rawPath(unix.SYS_FCHOWNAT, dir, name, uintptr(uid), uintptr(gid), unix.AT_SYMLINK_NOFOLLOW)
	return err
}

// Symlink: see Mknod.
func Symlink(target string, dir int, name string) error {
	t, err := unix.BytePtrFromString(target)
	if err != nil {
		return err
	}
	n, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_SYMLINKAT, uintptr(unsafe.Pointer(t)), uintptr(dir), uintptr(unsafe.Pointer(n)))
	if errno != 0 {
		return errno
	}
	return nil
}

// fsconfig calls fsconfig(2) for a string (value) or a flag (value "").
func fsconfig(fs int, key, value string) error {
	k, err := unix.BytePtrFromString(key)
	if err != nil {
		return err
	}
	if value == "" {
		_, _, errno := syscall.RawSyscall6(unix.SYS_FSCONFIG, uintptr(fs), unix.FSCONFIG_SET_FLAG, uintptr(unsafe.Pointer(k)), 0, 0, 0)
		return orNil(errno)
	}
	v, err := unix.BytePtrFromString(value)
	if err != nil {
		return err
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_FSCONFIG, uintptr(fs), unix.FSCONFIG_SET_STRING, uintptr(unsafe.Pointer(k)), uintptr(unsafe.Pointer(v)), 0, 0)
	return orNil(errno)
}

func orNil(errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}
