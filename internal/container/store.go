package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Store keeps the records of all containers of one installation.
//
//	ROOT/containers/ID/    record.json, config.json (the OCI spec), hosts, hostname, resolv.conf, the log
//	ROOT/containers/.ID/   one that is being made or removed: invisible, taken away by the sweep
//	ROOT/names/NAME        symbolic link to the id: making it is what reserves the name
//	STATE/containers/ID/   exists while a monitor lives: "live" (which it holds locked), its socket, steps.json
//	STATE/locks/ID         held (flock) around every change of a record
//
// Reading takes no lock: a record is replaced by rename, so a reader sees the old one or the new one.
type Store struct {
	Root  string // e.g. /var/lib/gourd
	State string // e.g. /run/gourd; gone after a reboot
}

// OpenStore makes the directories of a store where they are missing.
func OpenStore(root, state string) (*Store, error) {
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{
		{root, 0o700},
		{filepath.Join(root, "containers"), 0o700},
		{filepath.Join(root, "names"), 0o700},
		{state, 0o711},
		{filepath.Join(state, "containers"), 0o700},
		{filepath.Join(state, "locks"), 0o700},
	} {
		if err := os.MkdirAll(dir.path, dir.mode); err != nil {
			return nil, &Error{Verb: "open store", Object: dir.path, Cause: err, Hint: "run as root, or choose another place with --root and --state"}
		}
	}
	return &Store{Root: root, State: state}, nil
}

// Dir is the container's directory, which is also its OCI bundle.
func (s *Store) Dir(id string) string { return filepath.Join(s.Root, "containers", id) }

// RunDir is the container's directory below the state directory.
func (s *Store) RunDir(id string) string { return filepath.Join(s.State, "containers", id) }

// LogPath is where docker's users expect the json-file log.
func (s *Store) LogPath(id string) string { return filepath.Join(s.Dir(id), id+"-json.log") }

// SocketPath is the monitor's control socket. It may be longer than sun_path allows: use DialSocket.
func (s *Store) SocketPath(id string) string { return filepath.Join(s.RunDir(id), "control.sock") }

// Create stores a new container: the record, the spec and the name, all or nothing. prepare runs in
// the still invisible directory and may put more files there, also the spec where it is nil here, and
// complete the record; its error undoes everything.
// Errors: ErrExists if the name is taken.
func (s *Store) Create(r *Record, spec []byte, prepare func(dir string) error) (err error) {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	unlock, err := s.Lock(r.ID)
	if err != nil {
		return err
	}
	defer unlock()
	making := s.Dir("." + r.ID)
	defer func() {
		if err != nil {
			os.RemoveAll(making)
			s.releaseName(r.Name, r.ID)
			os.Remove(s.lockPath(r.ID))
		}
	}()
	if err := s.reserveName(r.Name, r.ID); err != nil {
		return err
	}
	if err := os.Mkdir(making, 0o700); err != nil {
		return &Error{Verb: "create container", Object: r.Name, Cause: err}
	}
	if spec != nil {
		if err := os.WriteFile(filepath.Join(making, "config.json"), spec, 0o600); err != nil {
			return &Error{Verb: "create container", Object: r.Name, Cause: err}
		}
	}
	if prepare != nil {
		if err := prepare(making); err != nil {
			return err
		}
	}
	if err := writeRecord(making, r); err != nil {
		return err
	}
	if err := os.Rename(making, s.Dir(r.ID)); err != nil {
		return &Error{Verb: "create container", Object: r.Name, Cause: err}
	}
	return nil
}

// Load reads one container's record by its full id.
func (s *Store) Load(id string) (*Record, error) {
	b, err := os.ReadFile(filepath.Join(s.Dir(id), "record.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Verb: "find container", Object: id, Kind: ErrNotFound, Cause: errors.New("no such container")}
	}
	if err != nil {
		return nil, &Error{Verb: "read record of container", Object: id, Cause: err}
	}
	r := new(Record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, &Error{Verb: "read record of container", Object: id, Kind: ErrCorrupt, Cause: err}
	}
	if r.Version > RecordVersion {
		return nil, &Error{
			Verb: "read record of container", Object: id, Kind: ErrUnsupported,
			Cause: fmt.Errorf("it has version %d, this gourd knows up to %d", r.Version, RecordVersion), Hint: "use the newer gourd that made it",
		}
	}
	return r, nil
}

// IDs lists all containers' ids in no particular order.
func (s *Store) IDs() ([]string, error) {
	names, err := readNames(filepath.Join(s.Root, "containers"))
	if err != nil {
		return nil, err
	}
	ids := names[:0]
	for _, n := range names {
		if !strings.HasPrefix(n, ".") {
			ids = append(ids, n)
		}
	}
	return ids, nil
}

// List reads all records, the newest first. A container that vanishes meanwhile is left out.
func (s *Store) List() ([]*Record, error) {
	ids, err := s.IDs()
	if err != nil {
		return nil, err
	}
	list := make([]*Record, 0, len(ids))
	for _, id := range ids {
		r, err := s.Load(id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return list, err
		}
		list = append(list, r)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Created.After(list[j].Created) })
	return list, nil
}

// Resolve finds a container by full id, by name (with or without a leading slash) or by a prefix of
// its id, in this order (as docker). Errors: ErrNotFound; ErrInvalid if a prefix fits several.
func (s *Store) Resolve(ref string) (string, error) {
	notFound := &Error{Verb: "find container", Object: ref, Kind: ErrNotFound, Cause: errors.New("no such container"), Hint: "`gourd ps -a` lists them"}
	name := strings.TrimPrefix(ref, "/")
	if name == "" || strings.ContainsRune(name, '/') {
		return "", notFound
	}
	if len(ref) == 64 {
		if _, err := os.Lstat(s.Dir(ref)); err == nil {
			return ref, nil
		}
	}
	if id, err := os.Readlink(s.namePath(name)); err == nil {
		if _, err := os.Lstat(s.Dir(id)); err == nil {
			return id, nil
		}
	}
	ids, err := s.IDs()
	if err != nil {
		return "", err
	}
	var found []string
	for _, id := range ids {
		if strings.HasPrefix(id, ref) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return "", notFound
	case 1:
		return found[0], nil
	}
	return "", &Error{
		Verb: "find container", Object: ref, Kind: ErrInvalid,
		Cause: fmt.Errorf("the prefix is ambiguous: %d containers' ids begin with it", len(found)), Hint: "give more digits",
	}
}

// Update changes a record under the container's lock: change sees the newest one; the result is
// written unless it returns an error, which Update then returns.
func (s *Store) Update(id string, change func(*Record) error) (*Record, error) {
	unlock, err := s.Lock(id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := s.Load(id)
	if err != nil {
		s.dropLock(id, err)
		return nil, err
	}
	if err := change(r); err != nil {
		return r, err
	}
	return r, writeRecord(s.Dir(id), r)
}

// Rename gives a container another name, atomically. Errors: ErrExists.
func (s *Store) Rename(id, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	var old string
	_, err := s.Update(id, func(r *Record) error {
		if r.Name == name {
			return Invalid("rename container", name, errors.New("it has this name already"), "")
		}
		if err := s.reserveName(name, id); err != nil {
			return err
		}
		old, r.Name = r.Name, name
		return nil
	})
	if err != nil {
		if old != "" {
			s.releaseName(name, id)
		}
		return err
	}
	s.releaseName(old, id)
	return nil
}

// Hide takes a container out of every listing and frees its name, in two system calls, and returns
// the directory that still has to be deleted. The caller deletes it when nobody waits any more; after
// a crash the sweep does.
func (s *Store) Hide(id string) (trash string, err error) {
	unlock, err := s.Lock(id)
	if err != nil {
		return "", err
	}
	defer unlock()
	r, err := s.Load(id)
	if err != nil {
		s.dropLock(id, err)
		return "", err
	}
	trash = s.Dir("." + id)
	if err := os.Rename(s.Dir(id), trash); err != nil {
		return "", &Error{Verb: "remove container", Object: r.Name, Cause: err}
	}
	s.releaseName(r.Name, id)
	os.Remove(s.lockPath(id))
	return trash, nil
}

// Forget removes a container for good: Hide, then cleanup (its snapshot: what no other part of the
// store knows), then its ids, then its directory. What a crash leaves undone the sweep does through
// FinishForget. Only for a container without a living monitor, or by its own monitor.
func (s *Store) Forget(id string, cleanup func(dir string, r *Record) error) error {
	if _, err := s.Hide(id); err != nil {
		return err
	}
	return s.FinishForget(id, cleanup)
}

// FinishForget does what is left of a removal, or undoes a creation that was cut short: everything about
// an invisible container, under its lock, so that several may try. cleanup's record is nil if there is
// none that can be read.
func (s *Store) FinishForget(id string, cleanup func(dir string, r *Record) error) error {
	unlock, err := s.Lock(id)
	if err != nil {
		return err
	}
	defer unlock()
	defer os.Remove(s.lockPath(id))
	trash := s.Dir("." + id)
	if _, err := os.Lstat(trash); err != nil {
		return nil
	}
	r, slot := readHidden(trash), -1
	if err := cleanup(trash, r); err != nil {
		return err
	}
	if r == nil || r.IDs != nil {
		if r != nil {
			slot = r.IDs.Slot
		}
		if err := s.ReleaseIDs(id, slot); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(trash); err != nil {
		return &Error{Verb: "remove container", Object: id, Cause: err}
	}
	return nil
}

// readHidden reads the record of an invisible container, nil if it has none yet.
func readHidden(dir string) *Record {
	b, err := os.ReadFile(filepath.Join(dir, "record.json"))
	if err != nil {
		return nil
	}
	r := new(Record)
	if json.Unmarshal(b, r) != nil {
		return nil
	}
	return r
}

// Half lists ids of containers whose making or removal was cut short: those with an invisible
// directory that nobody is working on.
func (s *Store) Half() ([]string, error) {
	names, err := readNames(filepath.Join(s.Root, "containers"))
	if err != nil {
		return nil, err
	}
	var half []string
	for _, n := range names {
		id, hidden := strings.CutPrefix(n, ".")
		if !hidden {
			continue
		}
		if unlock, ok := s.tryLock(id); ok {
			half = append(half, id)
			unlock()
			os.Remove(s.lockPath(id))
		}
	}
	return half, nil
}

// SweepLocks removes the files of locks whose container is nowhere, and says whether there were any:
// somebody was killed before the container had a directory, and its name may be reserved still.
func (s *Store) SweepLocks() (found bool, err error) {
	locks, err := readNames(filepath.Join(s.State, "locks"))
	if err != nil {
		return false, err
	}
	names, err := readNames(filepath.Join(s.Root, "containers"))
	if err != nil {
		return false, err
	}
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[strings.TrimPrefix(n, ".")] = true
	}
	for _, id := range locks {
		if there[id] {
			continue
		}
		unlock, ok := s.tryLock(id)
		if !ok {
			continue // it is being made
		}
		_, err1 := os.Lstat(s.Dir(id))
		_, err2 := os.Lstat(s.Dir("." + id))
		if err1 != nil && err2 != nil {
			found = true
			os.Remove(s.lockPath(id))
		}
		unlock()
	}
	return found, nil
}

// SweepNames removes names whose container is gone. A name that is being reserved is protected by the
// lock of the container that is being made.
func (s *Store) SweepNames() error {
	names, err := readNames(filepath.Join(s.Root, "names"))
	if err != nil {
		return err
	}
	for _, name := range names {
		s.sweepName(name)
	}
	return nil
}

// sweepName removes one name if its container is gone and nobody is making it.
func (s *Store) sweepName(name string) {
	id, err := os.Readlink(s.namePath(name))
	if err != nil {
		return
	}
	if _, err := os.Lstat(s.Dir(id)); err == nil {
		return
	}
	if unlock, ok := s.tryLock(id); ok {
		if _, err := os.Lstat(s.Dir(id)); err != nil {
			s.releaseName(name, id)
		}
		unlock()
		os.Remove(s.lockPath(id))
	}
}

func (s *Store) namePath(name string) string { return filepath.Join(s.Root, "names", name) }

// reserveName makes the link that reserves a name. A link to a container that is gone is taken over.
func (s *Store) reserveName(name, id string) error {
	for range 2 {
		err := os.Symlink(id, s.namePath(name))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return &Error{Verb: "reserve name", Object: name, Cause: err}
		}
		s.sweepName(name)
	}
	owner, _ := os.Readlink(s.namePath(name))
	return &Error{
		Verb: "use name", Object: fmt.Sprintf("%q", name), Kind: ErrExists,
		Cause: fmt.Errorf("it is already in use by container %s", owner), Hint: "remove or rename that container, or choose another name",
	}
}

// releaseName removes a name if it is this container's.
func (s *Store) releaseName(name, id string) {
	if owner, err := os.Readlink(s.namePath(name)); err == nil && owner == id {
		os.Remove(s.namePath(name))
	}
}

func (s *Store) lockPath(id string) string { return filepath.Join(s.State, "locks", id) }

// Lock takes the container's lock, waiting for whoever holds it (nobody holds it for longer than one
// change of the record), and returns what releases it.
func (s *Store) Lock(id string) (unlock func(), err error) {
	return LockFile(s.lockPath(id))
}

// dropLock deletes the file of a lock that is held for a container that isn't there.
func (s *Store) dropLock(id string, err error) {
	if errors.Is(err, ErrNotFound) {
		os.Remove(s.lockPath(id))
	}
}

func (s *Store) tryLock(id string) (unlock func(), ok bool) {
	return lockFile(s.lockPath(id), unix.LOCK_EX|unix.LOCK_NB)
}

// LockFile takes an exclusive flock(2) on a file made for it, waiting while another holds it. The file
// may be deleted by a holder: a lock on a deleted file is no lock, so the name is looked at again.
func LockFile(path string) (unlock func(), err error) {
	unlock, ok := lockFile(path, unix.LOCK_EX)
	if !ok {
		return nil, &Error{Verb: "lock", Object: path, Cause: errors.New("can't open or lock the file"), Hint: "is the state directory writable?"}
	}
	return unlock, nil
}

func lockFile(path string, how int) (unlock func(), ok bool) {
	for {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, false
		}
		for {
			err = unix.Flock(fd, how)
			if err != unix.EINTR {
				break
			}
		}
		if err != nil {
			unix.Close(fd)
			return nil, false
		}
		var mine, now unix.Stat_t
		if unix.Fstat(fd, &mine) == nil && unix.Stat(path, &now) == nil && mine.Ino == now.Ino && mine.Dev == now.Dev {
			return func() { unix.Close(fd) }, true
		}
		unix.Close(fd)
	}
}

func writeRecord(dir string, r *Record) error {
	r.Version = RecordVersion
	b, err := json.Marshal(r)
	if err != nil {
		return &Error{Verb: "write record of container", Object: r.ID, Cause: err}
	}
	return WriteFile(filepath.Join(dir, "record.json"), append(b, '\n'), 0o600)
}

// WriteFile replaces a file atomically: written beside it, then renamed. Not synced: after a power cut
// the old content or the new one is there on the file systems gourd supports (ext4, xfs, btrfs order
// the data before the rename).
func WriteFile(path string, data []byte, mode os.FileMode) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(tmp, data, mode); err != nil {
		os.Remove(tmp)
		return &Error{Verb: "write", Object: path, Cause: err}
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return &Error{Verb: "write", Object: path, Cause: err}
	}
	return nil
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, &Error{Verb: "list", Object: dir, Cause: err}
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, &Error{Verb: "list", Object: dir, Cause: err}
	}
	return names, nil
}
