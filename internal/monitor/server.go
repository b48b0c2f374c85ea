package monitor

import (
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// serve begins, or goes on, to serve clients, until the socket is closed or its deadline is set.
func (m *monitor) serve() {
	m.socket.SetReadDeadline(noDeadline)
	m.listening.Go(m.listen)
}

func (m *monitor) listen() {
	for {
		conn, err := control.Accept(m.socket)
		if err != nil {
			return
		}
		m.active.Add(1)
		m.worked.Store(true)
		go func() {
			defer m.active.Add(-1)
			m.answer(conn)
			m.settle.touch()
		}()
	}
}

// requestTime bounds how long a client may take to say what it wants.
const requestTime = 10 * time.Second

// answer serves one connection.
func (m *monitor) answer(conn *control.Conn) {
	var r control.Request
	conn.File.SetReadDeadline(time.Now().Add(requestTime))
	if err := control.ReadJSON(conn.File, control.KindRequest, &r); err != nil {
		conn.Close()
		return
	}
	conn.File.SetReadDeadline(time.Time{})
	m.settle.touch()
	switch r.Op {
	case control.OpAttach, control.OpWait:
		m.attach(conn, &r)
	case control.OpExec:
		m.exec(conn, &r)
	case control.OpExecWait:
		m.waitExec(conn, &r)
	default:
		defer m.pending.add()()
		reply, err := m.operate(&r)
		if err != nil {
			reply = control.ReplyError(err)
		}
		conn.File.SetWriteDeadline(time.Now().Add(requestTime))
		conn.SendJSON(control.KindReply, reply)
		conn.Close()
	}
}

// attach makes the connection a client of pid 1.
func (m *monitor) attach(conn *control.Conn, r *control.Request) {
	if r.Version > control.Version {
		m.refuse(conn, refuse(r))
		return
	}
	if r.Op == control.OpWait {
		r.Stdin, r.Stdout, r.Stderr = false, false, false
	}
	if r.Size != nil {
		m.init.streams.resize(*r.Size)
	}
	c, err := m.init.join(conn, r, &control.Reply{Pid: m.init.pid()})
	if err != nil {
		conn.Close()
		return
	}
	m.init.serve(c, r)
}

func (m *monitor) refuse(conn *control.Conn, err error) {
	conn.SendJSON(control.KindReply, control.ReplyError(err))
	conn.Close()
}

// operate does what needs no streams.
func (m *monitor) operate(r *control.Request) (*control.Reply, error) {
	reply := new(control.Reply)
	if r.Version > control.Version {
		return nil, refuse(r)
	}
	switch r.Op {
	case control.OpSignal:
		return reply, m.kill(r.Signal, r.All)
	case control.OpStop:
		return reply, m.stop(r)
	case control.OpPause:
		return reply, m.pause()
	case control.OpResume:
		return reply, m.resume()
	case control.OpUpdate:
		return reply, m.update(r.Resources)
	case control.OpResize:
		return reply, m.resize(r)
	case control.OpExecs:
		reply.Execs = m.execs.list()
		return reply, nil
	case control.OpExecSignal:
		p, err := m.execs.find(r.ExecID)
		if err != nil {
			return nil, err
		}
		return reply, p.signal(r.Signal)
	}
	return nil, refuse(r)
}

// stopSignal is what stops this container.
func (m *monitor) stopSignal() unix.Signal {
	sig, err := parseSignal(m.record.StopSignal, unix.SIGTERM)
	if err != nil {
		return unix.SIGTERM
	}
	return sig
}

func (m *monitor) signalInit(name string) error { return m.kill(name, false) }

// kill sends a signal ("" is SIGKILL, as docker's). One that is meant to end the container is noted as
// the user's wish, and reaches a paused container by letting it go on.
func (m *monitor) kill(name string, all bool) error {
	sig, err := parseSignal(name, unix.SIGKILL)
	if err != nil {
		return err
	}
	if m.init.hasEnded() {
		return m.notRunning("send signal to container")
	}
	ends := sig == unix.SIGKILL || sig == m.stopSignal()
	if ends {
		m.markStopped()
	}
	if err := m.backend.signal(sig, all); err != nil {
		if m.init.hasEnded() {
			return m.notRunning("send signal to container")
		}
		return err
	}
	if ends {
		m.letGo()
	}
	return nil
}

// markStopped records that the user wanted the end.
func (m *monitor) markStopped() {
	m.store.Update(m.record.ID, func(r *container.Record) error {
		r.State.StoppedByUser = true
		return nil
	})
}

// letGo resumes a paused container.
func (m *monitor) letGo() {
	if paused, err := m.backend.paused(); err == nil && paused {
		m.resume()
	}
}

// defaultStopTimeout is docker's.
const defaultStopTimeout = 10

// stop asks the container to end, and kills it when it doesn't in time. It returns when it has ended.
func (m *monitor) stop(r *control.Request) error {
	sig, err := parseSignal(r.Signal, m.stopSignal())
	if err != nil {
		return err
	}
	timeout := defaultStopTimeout
	if m.record.StopTimeout != nil {
		timeout = *m.record.StopTimeout
	}
	if r.Timeout != nil {
		timeout = *r.Timeout
	}
	m.markStopped()
	return m.end(sig, timeout)
}

// terminate ends the container because the monitor was told to end (SIGTERM: the machine goes down). That
// is not the user's wish for this container, so the restart policy still holds.
func (m *monitor) terminate() {
	timeout := defaultStopTimeout
	if m.record.StopTimeout != nil {
		timeout = *m.record.StopTimeout
	}
	m.end(m.stopSignal(), timeout)
}

// end sends a signal, and SIGKILL after so many seconds (negative: never), and waits for the end.
func (m *monitor) end(sig unix.Signal, timeout int) error {
	if err := m.backend.signal(sig, false); err != nil && !m.init.hasEnded() {
		return err
	}
	m.letGo()
	var late <-chan time.Time
	if timeout >= 0 {
		t := time.NewTimer(time.Duration(timeout) * time.Second)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-m.init.done:
		return nil
	case <-late:
	}
	if err := m.backend.signal(unix.SIGKILL, false); err != nil && !m.init.hasEnded() {
		return err
	}
	<-m.init.done
	return nil
}

func (m *monitor) pause() error {
	if err := m.mustRun("pause container"); err != nil {
		return err
	}
	if err := m.backend.pause(); err != nil {
		return err
	}
	return m.setStatus(container.Paused)
}

func (m *monitor) resume() error {
	paused, err := m.backend.paused()
	if err != nil {
		return err
	}
	if !paused {
		return &container.Error{Verb: "unpause container", Object: m.record.Name, Kind: container.ErrConflict, Cause: errNotPaused}
	}
	if err := m.backend.resume(); err != nil {
		return err
	}
	return m.setStatus(container.Running)
}

// mustRun refuses what needs a running container that isn't paused.
func (m *monitor) mustRun(verb string) error {
	if m.init.hasEnded() {
		return m.notRunning(verb)
	}
	if paused, err := m.backend.paused(); err != nil {
		return err
	} else if paused {
		return &container.Error{
			Verb: verb, Object: m.record.Name, Kind: container.ErrPaused,
			Cause: errPaused, Hint: "`gourd unpause " + m.record.Name + "` lets it go on",
		}
	}
	return nil
}

func (m *monitor) notRunning(verb string) error {
	return &container.Error{Verb: verb, Object: m.record.Name, Kind: container.ErrNotRunning}
}

// setStatus records running or paused, unless the container has ended meanwhile.
func (m *monitor) setStatus(s container.Status) error {
	_, err := m.store.Update(m.record.ID, func(r *container.Record) error {
		if r.State.Status == container.Running || r.State.Status == container.Paused {
			r.State.Status = s
		}
		return nil
	})
	return err
}

func (m *monitor) update(limits *specs.LinuxResources) error {
	if limits == nil {
		return container.Invalid("update container", m.record.Name, errNoLimits, "")
	}
	if m.init.hasEnded() {
		return m.notRunning("update container")
	}
	return m.backend.update(limits)
}

func (m *monitor) resize(r *control.Request) error {
	if r.Size == nil {
		return container.Invalid("resize terminal of container", m.record.Name, errNoSize, "")
	}
	p := m.init
	if r.ExecID != "" {
		var err error
		if p, err = m.execs.find(r.ExecID); err != nil {
			return err
		}
	}
	return p.streams.resize(*r.Size)
}
