package linux

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// inRoot makes a lookup treat the starting directory as the root of everything and keeps it away from
// magic links such as /proc/PID/fd/N (openat2(2), Linux 5.6).
const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// OpenInRoot opens a path inside a container's tree: symbolic links and ".." are resolved as if root were
// "/". flags are those of open(2); O_CLOEXEC is added. A file that would be created has mode 0644.
func OpenInRoot(root *os.File, name string, flags int) (*os.File, error) {
	fd, err := OpenInRootFD(int(root.Fd()), name, flags, 0o644)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// OpenInRootFD is OpenInRoot for plain descriptors. mode counts with O_CREAT only.
func OpenInRootFD(root int, name string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: inRoot}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	for range 128 {
		fd, err := unix.Openat2(root, name, &how)
		// EAGAIN: something was renamed during the lookup, and ".." can't be trusted (openat2(2)).
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
	return -1, unix.EAGAIN
}

// MkdirAllInRoot makes a directory and its missing parents inside a container's tree, each owned by
// uid:gid (-1: unchanged), and returns the last one opened with O_PATH. What exists is left as it is.
// Every step is taken from an open directory, so a link that is exchanged meanwhile can't lead outside
// (CVE-2024-45310).
func MkdirAllInRoot(root *os.File, name string, mode uint32, uid, gid int) (*os.File, error) {
	fd, err := MkdirAllInRootFD(int(root.Fd()), name, mode, uid, gid)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// MkdirAllInRootFD is MkdirAllInRoot for plain descriptors.
func MkdirAllInRootFD(root int, name string, mode uint32, uid, gid int) (int, error) {
	dir, err := OpenInRootFD(root, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	done := ""
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+name), "/"), "/") {
		done = path.Join(done, part)
		next, err := OpenInRootFD(root, "./"+done, unix.O_PATH|unix.O_DIRECTORY, 0)
		if errors.Is(err, unix.ENOENT) {
			next, err = mkdirAt(dir, part, mode, uid, gid)
		}
		unix.Close(dir)
		if err != nil {
			return -1, &os.PathError{Op: "mkdir", Path: done, Err: err}
		}
		dir = next
	}
	return dir, nil
}

// mkdirAt makes one directory and opens it.
func mkdirAt(dir int, name string, mode uint32, uid, gid int) (int, error) {
	err := unix.Mkdirat(dir, name, mode)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	made := err == nil
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if made && (uid >= 0 || gid >= 0) {
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("change owner: %w", err)
		}
	}
	return fd, nil
}
