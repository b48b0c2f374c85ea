package runtime

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/cgroup"
	"gourd/internal/container"
)

// Launch is a container to make from a bundle, as the OCI command line describes it.
type Launch struct {
	ID     string
	Bundle string // directory, may be relative
	// Systemd: linux.cgroupsPath is "slice:prefix:name", and systemd makes the cgroup.
	Systemd       bool
	ConsoleSocket string // path of the socket that gets the terminal's master
	PidFile       string // gets the first process's pid
	PreserveFDs   int    // descriptors from 3 on that the process inherits
	NoNewKeyring  bool
	Stdio         [3]*os.File // used without a terminal
	Detach        bool        // nobody stays to serve a terminal
	Trace         bool        // keep Steps
	Steps         []container.Step

	spec     *specs.Spec
	config   *Config
	warnings []string
}

// Launched is a container that Run began.
type Launched struct {
	*Container
	Warnings []string
}

// Create makes a container up to, not including, the user's program, which Start begins. On error nothing is
// left. Errors: container.ErrExists, ErrInvalid, ErrNotFound for the bundle, ErrUnsupported.
func (s *Store) Create(l *Launch) (warnings []string, err error) {
	k, err := s.launch(l, true)
	if err != nil {
		return nil, err
	}
	k.Close()
	return l.warnings, nil
}

// Run makes a container and begins its program.
func (s *Store) Run(l *Launch) (*Launched, error) {
	k, err := s.launch(l, false)
	if err != nil {
		return nil, err
	}
	return &Launched{k, l.warnings}, nil
}

// launch makes the container, waiting for Start if asked to.
func (s *Store) launch(l *Launch, waits bool) (_ *Container, err error) {
	if err := checkID(l.ID); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	held, err := s.reserve(l.ID)
	if err != nil {
		return nil, err
	}
	defer held.release()
	st := l.state()
	defer func() {
		if err != nil {
			os.RemoveAll(s.dir(l.ID))
		}
	}()
	group, err := cgroup.Create(cgroup.Options{
		Path: st.Cgroup, Systemd: l.Systemd, Resources: l.spec.Linux.Resources,
		Annotations: l.spec.Annotations, OwnerUID: l.owner(),
	})
	if err != nil {
		return nil, err
	}
	defer group.Close()
	defer func() {
		if err != nil {
			empty(group)
		}
	}()
	if err := s.configure(l, st, group, waits); err != nil {
		return nil, err
	}
	if l.config.ConsoleSocket != nil {
		defer l.config.ConsoleSocket.Close()
	}
	k, err := Create(l.config)
	if err != nil {
		return nil, err
	}
	l.warnings = append(l.warnings, k.Notices...)
	defer func() {
		if err != nil {
			st.kill(group)
			k.Wait()
			k.Close()
		}
	}()
	if err := s.finish(l, st, k, waits); err != nil {
		return nil, err
	}
	if l.Trace {
		l.Steps = k.Steps()
	}
	return k, nil
}

// finish records the container as ready and, unless it waits for Start, begins its program.
func (s *Store) finish(l *Launch, st *State, k *Container, waits bool) error {
	if l.PidFile != "" {
		if err := writePidFile(l.PidFile, k.Pid); err != nil {
			return err
		}
	}
	st.Ready = true
	if err := s.save(st); err != nil {
		return err
	}
	if waits {
		return nil
	}
	if err := k.Start(); err != nil {
		return err
	}
	return st.afterStart()
}

// load reads the bundle and refuses what can't be, before anything is made.
func (l *Launch) load() error {
	dir, err := filepath.Abs(l.Bundle)
	if err != nil {
		return err
	}
	if l.Bundle = dir; l.PreserveFDs < 0 {
		return container.Invalid("use", "--preserve-fds", fmt.Errorf("%d is negative", l.PreserveFDs), "")
	}
	spec, seccomp, err := LoadBundle(dir)
	if err != nil {
		return err
	}
	if spec.Linux == nil {
		return invalidSpec("linux", errors.New("it is missing"))
	}
	if spec.Process == nil {
		return invalidSpec("process", errors.New("it is missing"))
	}
	if err := checkConsole(spec.Process.Terminal, l.ConsoleSocket, l.Detach); err != nil {
		return err
	}
	if l.warnings, err = cgroup.Check(spec.Linux.Resources); err != nil {
		return err
	}
	l.spec = spec
	l.config = &Config{
		ID: l.ID, Bundle: dir, Spec: spec, Seccomp: seccomp, Stdio: l.Stdio, NoNewKeyring: l.NoNewKeyring,
		PlainLines: l.ConsoleSocket == "",
	}
	return l.listen()
}

// checkConsole: a terminal whose master nobody keeps would hang up at once.
func checkConsole(terminal bool, socket string, detach bool) error {
	switch {
	case detach && terminal && socket == "":
		return container.Invalid("use", "a terminal", errors.New("cannot allocate tty if runc will detach without setting console socket"),
			"give --console-socket, or process.terminal false")
	case socket != "" && !(detach && terminal):
		return container.Invalid("use", "--console-socket", errors.New("cannot use console socket if runc will not detach or allocate tty"), "")
	}
	return nil
}

// listen hands on the sockets of systemd's socket activation (sd_listen_fds(3)).
func (l *Launch) listen() error {
	l.config.PreserveFDs = l.PreserveFDs
	text := os.Getenv("LISTEN_FDS")
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return container.Invalid("use", "LISTEN_FDS", fmt.Errorf("%q is not a number", text), "")
	}
	l.config.PreserveFDs += n
	l.spec.Process.Env = append(l.spec.Process.Env, "LISTEN_FDS="+text, "LISTEN_PID=1")
	if names, ok := os.LookupEnv("LISTEN_FDNAMES"); ok {
		l.spec.Process.Env = append(l.spec.Process.Env, "LISTEN_FDNAMES="+names)
	}
	return nil
}

// state is the record of a container that isn't there yet.
func (l *Launch) state() *State {
	st := &State{
		ID: l.ID, OCIVersion: l.spec.Version, Created: time.Now().UTC(), Bundle: l.Bundle, Annotations: l.spec.Annotations,
		Cgroup: cgroupPath(l.spec.Linux.CgroupsPath, l.ID, l.Systemd), Systemd: l.Systemd, Hooks: l.spec.Hooks, HostPIDs: true,
	}
	if l.spec.Root != nil {
		st.Rootfs = l.spec.Root.Path
		if !filepath.IsAbs(st.Rootfs) {
			st.Rootfs = filepath.Join(l.Bundle, st.Rootfs)
		}
	}
	for _, n := range l.spec.Linux.Namespaces {
		if n.Type == specs.PIDNamespace {
			st.HostPIDs = n.Path != ""
		}
	}
	return st
}

// cgroupPath is linux.cgroupsPath, or its default: the id, at the top.
func cgroupPath(asked, id string, systemd bool) string {
	switch {
	case asked == "" && systemd:
		return ":gourd:" + id
	case asked == "":
		return "/" + id
	case systemd:
		return asked
	}
	return path.Join("/", asked)
}

// owner is the host's id of the container's root, which may have the cgroup as its own (v2); nil without a user
// namespace.
func (l *Launch) owner() *int {
	for _, m := range l.spec.Linux.UIDMappings {
		if m.ContainerID == 0 {
			uid := int(m.HostID)
			return &uid
		}
	}
	return nil
}

// configure completes what the runtime is told.
func (s *Store) configure(l *Launch, st *State, group *cgroup.Group, waits bool) error {
	c := l.config
	c.Cgroup, c.StateDir = group, s.filters()
	if waits {
		c.ExecFIFO = s.fifoPath(l.ID)
		if err := MakeFIFO(c.ExecFIFO); err != nil {
			return &container.Error{Verb: "create container", Object: l.ID, Cause: err}
		}
	}
	c.OnNamespaces = func(pid int) error {
		return s.born(l, st, group, pid)
	}
	if l.ConsoleSocket == "" {
		return nil
	}
	socket, err := dialSocket(l.ConsoleSocket)
	if err != nil {
		return err
	}
	c.ConsoleSocket = socket
	return nil
}

// born records the first process before it does anything, so that whatever happens to us it can be found.
func (s *Store) born(l *Launch, st *State, group *cgroup.Group, pid int) error {
	p, err := container.Identify(pid)
	if err != nil {
		return err
	}
	st.Pid, st.Start, st.Boot = p.Pid, p.Start, p.Boot
	if err := group.Attach(pid); err != nil { // the systemd driver needs a process to make a scope for
		return err
	}
	st.cgroups = group.Paths()
	return s.save(st)
}

// afterStart runs poststart hooks. One that fails is an error, and the container is stopped (specification 1.3).
func (st *State) afterStart() error {
	if st.Hooks == nil {
		return nil
	}
	return runHooks("poststart", st.Hooks.Poststart, st.oci(specs.StateRunning))
}

// Start begins the program of a created container. Errors: container.ErrNotFound, ErrConflict, and those of the
// program: ErrNoCommand, ErrNotExecutable.
func (s *Store) Start(id string) error {
	return s.change(id, func(st *State, status specs.ContainerState) error {
		switch status {
		case specs.StateCreated:
		case specs.StateStopped:
			return &container.Error{Verb: "start container", Object: id, Kind: container.ErrConflict, Cause: errors.New("cannot start a container that has stopped")}
		default:
			return &container.Error{Verb: "start container", Object: id, Kind: container.ErrConflict, Cause: errors.New("cannot start an already running container")}
		}
		if err := StartCreated(s.fifoPath(id)); err != nil {
			return err
		}
		err := st.afterStart()
		if err != nil {
			if g, gerr := st.group(); gerr == nil {
				st.kill(g)
			}
		}
		return err
	})
}

// writePidFile writes a pid in one step: engines look for the file while it is made.
func writePidFile(name string, pid int) error {
	tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return &container.Error{Verb: "write pid file", Object: name, Cause: err}
	}
	if err := os.Rename(tmp, name); err != nil {
		os.Remove(tmp)
		return &container.Error{Verb: "write pid file", Object: name, Cause: err}
	}
	return nil
}

// dialSocket connects to a unix socket, also one whose path is longer than a socket address takes.
func dialSocket(name string) (*os.File, error) {
	refuse := func(err error) error {
		return &container.Error{Verb: "connect to socket", Object: name, Cause: err}
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return nil, refuse(err)
	}
	defer dir.Close()
	short := name
	if len(name) > 100 && !strings.HasPrefix(name, "@") {
		short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(name))
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, refuse(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: short}); err != nil {
		unix.Close(fd)
		return nil, refuse(err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
