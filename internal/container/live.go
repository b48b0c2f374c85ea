package container

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// beginning is how long a monitor may take from making its directory to holding its lock.
const beginning = 10 * time.Second

// SetLive makes the container's run directory and holds its "live" file locked for as long as this
// process lives and keeps the file: the kernel drops the lock with the process, whatever ends it.
// Called by the monitor first of all. Errors: ErrRunning if another monitor holds it.
func (s *Store) SetLive(id string) (*os.File, error) {
	fail := func(err error) error {
		return &Error{Verb: "make run directory of container", Object: id, Cause: err}
	}
	path := filepath.Join(s.RunDir(id), "live")
	for {
		if err := os.MkdirAll(s.RunDir(id), 0o700); err != nil {
			return nil, fail(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another monitor ended in between and took the directory with it
		}
		if err != nil {
			return nil, fail(err)
		}
		if !setLock(f) {
			f.Close()
			return nil, &Error{Verb: "start container", Object: id, Kind: ErrRunning}
		}
		if sameFile(f, path) {
			return f, nil
		}
		f.Close() // deleted in between: a lock on it protects nothing
	}
}

// The lock is one of the open file description (fcntl(2), F_OFD_SETLK): it stays through an execve and can
// be asked for without being taken.

func setLock(f *os.File) bool {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}) == nil
}

func isLocked(f *os.File) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// sameFile says whether path still names the open file.
func sameFile(f *os.File, path string) bool {
	var mine, now unix.Stat_t
	return unix.Fstat(int(f.Fd()), &mine) == nil && unix.Stat(path, &now) == nil && mine.Ino == now.Ino && mine.Dev == now.Dev
}

// Live says whether a monitor holds the container. It takes no lock that could disturb one.
func (s *Store) Live(id string) bool {
	f, err := os.OpenFile(filepath.Join(s.RunDir(id), "live"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return isLocked(f)
}

// Lost lists the ids that have a run directory but no living monitor: what the sweep has to tidy.
func (s *Store) Lost() ([]string, error) {
	ids, err := readNames(filepath.Join(s.State, "containers"))
	if err != nil {
		return nil, err
	}
	lost := ids[:0]
	for _, id := range ids {
		if _, err := os.Lstat(filepath.Join(s.RunDir(id), "live")); errors.Is(err, fs.ErrNotExist) {
			// A monitor that is just beginning makes the file next; one that was killed there never does.
			if st, err := os.Lstat(s.RunDir(id)); err == nil && time.Since(st.ModTime()) < beginning {
				continue
			}
		}
		if !s.Live(id) {
			lost = append(lost, id)
		}
	}
	return lost, nil
}
