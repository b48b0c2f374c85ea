package monitor

import (
	"errors"
	"sort"
	"sync"

	"gourd/internal/container"
	"gourd/internal/container/control"

	"golang.org/x/sys/unix"
)

var (
	errPaused    = errors.New("it is paused")
	errNotPaused = errors.New("it is not paused")
	errNoLimits  = errors.New("no limits given")
	errNoSize    = errors.New("no window size given")
	errNoArgs    = errors.New("no command given")
	errExecID    = errors.New("the id of an exec process has 64 hexadecimal digits and is used once")
)

// execs are the running exec processes.
type execs struct {
	mu      sync.Mutex
	running map[string]*execution
	closed  bool // the container has ended
	left    sync.WaitGroup
}

type execution struct {
	*process
	info control.ExecInfo
}

func (e *execs) list() []control.ExecInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]control.ExecInfo, 0, len(e.running))
	for _, x := range e.running {
		if x != nil {
			list = append(list, x.info)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Pid < list[j].Pid })
	return list
}

func (e *execs) find(id string) (*process, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.running[id]; x != nil {
		return x.process, nil
	}
	return nil, &container.Error{Verb: "find exec process", Object: id, Kind: container.ErrNotFound}
}

// reserve takes an id, or refuses it.
func (e *execs) reserve(x *control.Exec) error {
	if x == nil || x.Process == nil || len(x.Process.Args) == 0 {
		return container.Invalid("exec in container", "", errNoArgs, "")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return &container.Error{Verb: "exec in container", Kind: container.ErrNotRunning}
	}
	if _, taken := e.running[x.ID]; taken || len(x.ID) != 64 {
		return container.Invalid("exec in container", x.ID, errExecID, "")
	}
	if e.running == nil {
		e.running = map[string]*execution{}
	}
	e.running[x.ID] = nil
	e.left.Add(1)
	return nil
}

// none says that no exec process runs.
func (e *execs) none() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.running) == 0
}

func (e *execs) set(id string, x *execution) {
	e.mu.Lock()
	e.running[id] = x
	e.mu.Unlock()
}

func (e *execs) remove(id string) {
	e.mu.Lock()
	delete(e.running, id)
	e.mu.Unlock()
	e.left.Done()
}

// await waits, after the container's end, until every exec process has ended as well and its clients
// have been told.
func (e *execs) await() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.left.Wait()
}

// exec runs another process in the container and serves its client.
func (m *monitor) exec(conn *control.Conn, r *control.Request) {
	if err := m.mustRun("exec in container"); err != nil {
		m.refuse(conn, err)
		return
	}
	if err := m.execs.reserve(r.Exec); err != nil {
		m.refuse(conn, err)
		return
	}
	p, err := m.startExec(r)
	if err != nil {
		m.execs.remove(r.Exec.ID)
		m.refuse(conn, err)
		return
	}
	reply := &control.Reply{Pid: p.pid()}
	var c *client
	if r.Exec.Detach {
		conn.SendJSON(control.KindReply, reply)
		conn.Close()
	} else {
		c, _ = p.join(conn, r, reply)
	}
	p.streams.run()
	go func() {
		p.await(nil)
		p.finish()
		m.execs.remove(r.Exec.ID)
	}()
	if c != nil {
		p.serve(c, r)
	}
}

// startExec makes the process. Its output goes to its client only; when that one leaves, or with Detach,
// it goes nowhere.
func (m *monitor) startExec(r *control.Request) (*process, error) {
	s := new(stdio)
	if !r.Exec.Process.Terminal {
		var err error
		if s, err = newStdio(r.Exec.OpenStdin, !r.Exec.Detach); err != nil {
			return nil, err
		}
	}
	setWindow(r.Exec.Process, r.Size)
	made, err := m.backend.exec(r.Exec, r.Exec.Process, s.child)
	s.handedOver()
	if err != nil {
		s.closeAll()
		return nil, err
	}
	p := m.newProcess(made, s, nil, r.Stdin)
	p.signal = p.sendSignal
	m.execs.set(r.Exec.ID, &execution{p, control.ExecInfo{ID: r.Exec.ID, Pid: p.pid(), Args: r.Exec.Process.Args, Tty: r.Exec.Process.Terminal}})
	return p, nil
}

// sendSignal signals a process that isn't pid 1, by its pidfd.
func (p *process) sendSignal(name string) error {
	sig, err := parseSignal(name, unix.SIGKILL)
	if err != nil {
		return err
	}
	return p.exited.signal(sig)
}

// waitExec makes the connection wait for an exec process.
func (m *monitor) waitExec(conn *control.Conn, r *control.Request) {
	p, err := m.execs.find(r.ExecID)
	if err != nil {
		m.refuse(conn, err)
		return
	}
	r.Stdin, r.Stdout, r.Stderr = false, false, false
	c, err := p.join(conn, r, &control.Reply{Pid: p.pid()})
	if err != nil {
		conn.Close()
		return
	}
	p.serve(c, r)
}
