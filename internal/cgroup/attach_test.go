package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/cgroup/systemd"
	"gourd/internal/container"
)

// waitingShell starts a shell that does nothing before a line comes on its stdin.
func waitingShell(t *testing.T, script string) (*exec.Cmd, func()) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "read line; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, func() { fmt.Fprintln(in); in.Close() }
}

func needSystemd(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		t.Skip("systemd does not run this machine")
	}
}

func connect(f func(ctx context.Context, c *sd.Conn) error) error {
	c, err := sd.NewSystemdConnectionContext(context.Background())
	if err != nil {
		return err
	}
	defer c.Close()
	return f(context.Background(), c)
}

func property(t *testing.T, unit, kind, name string) string {
	t.Helper()
	var value string
	err := connect(func(ctx context.Context, c *sd.Conn) error {
		p, err := c.GetUnitTypePropertyContext(ctx, unit, kind, name)
		if err == nil {
			value = fmt.Sprint(p.Value.Value())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSystemdScope(t *testing.T) {
	needSystemd(t)
	slice := fmt.Sprintf("gourdtest%d.slice", os.Getpid())
	path := slice + ":gourd:scope"
	r := &specs.LinuxResources{
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(50000)), Shares: ptr(uint64(512))},
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(42))},
	}
	g, err := Create(Options{
		Path: path, Systemd: true, Resources: r, OwnerUID: ptr(4321),
		Annotations: map[string]string{"org.systemd.property.TimeoutStopUSec": "uint64 7000000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd, release := waitingShell(t, "exec sleep 1000")
	begin := time.Now()
	if !g.NeedsAttach() {
		t.Error("a new scope needs no process")
	}
	if err := g.Attach(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	t.Logf("attached in %v", time.Since(begin))
	defer func() {
		g.Kill(unix.SIGKILL)
		cmd.Wait()
		begin := time.Now()
		if err := g.Delete(context.Background()); err != nil {
			t.Error(err)
		}
		t.Logf("deleted in %v", time.Since(begin))
		if g.Exists() {
			t.Error("something is left")
		}
		(&systemd.Unit{Name: slice}).Stop()
	}()
	if !g.Holds(cmd.Process.Pid) || g.Path() != "/"+slice+"/gourd-scope.scope" {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid))
		t.Errorf("the process is in\n%s want %s", b, g.Path())
	}
	if pids, err := g.Pids(true); err != nil || len(pids) != 1 {
		t.Errorf("processes %v, %v", pids, err)
	}
	v2 := g.layout.mode == V2
	scope := "gourd-scope.scope"
	for name, want := range map[string]string{
		"TasksMax": "42", "CPUQuotaPerSecUSec": "400000", "TimeoutStopUSec": "7000000", "Slice": slice, "Delegate": "true",
		pick(v2, "MemoryMax", "MemoryLimit"): "67108864", pick(v2, "CPUWeight", "CPUShares"): pick(v2, "59", "512"),
	} {
		if got := property(t, scope, "Scope", name); got != want {
			t.Errorf("property %s is %s, want %s", name, got, want)
		}
	}
	files := func() string {
		if v2 {
			return strings.Join([]string{readIn(t, g, "cpu", "cpu.max"), readIn(t, g, "cpu", "cpu.weight"), readIn(t, g, "memory", "memory.max"), readIn(t, g, "pids", "pids.max")}, " ")
		}
		return strings.Join([]string{readIn(t, g, "cpu", "cpu.cfs_quota_us"), readIn(t, g, "cpu", "cpu.shares"), readIn(t, g, "memory", "memory.limit_in_bytes"), readIn(t, g, "pids", "pids.max")}, " ")
	}
	want := pick(v2, "20000 50000 59 67108864 42", "20000 512 67108864 42")
	if got := files(); got != want {
		t.Errorf("files say %q, want %q", got, want)
	}
	if err := g.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(128 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(50))}}); err != nil {
		t.Fatal(err)
	}
	want = strings.NewReplacer("67108864", "134217728", " 42", " 50").Replace(want)
	reload(t)
	if got := files(); got != want {
		t.Errorf("after an update and daemon-reload files say %q, want %q", got, want)
	}
	release()
	testScopeDevices(t, g)
	if v2 {
		st, err := os.Stat(filepath.Join(g.unifiedDir().path, "cgroup.procs"))
		if err != nil || owner(st) != 4321 {
			t.Errorf("cgroup.procs belongs to %d, %v", owner(st), err)
		}
	}
	if err := g.Freeze(); err != nil {
		t.Error(err)
	}
	if err := g.Thaw(); err != nil {
		t.Error(err)
	}
}

// testScopeDevices: the device rules hold after a reload too.
func testScopeDevices(t *testing.T, g *Group) {
	t.Helper()
	for command, want := range map[string]bool{": >/dev/null": true, ": </dev/kmsg": false} {
		cmd := exec.Command("/bin/sh", "-c", command)
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		if err := g.Start(cmd.SysProcAttr, cmd.Start); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); (err == nil) != want {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func reload(t *testing.T) {
	t.Helper()
	err := connect(func(ctx context.Context, c *sd.Conn) error { return c.ReloadContext(ctx) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestSystemdScopeIsNotLeftWhenLimitsFail(t *testing.T) {
	needSystemd(t)
	slice := fmt.Sprintf("gourdtest%d.slice", os.Getpid())
	defer func() { (&systemd.Unit{Name: slice}).Stop() }()
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{Mems: "60"}}
	g, err := Create(Options{Path: slice + ":gourd:fails", Systemd: true, Resources: r})
	if err != nil {
		t.Fatal(err)
	}
	cmd, _ := waitingShell(t, "sleep 1000")
	defer cmd.Wait()
	defer cmd.Process.Kill()
	err = g.Attach(cmd.Process.Pid)
	if err == nil {
		t.Error("a memory node that isn't there was taken")
	}
	t.Log(err)
	cmd.Process.Kill()
	cmd.Wait()
	if err := g.Delete(context.Background()); err != nil {
		t.Error(err)
	}
	if g.Exists() {
		t.Error("something is left")
	}
}

func TestSystemdDriverIsRefusedWithoutSystemd(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs this machine")
	}
	if _, err := Create(Options{Path: "gourd.slice:gourd:x", Systemd: true}); !errors.Is(err, container.ErrUnsupported) {
		t.Error(err)
	}
}
