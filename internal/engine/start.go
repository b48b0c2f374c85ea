package engine

import (
	"context"
	"os"
	"strings"
	"syscall"

	"gourd/internal/cgroup"
	"gourd/internal/container"
	"gourd/internal/container/control"
)

// Start starts a container and, with streams, attaches to it from its first byte. Without streams the
// session is closed already. An error wraps ErrNoCommand or ErrNotExecutable where the program was at
// fault; a container with AutoRemove that could not start is removed. Errors: ErrRunning, ErrPaused.
func (e *Engine) Start(ctx context.Context, ref string, a Attach) (*Session, error) {
	id, err := e.store.Resolve(ref)
	if err != nil {
		return nil, err
	}
	r, err := e.store.Load(id)
	if err != nil {
		return nil, err
	}
	s, err := e.start(r, a)
	if err != nil {
		// A monitor that could say why has tidied already; after one that died this does.
		if serr := e.settleLost(ctx, id); serr == nil && r.AutoRemove {
			e.dropFailed(id)
		}
	}
	return s, err
}

func (e *Engine) start(r *container.Record, a Attach) (*Session, error) {
	if err := e.startable(r); err != nil {
		return nil, err
	}
	monitor := e.monitorPath()
	if monitor == "" {
		return nil, errNoMonitor("start container " + r.Name)
	}
	if err := e.refreshResolv(r); err != nil {
		return nil, err
	}
	var notices []string
	if r.Network.Mode == modeBridge {
		// Here and not in the monitor, so that what it has to say reaches the user even if the start fails.
		if err := e.networks(func(s string) { notices = append(notices, s) }).Prepare(); err != nil {
			return nil, err
		}
	}
	conn, err := e.launch(monitor, r)
	if err != nil {
		return nil, err
	}
	s, err := converse(conn, &control.Request{Op: control.OpStart, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, Size: a.Size})
	if s != nil {
		s.Notices = append(notices, s.Notices...)
	}
	return s, err
}

// startable refuses what need not be tried: a running container, and one that joins one that isn't.
func (e *Engine) startable(r *container.Record) error {
	switch r.State.Status {
	case container.Running, container.Restarting:
		if e.store.Live(r.ID) {
			return &container.Error{Verb: "start container", Object: r.Name, Kind: container.ErrRunning}
		}
	case container.Paused:
		return &container.Error{Verb: "start container", Object: r.Name, Kind: container.ErrPaused, Hint: "`gourd unpause` it"}
	}
	for _, mode := range []string{r.Modes.Pid, r.Modes.IPC, r.Modes.UTS, r.Modes.User, r.Network.Mode} {
		id, joins := strings.CutPrefix(mode, joinPrefix)
		if !joins {
			continue
		}
		other, err := e.store.Load(id)
		if err != nil {
			return &container.Error{
				Verb: "start container", Object: r.Name, Kind: container.ErrNotFound,
				Cause: errText("container " + id[:min(12, len(id))] + " whose namespaces it joins is gone"),
			}
		}
		if !e.store.Live(id) {
			return &container.Error{
				Verb: "start container", Object: r.Name, Kind: container.ErrNotRunning,
				Cause: errText("container " + other.Name + " whose namespaces it joins is not running"), Hint: "start that one first",
			}
		}
	}
	return nil
}

// monitorGroup is the cgroup of all monitors: whatever gourd was started by, a service that stops or a
// container that is full, its monitors don't go with it.
const monitorGroup = "/gourd/monitors"

// launch starts the container's monitor and returns the first connection to it. The monitor is a process
// of its own in every respect: nothing that ends gourd, its terminal or its session reaches it.
func (e *Engine) launch(monitor string, r *container.Record) (*control.Conn, error) {
	fail := func(err error) error {
		return &container.Error{Verb: "start monitor of container", Object: r.Name, Cause: err}
	}
	args := []string{"gourd-monitor", "--root", e.cfg.Root, "--state", e.cfg.State}
	attr := &syscall.SysProcAttr{Setsid: true}
	if r.Runtime != "" {
		args = append(args, "--runtime", r.Runtime)
		for _, a := range r.RuntimeArgs {
			args = append(args, "--runtime-arg", a)
		}
		attr.Unshareflags = syscall.CLONE_NEWNS // it mounts the root where that runtime looks for it
	}
	conn, theirs, err := control.Pair()
	if err != nil {
		return nil, fail(err)
	}
	defer theirs.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		conn.Close()
		return nil, fail(err)
	}
	defer null.Close()
	var p *os.Process
	err = cgroup.StartApart(monitorGroup, attr, func() (err error) {
		p, err = os.StartProcess(monitor, append(args, r.ID), &os.ProcAttr{
			Dir: "/", Env: []string{"PATH=" + os.Getenv("PATH")}, Files: []*os.File{null, null, null, theirs}, Sys: attr,
		})
		return err
	})
	if err != nil {
		conn.Close()
		return nil, fail(err)
	}
	go p.Wait() // reaps it if this process is still there
	return conn, nil
}

// monitorPath finds gourd-monitor; "" if it isn't installed.
func (e *Engine) monitorPath() string {
	return findProgram("gourd-monitor", cmpOr(os.Getenv("GOURD_MONITOR"), e.cfg.Monitor))
}

func errNoMonitor(verb string) error {
	return &container.Error{
		Verb: verb, Kind: container.ErrUnsupported,
		Cause: errText("gourd-monitor is neither beside gourd nor in PATH"), Hint: "`make install`, or set GOURD_MONITOR",
	}
}

// converse asks for an operation with streams and makes a session of the connection. Without any stream
// the connection is closed.
func converse(conn *control.Conn, r *control.Request) (*Session, error) {
	reply, err := conn.Ask(r)
	if err != nil {
		conn.Close()
		return nil, err
	}
	s := &Session{Pid: reply.Pid, Notices: reply.Notices, conn: conn}
	if !r.Stdin && !r.Stdout && !r.Stderr && !r.Wait {
		conn.Close()
		s.conn = nil
	}
	return s, nil
}

// dropFailed removes a container that was to be removed after its end and never began.
func (e *Engine) dropFailed(id string) {
	if !exists(e.store.Dir(id)) {
		return // its monitor did it
	}
	if live, err := e.store.SetLive(id); err == nil {
		defer live.Close()
		e.store.Forget(id, e.forget(true))
		os.RemoveAll(e.store.RunDir(id))
	}
}
