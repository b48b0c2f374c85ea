package monitor

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"
	"gourd/internal/container/control"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// asProcess makes the monitors of a test processes of their own.
func asProcess(t *testing.T) {
	testRuntime, testProcess = "", true
	t.Cleanup(func() { testProcess = false })
}

// held waits until the monitor has executed itself anew.
func (b *box) held() {
	b.Helper()
	for range 100 {
		if c, err := os.ReadFile("/proc/" + strconv.Itoa(b.pid) + "/cmdline"); err == nil && strings.Contains(string(c), "hold") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatal("the monitor did not execute itself anew")
}

func TestHeldMonitorDoesAll(t *testing.T) {
	asProcess(t)
	b := newBox(t, sh("printf begin; while read l; do echo \" got $l\"; done; exit 4"), withStdin)
	b.mustStart(control.Request{})
	b.held()
	if kib := privateOf(t, b.pid); kib > 1536 {
		t.Errorf("an idle monitor has %d KiB of private memory", kib)
	} else {
		t.Logf("an idle monitor has %d KiB of private memory", kib)
	}
	s := b.dial(control.Request{Op: control.OpAttach, Stdin: true, Stdout: true})
	s.send(control.KindStdin, "it\n")
	s.until("got it")
	if out, _, exit := b.dial(execRequest(sh("echo in; exit 3")...)).end(); out != "in\n" || exit.Code != 3 {
		t.Errorf("exec: %q, %+v", out, exit)
	}
	if _, err := b.ask(control.Request{Op: control.OpPause}); err != nil {
		t.Error(err)
	}
	if _, err := b.ask(control.Request{Op: control.OpResume}); err != nil {
		t.Error(err)
	}
	limit := int64(32 << 20)
	if _, err := b.ask(control.Request{Op: control.OpUpdate, Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}}); err != nil {
		t.Error(err)
	}
	s.send(control.KindStdin, "bye\n")
	s.until("got bye")
	if _, err := b.ask(control.Request{Op: control.OpSignal, Signal: "KILL"}); err != nil {
		t.Error(err)
	}
	if _, _, exit := s.end(); exit.Code != 137 {
		t.Errorf("exit %+v", exit)
	}
	b.waitEnd()
	if st := b.state(); st.Status != container.Exited || st.ExitCode != 137 {
		t.Errorf("recorded %+v", st)
	}
	if log := b.logged(); log != "begin got it\n got bye\n" {
		t.Errorf("logged %q: the begin of a line must survive", log)
	}
}

func TestHeldTerminal(t *testing.T) {
	asProcess(t)
	b := newBox(t, sh("while read l; do stty size; done"), withTerminal, withStdin)
	b.mustStart(control.Request{Size: &control.Size{Rows: 10, Cols: 20}})
	b.held()
	s := b.dial(control.Request{Op: control.OpAttach, Stdin: true, Stdout: true, Size: &control.Size{Rows: 30, Cols: 40}})
	s.send(control.KindStdin, "\n")
	s.until("30 40")
}

func privateOf(t *testing.T, pid int) (kib int) {
	t.Helper()
	time.Sleep(1500 * time.Millisecond) // until it has settled
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if f[0] == "Private_Dirty:" { // clean pages are the program's, shared by all monitors
			kib, _ = strconv.Atoi(f[1])
		}
	}
	return kib
}

// kill -9 of a monitor takes its container along, before and after it has executed itself anew.
func TestKilledMonitorTakesItsContainer(t *testing.T) {
	asProcess(t)
	for _, held := range []bool{false, true} {
		b := newBox(t, sh("sleep 100"))
		s := b.mustStart(control.Request{})
		if held {
			b.held()
		}
		init := b.state().Process
		if init.Pid != s.reply.Pid || !init.Alive() {
			t.Fatalf("recorded %+v, told pid %d", init, s.reply.Pid)
		}
		unix.Kill(b.pid, unix.SIGKILL)
		<-b.ended
		for range 100 {
			if !init.Alive() {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if init.Alive() {
			t.Errorf("held %v: the container lives on", held)
			unix.Kill(init.Pid, unix.SIGKILL)
		}
		if lost, err := b.store.Lost(); err != nil || len(lost) != 1 {
			t.Errorf("lost: %v, %v", lost, err)
		}
		g, err := cgroup.Load("/gd-monitor-test/"+b.record.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		g.Delete(t.Context())
	}
}

func TestSIGTERMStopsInGoodOrder(t *testing.T) {
	asProcess(t)
	for _, held := range []bool{false, true} {
		b := newBox(t, sh("trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"))
		if held {
			b.mustStart(control.Request{})
			b.held()
		} else {
			b.mustStart(outputs).until("ready")
		}
		unix.Kill(b.pid, unix.SIGTERM)
		b.waitEnd()
		if st := b.state(); st.Status != container.Exited || st.ExitCode != 9 || st.StoppedByUser {
			t.Errorf("held %v: recorded %+v", held, st)
		}
	}
}

func withUserNamespace(r *container.Record, s *specs.Spec) {
	r.IDs = &container.IDRange{Slot: -1, Base: 0x30000000}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	s.Linux.UIDMappings, s.Linux.GIDMappings = r.IDs.MapUIDs(), r.IDs.MapGIDs()
}

func TestUserNamespaceAndUser(t *testing.T) {
	asProcess(t)
	b := newBox(t, sh("id -u; id -g; id -G; echo $HOME; cat /proc/self/uid_map | head -1"), withUserNamespace, func(r *container.Record, _ *specs.Spec) {
		r.User, r.GroupAdd = "web", []string{"777"}
	})
	out, _, exit := b.mustStart(outputs).end()
	if !strings.HasPrefix(out, "33\n33\n33 777\n/tmp\n") || !strings.Contains(out, "805306368") || exit.Code != 0 {
		t.Errorf("%q, exit %+v", out, exit)
	}
	b.waitEnd()
}

// What the monitor of a container with a user namespace doesn't need it no longer has; exec --privileged
// still gets every right that counts in the namespace.
func TestHeldMonitorHasFewerCapabilities(t *testing.T) {
	asProcess(t)
	b := newBox(t, sh("sleep 100"), withUserNamespace)
	b.mustStart(control.Request{})
	b.held()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(b.pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	var effective uint64
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			effective, _ = strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	if effective&(1<<unix.CAP_SYS_MODULE|1<<unix.CAP_SYS_TIME) != 0 || effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		t.Errorf("effective capabilities are %#x", effective)
	}
	r := execRequest(sh("grep CapEff /proc/self/status")...)
	all := []string{"CAP_SYS_MODULE", "CAP_SYS_TIME", "CAP_CHOWN"}
	r.Exec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	if out, errs, exit := b.dial(r).end(); !strings.Contains(out, "0000000002010001") {
		t.Errorf("%q %q, %+v", out, errs, exit)
	}
}

func TestUnknownUserLeavesNothing(t *testing.T) {
	asProcess(t)
	b := newBox(t, sh("true"), func(r *container.Record, _ *specs.Spec) { r.User = "nobodyhere" })
	s, err := b.start(outputs)
	if !errors.Is(err, container.ErrInvalid) || s.reply.Code != 125 || !strings.Contains(err.Error(), "nobodyhere") {
		t.Errorf("%v, code %d", err, s.reply.Code)
	}
	<-b.ended
	if st := b.state(); st.Status != container.Created || st.ExitCode != 125 {
		t.Errorf("recorded %+v", st)
	}
}

func TestInit(t *testing.T) {
	asProcess(t)
	bin := filepath.Join("initbin", "bin")
	if m, _ := filepath.Glob(filepath.Join(bin, "init-*")); len(m) == 0 {
		t.Skip("gourd-init was not built (make build)")
	}
	withInit := func(r *container.Record, s *specs.Spec) {
		r.Init = true
		s.Process.Args = append([]string{initPath, "--"}, s.Process.Args...)
	}
	t.Run("reaps", func(t *testing.T) {
		b := newBox(t, sh("sh -c 'sleep 0.1 & :'; sleep 0.5; cat /proc/[0-9]*/status | grep -c 'State:.Z'; ps | head -3"), withInit)
		out, _, exit := b.mustStart(outputs).end()
		if !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "gourd-init") || exit.Code != 0 {
			t.Errorf("%q, exit %+v", out, exit)
		}
		b.waitEnd()
	})
	t.Run("passes signals on", func(t *testing.T) {
		b := newBox(t, []string{"sleep", "100"}, withInit)
		b.mustStart(outputs)
		time.Sleep(100 * time.Millisecond)
		begin := time.Now()
		if _, err := b.ask(control.Request{Op: control.OpStop}); err != nil {
			t.Fatal(err)
		}
		if st := b.state(); st.ExitCode != 143 || time.Since(begin) > 5*time.Second {
			t.Errorf("after %s: %+v", time.Since(begin), st)
		}
		b.waitEnd()
	})
	t.Run("missing program", func(t *testing.T) {
		b := newBox(t, []string{"nosuch"}, withInit)
		if _, errs, exit := b.mustStart(outputs).end(); exit.Code != 127 || !strings.Contains(errs, "nosuch") {
			t.Errorf("%q, exit %+v", errs, exit)
		}
		b.waitEnd()
	})
}

func TestOOMKilled(t *testing.T) {
	asProcess(t)
	limit := int64(8 << 20)
	b := newBox(t, sh("x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"), func(_ *container.Record, s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &limit}}
	})
	_, _, exit := b.mustStart(outputs).end()
	b.waitEnd()
	if st := b.state(); !exit.OOMKilled || !st.OOMKilled || exit.Code != 137 {
		t.Errorf("exit %+v, recorded %+v", exit, st)
	}
}

// A new volume gets what the image has at its place, once, with the right owners.
func TestVolumeIsFilled(t *testing.T) {
	asProcess(t)
	mount := func(r *container.Record, s *specs.Spec) {
		r.Mounts = []container.Mount{{Type: "volume", Name: "vol", Destination: "/etc"}}
	}
	b := newBox(t, sh("true"), mount)
	dir := filepath.Join(b.store.Root, "volumes", "vol")
	if err := os.MkdirAll(filepath.Join(dir, "_data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fresh"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.mustStart(outputs).end()
	b.waitEnd()
	if b, err := os.ReadFile(filepath.Join(dir, "_data", "passwd")); err != nil || !strings.Contains(string(b), "web:") {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "fresh")); err == nil {
		t.Error("it would be filled again")
	}
}

func TestJoinsAnotherContainer(t *testing.T) {
	asProcess(t)
	shm := func(_ *container.Record, s *specs.Spec) {
		s.Hostname = "first"
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm"})
	}
	first := newBox(t, sh("echo shared >/dev/shm/f; echo ready; sleep 100"), shm)
	first.mustStart(outputs).until("ready")
	second := newBox(t, sh("cat /dev/shm/f; hostname; ps | grep -c 'sleep [1]00'"), func(r *container.Record, s *specs.Spec) {
		mode := "container:" + first.record.ID
		r.Modes = container.Modes{Pid: mode, IPC: mode, UTS: mode}
	})
	second.store = first.store
	if err := second.store.Create(renamed(second.record), second.config, nil); err != nil {
		t.Fatal(err)
	}
	if out, _, exit := second.mustStart(outputs).end(); out != "shared\nfirst\n1\n" {
		t.Errorf("%q, exit %+v", out, exit)
	}
	second.waitEnd()
}

func renamed(r *container.Record) *container.Record {
	r.Name = "second"
	return r
}

// Nothing is left of containers that came and went.
func TestNothingIsLeft(t *testing.T) {
	asProcess(t)
	b := newBox(t, sh("exit 5"))
	s := b.mustStart(outputs) // what is made once
	s.end()
	s.conn.Close()
	b.waitEnd()
	before := census(t)
	for range 100 {
		s := b.mustStart(outputs)
		if _, _, exit := s.end(); exit.Code != 5 {
			t.Fatalf("exit %+v", exit)
		}
		s.conn.Close()
	}
	b.waitEnd()
	after := census(t)
	if before != after {
		t.Errorf("before: %+v, after: %+v", before, after)
	}
}

type counts struct{ mounts, cgroups, fds, monitors int }

func census(t *testing.T) (c counts) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	c.mounts = strings.Count(string(b), "\n")
	names, err := cgroup.List("/gd-monitor-test")
	if err != nil {
		t.Fatal(err)
	}
	c.cgroups = len(names)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	c.fds = len(fds)
	program, _ := monitorProgram()
	out, _ := exec.Command("pgrep", "-f", program).Output()
	c.monitors = strings.Count(string(out), "\n")
	return c
}
