package container

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Staging is a directory below which things are made before a rename shows them, and into which they are
// renamed before they are deleted. Each piece of work is a directory of its own, locked (flock(2)) by the
// process that works on it; one that nobody has locked was left by a crash.
type Staging struct{ Dir string }

// Work is one locked directory.
type Work struct {
	Path string
	lock *os.File
}

// New makes a directory for one piece of work.
func (s Staging) New() (*Work, error) {
	for {
		var b [8]byte
		rand.Read(b[:])
		path := filepath.Join(s.Dir, hex.EncodeToString(b[:]))
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, &Error{Verb: "make working directory", Object: path, Cause: err}
		}
		// A sweep that looks between mkdir and flock deletes it: then begin again.
		if lock := lockDir(path); lock != nil {
			return &Work{Path: path, lock: lock}, nil
		}
	}
}

// lockDir locks a directory that is still there, else nil.
func lockDir(path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		var mine, now unix.Stat_t
		if unix.Fstat(int(f.Fd()), &mine) == nil && unix.Lstat(path, &now) == nil && mine.Ino == now.Ino && mine.Dev == now.Dev {
			return f
		}
	}
	f.Close()
	return nil
}

// Close deletes what is left of the work and drops the lock.
func (w *Work) Close() error {
	err := os.RemoveAll(w.Path)
	w.lock.Close()
	return err
}

// Sweep deletes work that nobody holds.
func (s Staging) Sweep() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.Dir, e.Name())
		if f := lockDir(path); f != nil {
			err = errors.Join(err, os.RemoveAll(path))
			f.Close()
		}
	}
	return err
}

// Discard takes path out of sight in one step and then deletes it. Gone already is no error.
func (s Staging) Discard(path string) error {
	w, err := s.New()
	if err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(w.Path, "x")); err != nil {
		w.Close()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return w.Close()
}

// Hide is Discard without the deleting: it returns what does that.
func (s Staging) Hide(path string) (*Work, error) {
	w, err := s.New()
	if err != nil {
		return nil, err
	}
	if err := os.Rename(path, filepath.Join(w.Path, "x")); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Works lists the directories that a process works on, and whether there are others, which a crash left.
func (s Staging) Works() (live []string, stale bool, err error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, false, &Error{Verb: "list", Object: s.Dir, Cause: err}
	}
	for _, e := range entries {
		path := filepath.Join(s.Dir, e.Name())
		if f := lockDir(path); f != nil {
			f.Close()
			stale = true
		} else {
			live = append(live, path)
		}
	}
	return live, stale, nil
}
