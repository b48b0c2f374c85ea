// Package monitor is the process that each container has: it builds the container, owns its standard
// streams or terminal and its log, answers the engine on a socket, and records how it ended. Everything
// else of gourd may die meanwhile.
package monitor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"
	"gourd/internal/container/logfile"
	"gourd/internal/runtime"

	"golang.org/x/sys/unix"
)

// monitor is one container while it runs.
type monitor struct {
	store     *container.Store
	record    *container.Record // as it was at the start; the one on disk may change meanwhile
	backend   backend
	log       *logfile.Writer // nil: not logged
	buffers   buffers
	init      *process
	execs     execs
	live      *os.File // held locked for as long as the monitor lives
	socket    *os.File
	listening sync.WaitGroup
	writing   sync.WaitGroup          // of the steps
	active    atomic.Int32            // connections
	hold      func(*held, []*os.File) // executes the monitor anew; nil: never
	foreign   Foreign
	signals   chan os.Signal
	worked    atomic.Bool // something was asked of it since it was executed
	isHeld    bool        // it was executed anew
	pending   pending     // clients that wait for an answer
	settle    *settler
}

// Options of Run.
type Options struct {
	First   *control.Conn // the first client
	Foreign Foreign       // another OCI runtime
	Hold    bool          // execute this program anew when there is nothing to do: see hold.go
}

// Foreign is an OCI runtime that makes the container instead of gourd's own.
type Foreign struct {
	Path string   `json:"path,omitempty"` // "": gourd's own
	Args []string `json:"args,omitempty"` // before its command
}

// Run is the life of a monitor: it starts container id for the client at the other end of first, and
// returns when the container has ended and everything of it has been tidied.
func Run(store *container.Store, id string, o Options) error {
	first := o.First
	var r control.Request
	if err := control.ReadJSON(first.File, control.KindRequest, &r); err != nil {
		return err
	}
	m, err := begin(store, id, &r, &o)
	if o.Hold {
		m.hold = execSelf(runtime.OnParent)
	}
	if err == nil {
		err = m.build(&r)
	}
	if err != nil {
		first.SendJSON(control.KindReply, m.failed(id, err))
		first.Close()
		return err
	}
	return m.tend(first, &r)
}

// begin claims the container and reads what it is. On an error after the claim the monitor is returned
// too, for failed.
func begin(store *container.Store, id string, r *control.Request, o *Options) (*monitor, error) {
	m := &monitor{store: store, foreign: o.Foreign}
	m.settle = &settler{m: m}
	m.catchSignals()
	if r.Op != control.OpStart || r.Version > control.Version {
		return m, refuse(r)
	}
	live, err := claim(store, id)
	if err != nil {
		return m, err
	}
	m.live = live
	if m.record, err = store.Load(id); err != nil {
		return m, err
	}
	m.backend, err = newBackend(store, m.record, &o.Foreign)
	return m, err
}

func refuse(r *control.Request) error {
	return &container.Error{
		Verb: "ask monitor for", Object: string(r.Op), Kind: container.ErrUnsupported,
		Hint: "the container was started by another version of gourd, or it is already started",
	}
}

// claimTime bounds how long a start waits for the monitor of the same container's previous life.
const claimTime = 10 * time.Second

// claim is SetLive, but where the container has ended already it waits for its monitor to tidy up.
func claim(store *container.Store, id string) (*os.File, error) {
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		live, err := store.SetLive(id)
		if err == nil || !errors.Is(err, container.ErrRunning) || time.Since(begin) > claimTime {
			return live, err
		}
		r, lerr := store.Load(id)
		if lerr != nil {
			return nil, lerr
		}
		if r.State.Status != container.Exited {
			return nil, err
		}
	}
}

// build makes the container and starts its program. On an error nothing but the record is left to do.
func (m *monitor) build(r *control.Request) error {
	var err error
	if m.socket, err = control.Listen(m.store.SocketPath(m.record.ID)); err != nil {
		return err
	}
	if m.log, err = openLog(m.store, m.record); err != nil {
		return err
	}
	m.init, err = m.make(r)
	if err != nil {
		return err
	}
	if err := m.backend.start(); err != nil {
		m.init.exited.wait()
		m.init.streams.finish(0)
		return err
	}
	return m.recordStart()
}

// make creates pid 1 and its streams.
func (m *monitor) make(r *control.Request) (*process, error) {
	s := new(stdio)
	terminal, err := m.backend.terminal()
	if err != nil {
		return nil, err
	}
	if !terminal {
		if s, err = newStdio(m.record.OpenStdin, true); err != nil {
			return nil, err
		}
	}
	made, err := m.backend.create(s.child, r.Size)
	s.handedOver()
	if err != nil {
		s.closeAll()
		return nil, err
	}
	p := m.newProcess(made, s, m.log, r.Stdin)
	p.signal = m.signalInit
	return p, nil
}

// newProcess connects a process that was just made to its streams.
func (m *monitor) newProcess(made made, s *stdio, log *logfile.Writer, once bool) *process {
	p := &process{exited: made.exited, done: make(chan struct{})}
	p.streams = newStreams(s, made.master, log, once, &m.buffers)
	p.streams.clients.leaving = &m.pending
	p.streams.busy = m.settle.touch
	return p
}

// openLog opens the container's log, nil if it keeps none.
func openLog(store *container.Store, r *container.Record) (*logfile.Writer, error) {
	if r.Log.Driver == "none" {
		return nil, nil
	}
	limits, err := logfile.ParseLimits(r.Log.Opts)
	if err != nil {
		return nil, err
	}
	w, err := logfile.Open(store.LogPath(r.ID), limits)
	if err != nil {
		return nil, &container.Error{Verb: "start container", Object: r.Name, Cause: err}
	}
	return w, nil
}

// recordStart writes down that the container runs.
func (m *monitor) recordStart() error {
	init, err := container.Identify(m.init.pid())
	if err != nil {
		// It has ended already. Its number is enough: nobody will take it for alive.
		init = container.Process{Pid: m.init.pid(), Boot: container.BootID()}
	}
	self, err := container.Identify(unix.Getpid())
	if err != nil {
		return err
	}
	cgroup, systemd := m.backend.cgroup()
	_, err = m.store.Update(m.record.ID, func(r *container.Record) error {
		old := r.State
		r.State = container.State{
			Status: container.Running, Process: init, Monitor: self, Started: time.Now(),
			RestartCount: old.RestartCount, Cgroup: cgroup, Systemd: systemd,
		}
		r.Network.Endpoints = m.record.Network.Endpoints
		return nil
	})
	return err
}

// tend answers the first client and looks after the container until its end.
func (m *monitor) tend(first *control.Conn, r *control.Request) error {
	reply := &control.Reply{Pid: m.init.pid()}
	if n, ok := m.backend.(interface{ notices() []string }); ok {
		reply.Notices = n.notices()
	}
	if r.Stdin || r.Stdout || r.Stderr || r.Wait {
		if c, err := m.init.join(first, r, reply); err == nil {
			m.active.Add(1)
			go m.serveFirst(c, r)
		}
	} else {
		first.SendJSON(control.KindReply, reply)
		first.Close()
	}
	m.init.streams.run()
	m.settle.touch()
	m.serve()
	m.writing.Go(m.writeSteps)
	return m.watch()
}

func (m *monitor) serveFirst(c *client, r *control.Request) {
	defer m.active.Add(-1)
	m.init.serve(c, r)
	m.settle.touch()
}

// watch looks after the container until its end.
func (m *monitor) watch() error {
	defer m.obey()()
	for !m.init.await(func() { m.backend.killRest() }) {
		m.handOver()
	}
	return m.finish()
}

// stepsDelay keeps writing the steps out of the way of the container's first moments, and of a
// container that has no others.
const stepsDelay = 10 * time.Millisecond

// writeSteps keeps how the container was made, for `gourd explain` while it runs.
func (m *monitor) writeSteps() {
	select {
	case <-m.init.streams.ended:
		return
	case <-time.After(stepsDelay):
	}
	steps := m.backend.steps()
	if len(steps) == 0 {
		return
	}
	if b, err := json.Marshal(steps); err == nil {
		container.WriteFile(filepath.Join(m.store.RunDir(m.record.ID), "steps.json"), b, 0o600)
	}
}
