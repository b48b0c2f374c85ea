package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

func ptr[T any](v T) *T { return &v }

// parent is where all groups of this test run lie.
var parent = fmt.Sprintf("/gourd-test-%d", os.Getpid())

// needRoot skips a test that makes groups where that is not possible.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make control groups")
	}
	if _, err := Detect(); err != nil {
		t.Skip(err)
	}
}

// newGroup makes a group that the test's end kills, removes, and checks to be gone.
func newGroup(t testing.TB, name string, r *specs.LinuxResources) *Group {
	t.Helper()
	needRoot(t)
	path := parent + "/" + name
	if _, err := Check(r); err != nil {
		if errors.Is(err, container.ErrUnsupported) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	g, err := Create(Options{Path: path, Resources: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, g) })
	return g
}

func destroy(t testing.TB, g *Group) {
	t.Helper()
	if err := g.Kill(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := g.Delete(ctx); err != nil {
		t.Error(err)
	}
	if err := RemoveParents(g.Path()); err != nil {
		t.Error(err)
	}
	for _, dir := range g.Paths() {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}

// start runs a shell command in the group; it is killed with the group.
func start(t testing.TB, g *Group, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if err := g.Start(cmd.SysProcAttr, cmd.Start); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// read gives a file of the group in the hierarchy of a controller.
func readIn(t testing.TB, g *Group, controller, file string) string {
	t.Helper()
	d := g.place(controller)
	if d == nil {
		t.Fatalf("no hierarchy has %q", controller)
	}
	s, err := readFile(d.path, file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

func TestEveryHierarchyHasTheGroup(t *testing.T) {
	g := newGroup(t, "paths", nil)
	l, _ := detect()
	for _, h := range l.hierarchies {
		st, err := os.Stat(filepath.Join(h.mount, g.Path()))
		if err != nil || !st.IsDir() {
			t.Errorf("%s: %v", h.mount, err)
		}
	}
	paths := g.Paths()
	for _, h := range l.hierarchies {
		for _, c := range h.controllers {
			if !h.unified && paths[c] != filepath.Join(h.mount, g.Path()) {
				t.Errorf("path of %s is %q", c, paths[c])
			}
		}
	}
}

func TestProcessIsBornInTheGroup(t *testing.T) {
	g := newGroup(t, "born", nil)
	cmd := start(t, g, "exec sleep 100")
	defer cmd.Wait()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range parseProcCgroup(b) {
		mounted := slices.ContainsFunc(g.dirs, func(d dir) bool { return d.isMember(m) })
		if mounted && m.path != g.Path() {
			t.Errorf("hierarchy %v: the process is in %s, want %s", m.controllers, m.path, g.Path())
		}
	}
	// The thread that started it must be gone from the group.
	pids, err := g.Pids(false)
	if err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("processes are %v (%v), want %d", pids, err, cmd.Process.Pid)
	}
	for _, d := range g.dirs {
		if tasks, err := readFile(d.path, pick(d.unified, "cgroup.threads", "tasks")); err == nil && strings.TrimSpace(tasks) != fmt.Sprint(cmd.Process.Pid) {
			t.Errorf("%s: threads are %q", d.path, tasks)
		}
	}
	if !g.Holds(cmd.Process.Pid) || g.Holds(os.Getpid()) {
		t.Error("Holds is wrong")
	}
	destroy(t, g)
}

func TestCreateRefusesAnOccupiedOrFrozenGroup(t *testing.T) {
	g := newGroup(t, "taken", nil)
	cmd := start(t, g, "exec sleep 100")
	defer cmd.Wait()
	_, err := Create(Options{Path: g.Path()})
	if !errors.Is(err, container.ErrInUse) || !strings.Contains(err.Error(), "container's cgroup is not empty: 1 process(es) found") {
		t.Errorf("occupied: %v", err)
	}
	if pids, _ := g.Pids(false); len(pids) != 1 {
		t.Error("refusing took the process away")
	}
	if err := g.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	for range 100 { // the process may be dying still
		if _, err = Create(Options{Path: g.Path()}); !strings.Contains(fmt.Sprint(err), "not empty") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !errors.Is(err, container.ErrInUse) || !strings.Contains(err.Error(), "container's cgroup unexpectedly frozen") {
		t.Errorf("frozen: %v", err)
	}
}

func TestCreateLeavesNothingOnError(t *testing.T) {
	needRoot(t)
	path := parent + "-failed/leaf"
	r := &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4095"}}
	if _, err := Create(Options{Path: path, Resources: r}); err == nil {
		t.Fatal("a CPU that isn't there was taken")
	}
	g, _ := Load(path, false)
	for _, d := range g.dirs {
		for _, at := range []string{d.path, filepath.Dir(d.path)} {
			if _, err := os.Stat(at); err == nil {
				t.Errorf("%s was left", at)
			}
		}
	}
}

func TestBadPathsAreRefused(t *testing.T) {
	needRoot(t)
	for _, path := range []string{"", "/", "/a/../../b", "..", "/a\nb", "/./"} {
		if _, err := Create(Options{Path: path}); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestFreezeAndThaw(t *testing.T) {
	g := newGroup(t, "freeze", nil)
	cmd := start(t, g, "while :; do sleep 0.01; done")
	defer cmd.Wait()
	for range 5 {
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		if frozen, err := g.Frozen(); err != nil || !frozen {
			t.Fatalf("frozen is %v, %v", frozen, err)
		}
		if err := g.Thaw(); err != nil {
			t.Fatal(err)
		}
		if frozen, err := g.Frozen(); err != nil || frozen {
			t.Fatalf("after thawing frozen is %v, %v", frozen, err)
		}
	}
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	destroy(t, g) // a frozen group dies too
}

func TestKillEndsAForkBomb(t *testing.T) {
	g := newGroup(t, "bomb", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(200))}})
	cmd := start(t, g, `b() { b & b & wait; }; b 2>/dev/null; while :; do sh -c : & done 2>/dev/null`)
	time.Sleep(200 * time.Millisecond)
	before := time.Now()
	destroy(t, g)
	t.Logf("killed and removed in %v", time.Since(before))
	if err := cmd.Wait(); err == nil {
		t.Error("the bomb's parent ended by itself")
	}
	if !g.Exists() {
		return
	}
	t.Error("the group is still there")
}

func TestKillWithoutCgroupKill(t *testing.T) {
	g := newGroup(t, "oldkill", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(100))}})
	cmd := start(t, g, `b() { b & b & wait; }; b 2>/dev/null; sleep 100`)
	time.Sleep(100 * time.Millisecond)
	if err := g.signalFrozen(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if pids, err := g.living(); err != nil || len(pids) > 0 {
		t.Errorf("%v still live (%v)", pids, err)
	}
	cmd.Wait()
}

func TestSignalReachesEveryProcess(t *testing.T) {
	g := newGroup(t, "signal", nil)
	var cmds []*exec.Cmd
	for range 3 {
		cmds = append(cmds, start(t, g, "exec sleep 100"))
	}
	if err := g.Kill(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range cmds {
		cmd.Wait()
		if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != unix.SIGTERM {
			t.Errorf("a process ended with %v", s)
		}
	}
}

func TestDeleteTakesChildGroups(t *testing.T) {
	g := newGroup(t, "nested", nil)
	for _, d := range g.dirs {
		if err := os.MkdirAll(d.path+"/a/b", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	if g.Exists() {
		t.Error("something is left")
	}
	if err := g.Delete(context.Background()); err != nil {
		t.Errorf("deleting a group that is gone: %v", err)
	}
}

func TestDeleteWaitsForTheLastProcess(t *testing.T) {
	g := newGroup(t, "wait", nil)
	cmd := start(t, g, "exec sleep 0.3")
	go cmd.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := g.Delete(ctx); !errors.Is(err, container.ErrInUse) {
		t.Errorf("a living process: %v", err)
	}
	if err := g.Delete(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestDelegation(t *testing.T) {
	needRoot(t)
	l, _ := detect()
	if l.unified() == nil {
		t.Skip("no v2 hierarchy")
	}
	path := parent + "/delegated"
	g, err := Create(Options{Path: path, OwnerUID: ptr(123456)})
	if err != nil {
		t.Fatal(err)
	}
	defer destroy(t, g)
	for file, want := range map[string]uint32{".": 123456, "cgroup.procs": 123456, "cgroup.subtree_control": 123456, "cgroup.freeze": 0, "cgroup.max.depth": 0} {
		st, err := os.Stat(filepath.Join(g.unifiedDir().path, file))
		if err != nil || st.Sys().(*syscall.Stat_t).Uid != want {
			t.Errorf("%s: owner is not %d (%v)", file, want, err)
		}
	}
}

// TestLeavingTheStartersGroups runs this same test program once more, in the groups of a starter.
func TestLeavingTheStartersGroups(t *testing.T) {
	needRoot(t)
	starter, path := newGroup(t, "starter", nil), parent+"/apart"
	g, err := Load(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer destroy(t, g)
	for _, how := range []string{"join", "start"} {
		cmd := exec.Command("/proc/self/exe", "-test.run=TestHelperLeaves", "-test.v")
		cmd.Env = append(os.Environ(), "GOURD_TEST_HOW="+how, "GOURD_TEST_PATH="+path, "GOURD_TEST_STARTER="+starter.Path())
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := starter.Start(cmd.SysProcAttr, cmd.Start); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", how, err, out.String())
		}
		t.Log(out.String())
	}
}

// TestHelperLeaves is what TestLeavingTheStartersGroups runs: it begins in the starter's groups.
func TestHelperLeaves(t *testing.T) {
	path := os.Getenv("GOURD_TEST_PATH")
	if path == "" {
		t.Skip("run by TestLeavingTheStartersGroups")
	}
	in := func(pid int) (n int) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		for _, m := range parseProcCgroup(b) {
			if m.path == os.Getenv("GOURD_TEST_STARTER") {
				t.Errorf("still in the starter's group: %v", m)
			}
			if m.path == path {
				n++
			}
		}
		return n
	}
	l, _ := detect()
	if os.Getenv("GOURD_TEST_HOW") == "start" {
		cmd := exec.Command("/bin/sleep", "100")
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		begin := time.Now()
		if err := StartApart(path, cmd.SysProcAttr, cmd.Start); err != nil {
			t.Fatal(err)
		}
		t.Logf("started in %v", time.Since(begin))
		if n := in(cmd.Process.Pid); n != len(l.hierarchies) {
			t.Errorf("the child is in %d of %d groups", n, len(l.hierarchies))
		}
		cmd.Process.Kill()
		cmd.Wait()
		return
	}
	for range 2 { // the second time nothing is to be done
		begin := time.Now()
		if err := JoinSelf(path); err != nil {
			t.Fatal(err)
		}
		t.Logf("joined in %v", time.Since(begin))
	}
	if n := in(os.Getpid()); n != len(l.hierarchies) {
		t.Errorf("in %d of %d groups", n, len(l.hierarchies))
	}
}

func TestListNamesOrphans(t *testing.T) {
	newGroup(t, "list-a", nil)
	newGroup(t, "list-b", nil)
	names, err := List(parent)
	if err != nil || !slices.Contains(names, "list-a") || !slices.Contains(names, "list-b") {
		t.Errorf("%v, %v", names, err)
	}
	if names, err := List(parent + "-none"); err != nil || len(names) > 0 {
		t.Errorf("no such parent: %v, %v", names, err)
	}
}

func owner(st os.FileInfo) uint32 {
	if st == nil {
		return 0
	}
	return st.Sys().(*syscall.Stat_t).Uid
}

// TestPreparesACpusetThatWasLeftEmpty: whoever made a parent may have been killed before it was ready.
func TestPreparesACpusetThatWasLeftEmpty(t *testing.T) {
	l, err := detect()
	if err != nil {
		t.Fatal(err)
	}
	h := l.find("cpuset")
	if h == nil || h.unified {
		t.Skip("needs a cpuset hierarchy of cgroup v1")
	}
	name := fmt.Sprintf("gourd-test-%d", os.Getpid())
	parent := filepath.Join(h.mount, name)
	if err := os.Mkdir(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	g, err := Create(Options{Path: "/" + name + "/x"})
	if err != nil {
		t.Fatal(err)
	}
	defer RemoveParents("/" + name + "/x")
	defer g.Delete(t.Context())
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if v, _ := readFile(filepath.Join(parent, "x"), file); strings.TrimSpace(v) == "" {
			t.Errorf("%s is empty: no process can enter", file)
		}
	}
}
