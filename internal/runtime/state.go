package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/cgroup"
	"gourd/internal/container"
)

// Store keeps the containers of the OCI command line: one directory for each below Root.
//
//	ROOT/ID/state.json    State; replaced by rename, so reading needs no lock
//	ROOT/ID/exec.fifo     a created container waits there; gone once it is started
//	ROOT/~cache/          compiled filters
//
// The directory itself is the lock (flock) around everything that changes a container.
type Store struct {
	Root string // e.g. /run/gourd-runtime
}

// State is what state.json holds. Names follow runc's where other tools read that file.
type State struct {
	ID          string            `json:"id"`
	OCIVersion  string            `json:"oci_version"`
	Pid         int               `json:"init_process_pid"`
	Start       uint64            `json:"init_process_start"`
	Boot        string            `json:"boot_id"`
	Created     time.Time         `json:"created"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Cgroup      string            `json:"cgroup"` // as cgroup.Load takes it
	Systemd     bool              `json:"systemd_cgroup,omitempty"`
	// HostPIDs: it has no pid namespace of its own, so its processes don't end with the first.
	HostPIDs bool `json:"host_pids,omitempty"`
	// Ready: everything but the start is done.
	Ready bool         `json:"ready"`
	Hooks *specs.Hooks `json:"hooks,omitempty"`

	cgroups map[string]string // directories by controller, while it is being made
}

// stateFile is what others find in state.json beside State. We never read it: listing many containers would pay.
type stateFile struct {
	*State
	CgroupPaths    map[string]string `json:"cgroup_paths"`
	NamespacePaths map[string]string `json:"namespace_paths"`
}

// Paused is runc's addition to the specification's four states.
const Paused specs.ContainerState = "paused"

// filterDir has a name that no container can have.
const filterDir = "~cache"

// idPattern is runc's rule.
var idPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\w+.-]+$`) })

func checkID(id string) error {
	if id == "." || id == ".." || len(id) > 1024 || !idPattern().MatchString(id) {
		return container.Invalid("use container id", fmt.Sprintf("%q", id), errors.New("invalid container id format"),
			"use letters, digits, and _ + . -")
	}
	return nil
}

func (s *Store) dir(id string) string       { return filepath.Join(s.Root, id) }
func (s *Store) statePath(id string) string { return filepath.Join(s.Root, id, "state.json") }
func (s *Store) fifoPath(id string) string  { return filepath.Join(s.Root, id, "exec.fifo") }

// filters is the directory of compiled seccomp filters.
func (s *Store) filters() string { return filepath.Join(s.Root, filterDir) }

// Load reads a container's state. Errors: container.ErrNotFound, ErrInvalid, ErrCorrupt.
func (s *Store) Load(id string) (*State, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	b, err := readPlain(s.statePath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, &container.Error{Verb: "read state of container", Object: id, Cause: err}
	}
	st := new(State)
	if err := json.Unmarshal(b, st); err != nil {
		return nil, &container.Error{Verb: "read state of container", Object: id, Kind: container.ErrCorrupt, Cause: err}
	}
	return st, nil
}

// readPlain is os.ReadFile without its four system calls that try to poll a plain file.
func readPlain(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return b, err
		}
		if b = b[:len(b)+n]; len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

func notFound(id string) error {
	return &container.Error{
		Verb: "find container", Object: id, Kind: container.ErrNotFound, Cause: errors.New("container does not exist"),
		Hint: "`list` shows those of this --root",
	}
}

// save replaces state.json in one step.
func (s *Store) save(st *State) error {
	b, err := json.MarshalIndent(stateFile{st, st.cgroups, namespacePaths(st.Pid)}, "", "  ")
	if err != nil {
		return err
	}
	path := s.statePath(st.ID)
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return &container.Error{Verb: "write state of container", Object: st.ID, Cause: err}
	}
	return os.Rename(path+".new", path)
}

// process names the container's first process.
func (st *State) process() container.Process {
	return container.Process{Pid: st.Pid, Start: st.Start, Boot: st.Boot}
}

// Status says where in its life a container is.
func (s *Store) Status(st *State) (specs.ContainerState, error) {
	switch {
	case !st.process().Alive():
		return specs.StateStopped, nil
	case !st.Ready:
		return specs.StateCreating, nil
	}
	if _, err := os.Lstat(s.fifoPath(st.ID)); err == nil {
		return specs.StateCreated, nil
	}
	g, err := st.group()
	if err != nil {
		return "", err
	}
	frozen, err := g.Frozen()
	if errors.Is(err, container.ErrUnsupported) { // no freezer: nothing can be paused
		frozen, err = false, nil
	}
	if frozen {
		return Paused, err
	}
	return specs.StateRunning, err
}

func (st *State) group() (*cgroup.Group, error) { return cgroup.Load(st.Cgroup, st.Systemd) }

// lock is a held lock of a container's directory.
type lock struct{ dir *os.File }

func (l *lock) release() {
	if l != nil {
		l.dir.Close() // the flock goes with the last descriptor
	}
}

// reserve makes a container's directory, locked from its first moment. Errors: container.ErrExists.
func (s *Store) reserve(id string) (*lock, error) {
	if err := os.MkdirAll(s.Root, 0o711); err != nil {
		return nil, &container.Error{Verb: "make directory", Object: s.Root, Cause: err, Hint: "choose another one with --root"}
	}
	making, err := os.MkdirTemp(s.Root, "~"+id+"-")
	if err != nil {
		return nil, &container.Error{Verb: "create container", Object: id, Cause: err}
	}
	l, err := lockDir(making)
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, making, unix.AT_FDCWD, s.dir(id), unix.RENAME_NOREPLACE)
	}
	if err != nil {
		l.release()
		os.Remove(making)
		if errors.Is(err, unix.EEXIST) {
			return nil, &container.Error{
				Verb: "create container", Object: id, Kind: container.ErrExists,
				Cause: errors.New("container with given ID already exists"), Hint: "delete it first, or use another id",
			}
		}
		return nil, &container.Error{Verb: "create container", Object: id, Cause: err}
	}
	return l, nil
}

func lockDir(path string) (*lock, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &lock{f}, nil
}

// lock waits for the lock of an existing container. Errors: container.ErrNotFound, also if the container went while
// this waited.
func (s *Store) lock(id string) (*lock, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	l, err := lockDir(s.dir(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, &container.Error{Verb: "lock container", Object: id, Cause: err}
	}
	var held, now unix.Stat_t
	err = unix.Fstat(int(l.dir.Fd()), &held)
	if err == nil {
		err = unix.Lstat(s.dir(id), &now)
	}
	if err != nil || held.Ino != now.Ino || held.Dev != now.Dev {
		l.release()
		return nil, notFound(id)
	}
	return l, nil
}

// namespacePaths are those of the container's first process, by runc's names for them.
func namespacePaths(pid int) map[string]string {
	paths := map[string]string{}
	for file, name := range map[string]string{
		"ipc": "NEWIPC", "mnt": "NEWNS", "net": "NEWNET", "pid": "NEWPID", "user": "NEWUSER", "uts": "NEWUTS", "cgroup": "NEWCGROUP", "time": "NEWTIME",
	} {
		paths[name] = fmt.Sprintf("/proc/%d/ns/%s", pid, file)
	}
	return paths
}

// View is a container as `state` and `list` print it: the specification's state with runc's additions.
type View struct {
	OCIVersion  string               `json:"ociVersion"`
	ID          string               `json:"id"`
	Pid         int                  `json:"pid"`
	Status      specs.ContainerState `json:"status"`
	Bundle      string               `json:"bundle"`
	Rootfs      string               `json:"rootfs"`
	Created     time.Time            `json:"created"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Owner       string               `json:"owner"`
}

// View reads a container's state for others to see.
func (s *Store) View(id string) (*View, error) {
	st, err := s.Load(id)
	if err != nil {
		return nil, err
	}
	return s.view(st)
}

func (s *Store) view(st *State) (*View, error) {
	status, err := s.Status(st)
	if err != nil {
		return nil, err
	}
	v := &View{
		OCIVersion: st.OCIVersion, ID: st.ID, Pid: st.Pid, Status: status, Bundle: st.Bundle, Rootfs: st.Rootfs,
		Created: st.Created, Annotations: st.Annotations,
	}
	if status == specs.StateStopped {
		v.Pid = 0
	}
	return v, nil
}

// oci is the state that hooks and seccomp agents get.
func (st *State) oci(status specs.ContainerState) *specs.State {
	return &specs.State{Version: st.OCIVersion, ID: st.ID, Status: status, Pid: st.Pid, Bundle: st.Bundle, Annotations: st.Annotations}
}

// ours says whether a name below Root is a container's, not one that is being made or the filters'.
func ours(name string) bool { return !strings.HasPrefix(name, "~") }
