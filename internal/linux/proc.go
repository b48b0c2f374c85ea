package linux

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// procFD is the process's handle on procfs. What is opened through it can't be something that was
// mounted over a part of /proc (CVE-2019-16884, CVE-2025-52881).
var procFD = sync.OnceValues(func() (int, error) {
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /proc: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return -1, fmt.Errorf("look at /proc: %w", err)
	}
	if st.Type != unix.PROC_SUPER_MAGIC {
		return -1, fmt.Errorf("open /proc: it is not a proc file system (type %#x)", st.Type)
	}
	return fd, nil
})

// OpenProc opens a file of the host's procfs by its path below /proc, such as "self/mountinfo". A magic
// link as the last part (PID/ns/user, PID/root) is followed, other mounts are not entered before it.
func OpenProc(name string, flags int) (int, error) {
	proc, err := procFD()
	if err != nil {
		return -1, err
	}
	fd, err := unix.Openat(proc, name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "/proc/" + name, Err: err}
	}
	return fd, nil
}

// WriteProc writes to a file of process pid in one write(2), as uid_map and oom_score_adj want it.
func WriteProc(pid int, name, value string) error {
	path := strconv.Itoa(pid) + "/" + name
	fd, err := OpenProc(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return &os.PathError{Op: "write", Path: "/proc/" + path, Err: err}
	}
	return nil
}

// ReadProc reads a file of process pid.
func ReadProc(pid int, name string) ([]byte, error) {
	fd, err := OpenProc(strconv.Itoa(pid)+"/"+name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return readAll(f, 1<<20)
}
