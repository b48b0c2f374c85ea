package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// waitEvent waits until a key of the v2 file cgroup.events has a value: the kernel wakes whoever polls
// the file at each change. It gives false when the time is over.
func waitEvent(dir, key, value string, until time.Time) (bool, error) {
	f, err := open(dir, "cgroup.events", unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, 256)
	for {
		n, err := f.ReadAt(b, 0)
		if n == 0 && err != nil {
			return false, err
		}
		if strings.Contains("\n"+string(b[:n]), "\n"+key+" "+value+"\n") {
			return true, nil
		}
		left := time.Until(until)
		if left <= 0 {
			return false, nil
		}
		p := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(p, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return false, fmt.Errorf("poll %s: %w", f.Name(), err)
		}
	}
}

// waitExit waits until one of the processes has ended, at most until the time given. A pid that can't
// be opened has ended already.
func waitExit(pids []int, until time.Time) error {
	var fds []unix.PollFd
	defer func() {
		for _, p := range fds {
			unix.Close(int(p.Fd))
		}
	}()
	for _, pid := range pids[:min(len(pids), 64)] {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return os.NewSyscallError("pidfd_open", err)
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		left := time.Until(until)
		if left <= 0 {
			return nil
		}
		_, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
