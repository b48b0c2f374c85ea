package monitor

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"
	"gourd/internal/container/control"
	"gourd/internal/container/logfile"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// busyboxRoot is a root directory with busybox and what else a container needs, made once.
var busyboxRoot = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gourd-monitor-root-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // a container's root isn't the host's
		return dir, err
	}
	for _, d := range []string{"bin", "proc", "dev", "sys", "etc", "tmp", "root"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return dir, err
		}
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		return dir, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return dir, err
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "busybox"), b, 0o755); err != nil {
		return dir, err
	}
	out, err := exec.Command("chroot", dir, "/bin/busybox", "--install", "-s", "/bin").CombinedOutput()
	if err != nil {
		return dir, &exec.Error{Name: string(out), Err: err}
	}
	return dir, os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte("root:x:0:0::/root:/bin/sh\nweb:x:33:33::/tmp:/bin/sh\n"), 0o644)
})

func TestMain(m *testing.M) {
	code := m.Run()
	cgroup.RemoveParents("/gd-monitor-test/x")
	for _, made := range []func() (string, error){busyboxRoot, monitorProgram} {
		if path, err := made(); err == nil {
			os.RemoveAll(strings.TrimSuffix(path, "/gourd-monitor"))
		}
	}
	os.Exit(code)
}

// box is one container of a test.
type box struct {
	*testing.T
	store  *container.Store
	record *container.Record
	ended  chan error
	config []byte
	pid    int // of the monitor, if it is a process of its own
}

// monitorProgram is gourd-monitor, built once.
var monitorProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gourd-monitor-bin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gourd-monitor")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "gourd/cmd/gourd-monitor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return path, nil
})

// spawn starts a monitor as a process of its own.
func (b *box) spawn(theirs *os.File) error {
	program, err := monitorProgram()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "--root", b.store.Root, "--state", b.store.State)
	if testRuntime != "" {
		cmd.Args = append(cmd.Args, "--runtime", "/usr/sbin/"+testRuntime)
	}
	cmd.Args = append(cmd.Args, b.record.ID)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	theirs.Close()
	b.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	b.ended = ended
	go func() { ended <- cmd.Wait() }()
	return nil
}

// inProcess starts a monitor in this process.
func (b *box) inProcess(theirs *os.File) error {
	fd, err := unix.FcntlInt(theirs.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	theirs.Close()
	if err != nil {
		return err
	}
	first, err := control.NewConn(fd)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	b.ended = ended
	go func() { ended <- Run(b.store, b.record.ID, Options{First: first}) }()
	return nil
}

// options change a test's container before it is stored.
type options func(*container.Record, *specs.Spec)

func withTerminal(_ *container.Record, s *specs.Spec) { s.Process.Terminal = true }
func withStdin(r *container.Record, _ *specs.Spec)    { r.OpenStdin = true }

// newBox stores a container that runs args, with the runtime that these tests use.
func newBox(t *testing.T, args []string, change ...options) *box {
	t.Helper()
	root, err := busyboxRoot()
	if err != nil {
		t.Skip("no root directory with busybox (apt-get install busybox-static):", err)
	}
	dir := t.TempDir()
	store, err := container.OpenStore(filepath.Join(dir, "root"), filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	r := &container.Record{ID: container.NewID(), Name: "box", Created: time.Now(), Runtime: testRuntime, Network: container.Network{Mode: "none"}, State: container.State{Status: container.Created}}
	spec := &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: root},
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/gd-monitor-test/" + r.ID,
			Namespaces:  []specs.LinuxNamespace{{Type: "pid"}, {Type: "mount"}, {Type: "ipc"}, {Type: "uts"}, {Type: "network"}},
		},
	}
	for _, c := range change {
		c(r, spec)
	}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Create(r, b, nil); err != nil {
		t.Fatal(err)
	}
	return &box{T: t, store: store, record: r, config: b}
}

// start runs a monitor for it, in this process, and gives the first client.
func (b *box) start(r control.Request) (*session, error) {
	b.Helper()
	ours, theirs, err := control.Pair()
	if err != nil {
		b.Fatal(err)
	}
	launch := b.inProcess
	if testProcess {
		launch = b.spawn
	}
	if err := launch(theirs); err != nil {
		b.Fatal(err)
	}
	r.Op = control.OpStart
	reply, err := ours.Ask(&r)
	b.Cleanup(func() { ours.Close() })
	return &session{b, ours, reply}, err
}

func (b *box) mustStart(r control.Request) *session {
	b.Helper()
	s, err := b.start(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if b.store.Live(b.record.ID) {
			b.ask(control.Request{Op: control.OpSignal, Signal: "KILL"})
			b.waitEnd()
		}
	})
	return s
}

// ask does one operation on a connection of its own.
func (b *box) ask(r control.Request) (*control.Reply, error) {
	b.Helper()
	c, err := control.Dial(b.store, b.record.ID)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Ask(&r)
}

func (b *box) dial(r control.Request) *session {
	b.Helper()
	c, err := control.Dial(b.store, b.record.ID)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	reply, err := c.Ask(&r)
	if err != nil {
		b.Fatal(err)
	}
	return &session{b, c, reply}
}

func (b *box) waitEnd() {
	b.Helper()
	select {
	case err := <-b.ended:
		if err != nil {
			b.Error("monitor ended with", err)
		}
	case <-time.After(20 * time.Second):
		b.Fatal("the monitor did not end")
	}
}

func (b *box) state() container.State {
	b.Helper()
	r, err := b.store.Load(b.record.ID)
	if err != nil {
		b.Fatal(err)
	}
	return r.State
}

func (b *box) logged() string {
	b.Helper()
	var out bytes.Buffer
	if _, err := logfile.Read(b.Context(), b.store.LogPath(b.record.ID), logfile.Query{Tail: -1}, func(e *logfile.Entry) error {
		out.Write(e.Data)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return out.String()
}

// session is a client's connection after its reply.
type session struct {
	box   *box
	conn  *control.Conn
	reply *control.Reply
}

func (s *session) send(kind control.Kind, text string) {
	s.box.Helper()
	if err := s.conn.Send(kind, []byte(text)); err != nil {
		s.box.Fatal(err)
	}
}

// until reads output until it contains text.
func (s *session) until(text string) string {
	s.box.Helper()
	s.conn.File.SetReadDeadline(time.Now().Add(10 * time.Second))
	var got bytes.Buffer
	for !strings.Contains(got.String(), text) {
		kind, b, err := s.conn.Receive(nil)
		if err != nil || kind == control.KindExit {
			s.box.Fatalf("no %q in the output, but %q and then %v %s", text, got.String(), err, b)
		}
		got.Write(b)
	}
	return got.String()
}

// end reads everything up to the Exit frame.
func (s *session) end() (out, errs string, exit control.Exit) {
	s.box.Helper()
	s.conn.File.SetReadDeadline(time.Now().Add(20 * time.Second))
	var o, e bytes.Buffer
	for {
		kind, b, err := s.conn.Receive(nil)
		if err != nil {
			s.box.Fatalf("after %d bytes of output: %v", o.Len(), err)
		}
		switch kind {
		case control.KindStdout:
			o.Write(b)
		case control.KindStderr:
			e.Write(b)
		case control.KindExit:
			if err := json.Unmarshal(b, &exit); err != nil {
				s.box.Fatal(err)
			}
			return o.String(), e.String(), exit
		}
	}
}

var outputs = control.Request{Stdout: true, Stderr: true}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }
