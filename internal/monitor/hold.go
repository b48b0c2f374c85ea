package monitor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gourd/internal/container"
	"gourd/internal/container/control"

	"golang.org/x/sys/unix"
)

// Building a container makes this process large: parsed specs, tables, netlink messages. When it has
// nothing to do it therefore executes itself anew ("hold") with its descriptors and what little it must
// remember: at first after a second, later when it has grown. The kernel keeps everything that counts:
// the child is still its child, the lock, the socket and the pipes are the same. A later version can be
// put in its place the same way.

// held is what one image of the monitor hands to the next. Descriptors are -1 where there is none.
type held struct {
	Version int    `json:"version"`
	Root    string `json:"root"`
	State   string `json:"state"`
	ID      string `json:"id"`
	Pid     int    `json:"pid"`

	Live   int `json:"live"`
	Socket int `json:"socket"`
	Master int `json:"master"`
	Stdin  int `json:"stdin"`
	Stdout int `json:"stdout"`
	Stderr int `json:"stderr"`

	Foreign Foreign `json:"foreign,omitzero"`
	// Unprivileged: the container has a user namespace, so some capabilities are not needed any more.
	Unprivileged bool              `json:"unprivileged,omitempty"`
	Once         bool              `json:"once,omitempty"`
	Pending      map[string][]byte `json:"pending,omitempty"` // the begin of each stream's last line
}

const heldVersion = 1

// maxPrivate is how much private memory, in KiB, an idle monitor may have before it executes itself anew.
const maxPrivate = 1470

// interrupt makes wait return os.ErrDeadlineExceeded.
func (w *exitWatch) interrupt() { w.file.SetReadDeadline(past) }

// wantsHold says whether the monitor should execute itself anew when it is idle: after it has built the
// container, and when it has grown by what it did since.
func (m *monitor) wantsHold() bool {
	if m.hold == nil || m.active.Load() > 0 || !m.execs.none() {
		return false
	}
	return !m.isHeld || m.worked.Load() && privateMemory() > maxPrivate
}

// privateMemory is this process's anonymous memory in KiB (RssAnon, proc_pid_status(5)); 0 if unknown.
// Pages of the program's file, which all monitors share, don't count.
func privateMemory() (kib int) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "RssAnon:" {
			kib, _ = strconv.Atoi(f[1])
		}
	}
	return kib
}

// handOver executes the monitor anew. It returns only if that was not possible or not the moment:
// everything goes on as before then.
func (m *monitor) handOver() {
	m.init.exited.file.SetReadDeadline(noDeadline)
	m.socket.SetReadDeadline(past)
	m.listening.Wait()
	defer m.serve()
	if !m.wantsHold() {
		return
	}
	m.init.streams.stop()
	defer m.init.streams.run()
	h, files := m.state()
	m.hold(h, files)
}

// state collects what is to be handed on, and the files whose descriptors are.
func (m *monitor) state() (*held, []*os.File) {
	t := m.init.streams
	h := &held{
		Version: heldVersion, Foreign: m.foreign, Root: m.store.Root, State: m.store.State, ID: m.record.ID, Pid: m.init.pid(), Unprivileged: m.record.IDs != nil,
		Master: -1, Stdin: -1, Stdout: -1, Stderr: -1, Pending: map[string][]byte{},
	}
	var files []*os.File
	keep := func(fd *int, f *os.File) {
		*fd = descriptor(f)
		files = append(files, f)
	}
	keep(&h.Live, m.live)
	keep(&h.Socket, m.socket)
	if t.master != nil {
		keep(&h.Master, t.master)
	}
	if t.in != nil {
		h.Once = t.in.once
		if !t.in.tty && !t.in.closed {
			keep(&h.Stdin, t.in.file)
		}
	}
	for _, src := range t.sources {
		switch {
		case src.file == t.master || src.over:
		case src.kind == control.KindStdout:
			keep(&h.Stdout, src.file)
		default:
			keep(&h.Stderr, src.file)
		}
		if src.log != nil {
			h.Pending[src.name] = src.log.Pending()
		}
	}
	return h, files
}

// descriptor gives a file's number and leaves it non-blocking, which File.Fd doesn't.
func descriptor(f *os.File) (fd int) {
	fd = -1
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

// execSelf returns what hands the monitor over: it executes this very program with "hold FD" as
// arguments. onThread runs a function on the thread that made the container: the kernel ends all other
// threads, and a child that has a parent-death signal gets it when its maker is among them.
func execSelf(onThread func(func())) func(*held, []*os.File) {
	return func(h *held, files []*os.File) {
		b, err := json.Marshal(h)
		if err != nil {
			return
		}
		memory, err := unix.MemfdCreate("state", 0)
		if err != nil {
			return
		}
		defer unix.Close(memory)
		if _, err := unix.Pwrite(memory, b, 0); err != nil {
			return
		}
		for _, f := range files {
			unix.FcntlInt(uintptr(descriptor(f)), unix.F_SETFD, 0)
		}
		os.Setenv("GOMAXPROCS", "1") // each further one costs memory
		onThread(func() {
			if h.Unprivileged {
				dropUnneeded()
			}
			unix.Exec("/proc/self/exe", []string{"gourd-monitor", "hold", strconv.Itoa(memory)}, os.Environ())
		})
		for _, f := range files {
			unix.CloseOnExec(descriptor(f))
		}
	}
}

// Hold goes on where an earlier image of the monitor stopped; fd is its state. It must be called on the
// main thread, which is the one that executed this image and is therefore the container's parent.
func Hold(fd int) error {
	f := os.NewFile(uintptr(fd), "state")
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	f.Close()
	if err != nil {
		return fmt.Errorf("read the earlier monitor's state: %w", err)
	}
	var h held
	if err := json.Unmarshal(b, &h); err != nil {
		return fmt.Errorf("read the earlier monitor's state: %w", err)
	}
	if h.Version > heldVersion {
		return fmt.Errorf("the earlier monitor's state has version %d, this one knows up to %d", h.Version, heldVersion)
	}
	m, err := restore(&h)
	if err != nil {
		return err
	}
	m.hold = execSelf(func(do func()) { do() }) // handOver runs on this goroutine
	m.catchSignals()
	m.init.streams.run()
	m.settle.touch()
	m.serve()
	return m.watch()
}

// restore makes a monitor of what an earlier image left.
func restore(h *held) (*monitor, error) {
	store := &container.Store{Root: h.Root, State: h.State}
	m := &monitor{store: store, live: adopt(h.Live, "live"), socket: adopt(h.Socket, "control socket"), isHeld: true, foreign: h.Foreign}
	m.settle = &settler{m: m}
	var err error
	if m.record, err = store.Load(h.ID); err != nil {
		return nil, err
	}
	if m.backend, err = newBackend(store, m.record, &h.Foreign); err != nil {
		return nil, err
	}
	exited, err := watchExit(h.Pid)
	if err != nil {
		return nil, err
	}
	if err := m.backend.adopt(exited); err != nil {
		return nil, err
	}
	if m.log, err = openLog(store, m.record); err != nil {
		return nil, err
	}
	m.init = m.newProcess(made{exited, adopt(h.Master, "terminal")}, &stdio{
		stdin: adopt(h.Stdin, "stdin"), stdout: adopt(h.Stdout, "stdout"), stderr: adopt(h.Stderr, "stderr"),
	}, m.log, h.Once)
	m.init.signal = m.signalInit
	for _, src := range m.init.streams.sources {
		if m.log != nil {
			src.log = m.log.Stream(src.name, h.Pending[src.name])
		}
	}
	return m, nil
}

func adopt(fd int, name string) *os.File {
	if fd < 0 {
		return nil
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), filepath.Base(name))
}
