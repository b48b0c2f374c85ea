// Package lifecycle tests the verbs end to end: what a user sees of create, start, stop, remove and the
// rest, on real containers. The numbers in names are cases of public bug reports (docs/compat.md).
package lifecycle

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gourd/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q; want %q", what, got, want)
	}
}

func status(g *harness.Gourd, name string) string {
	g.T.Helper()
	return g.Must("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name)
}

func TestExitCodesOfRun(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	for _, c := range []struct {
		code int
		args []string
	}{
		{126, []string{"/etc"}}, {126, []string{"/etc/passwd"}}, {127, []string{"/nosuch"}}, {127, []string{"nosuch"}},
		{7, []string{"sh", "-c", "exit 7"}}, {0, []string{"true"}},
	} {
		g.Fails(c.code, nil, append([]string{"run", "--rm", "--network", "none", image}, c.args...)...)
	}
	g.Fails(127, []string{"/nosuch"}, "run", "-d", "--name", "box", image, "/nosuch")
	want(t, "state after a failed start", status(g, "box"), "created 127")
	if reason := g.Must("inspect", "-f", "{{.State.Error}}", "box"); !strings.Contains(reason, "/nosuch") {
		t.Errorf("error in the state: %q", reason)
	}
	g.Must("rm", "box")
	// What could not start and was to be removed is gone.
	g.Fails(127, nil, "run", "--rm", "--name", "box", image, "nosuch")
	g.Fails(1, []string{"box"}, "inspect", "box")
}

func TestEntryPoints(t *testing.T) {
	g := harness.New(t)
	g.Import("e", harness.BusyboxTar(t), `ENTRYPOINT ["/bin/echo","E"]`, `CMD ["C"]`)
	run := []string{"run", "--rm", "--network", "none"}
	for _, c := range []struct{ args, want string }{
		{"e", "E C"}, {"e arg", "E arg"}, {"--entrypoint  e echo foo", "foo"}, {"--entrypoint /bin/echo e", ""},
	} {
		want(t, c.args, g.Must(append(run, strings.Split(c.args, " ")...)...), c.want)
	}
	g.Fails(125, []string{"no command"}, "run", "--rm", "--entrypoint", "", "e")
}

func TestStartStopRestartAndWait(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("create", "--name", "box", image, "sh", "-c", `echo up; trap 'echo bye; exit 3' TERM; while :; do sleep 0.1; done`)
	want(t, "created", status(g, "box"), "created 0")
	g.Must("start", "box")
	g.Fails(0, nil, "start", "box") // docker: starting a running container does nothing
	harness.Eventually(t, "the program runs", func() bool { return strings.Contains(g.Must("logs", "box"), "up") })
	g.Must("stop", "-t", "5", "box")
	want(t, "stopped", status(g, "box"), "exited 3")
	want(t, "waited for", g.Must("wait", "box"), "3")
	g.Must("restart", "box")
	want(t, "restarted", status(g, "box"), "running 0")
	first := g.Pid("box")
	g.Must("restart", "-t", "5", "box")
	if second := g.Pid("box"); second == first || second == "0" {
		t.Errorf("pids %s and %s", first, second)
	}
	g.Fails(1, []string{"running"}, "rm", "box")
	g.Must("rm", "-f", "box")
	g.Fails(1, []string{"box"}, "stop", "box")
}

func TestStopSignals(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "own", "--stop-signal", "USR1", "--stop-timeout", "5", image, "sh", "-c", `trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done`)
	g.Must("run", "-d", "--name", "deaf", "--stop-timeout", "1", image, "sleep", "100")
	g.Must("run", "-d", "--name", "init", "--init", image, "sleep", "100")
	harness.Eventually(t, "the trap is set", func() bool { return g.Must("logs", "own") == "up" })
	// Until its handlers are set the kernel drops signals to a pid 1.
	harness.Eventually(t, "init runs its program", func() bool { return strings.Count(g.Must("top", "init"), "sleep 100") == 2 })
	g.Must("stop", "own", "deaf", "init")
	want(t, "its own signal", status(g, "own"), "exited 9")
	want(t, "no handler", status(g, "deaf"), "exited 137")
	want(t, "--init", status(g, "init"), "exited 143")
	g.Must("start", "own")
	g.Fails(1, []string{"NOSUCH"}, "kill", "-s", "NOSUCH", "own")
	want(t, "after a signal that isn't one", status(g, "own"), "running 0")
	harness.Eventually(t, "the trap is set again", func() bool { return g.Must("logs", "own") == "up\nup" })
	g.Must("kill", "-s", "10", "own")
	want(t, "after signal 10", g.Must("wait", "own"), "9")
}

func TestWaitForContainerThatRemovesItself(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	for range 5 {
		g.Must("run", "-d", "--rm", "--name", "box", image, "sh", "-c", "sleep 0.3; exit 6")
		want(t, "wait", g.Must("wait", "box"), "6")
		// The name is free at once.
	}
}

func TestRestartKeepsContainerThatRemovesItself(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--rm", "--name", "box", image, "sleep", "100")
	g.Must("restart", "-t", "0", "box")
	want(t, "restarted", status(g, "box"), "running 0")
	g.Must("stop", "-t", "0", "box")
	harness.Eventually(t, "stop removes it", func() bool { return g.Must("ps", "-aq") == "" })
}

func TestPause(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", image, "sleep", "100")
	g.Must("pause", "box")
	want(t, "paused", status(g, "box"), "paused 0")
	g.Fails(1, []string{"paused"}, "exec", "box", "true")
	g.Fails(1, []string{"paused"}, "pause", "box")
	g.Must("unpause", "box")
	g.Must("exec", "box", "true")
	g.Fails(1, []string{"not paused"}, "unpause", "box")
	g.Must("pause", "box")
	g.Must("rm", "-f", "box")
}

func TestExec(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", "--ulimit", "nofile=512:1024", "-e", "A=1", "--group-add", "777", image, "sleep", "100")
	for _, c := range []struct {
		code int
		args []string
	}{
		{127, []string{"box", "nosuch"}}, {126, []string{"box", "/etc"}}, {42, []string{"box", "sh", "-c", "exit 42"}},
		{137, []string{"box", "sh", "-c", "kill -9 $$"}},
	} {
		g.Fails(c.code, nil, append([]string{"exec"}, c.args...)...)
	}
	if r := g.Run("exec", "-w", "/nodir", "box", "pwd"); r.Code == 0 || !strings.Contains(r.Stderr, "/nodir") {
		t.Errorf("exec in a directory that isn't there: %d, %s", r.Code, r.Stderr)
	}
	if r := g.Run("exec", "-u", "nobodyhere", "box", "id"); r.Code == 0 || !strings.Contains(r.Stderr, "nobodyhere") {
		t.Errorf("exec as a user that isn't there: %d, %s", r.Code, r.Stderr)
	}
	want(t, "limit", g.Must("exec", "box", "sh", "-c", "ulimit -n; ulimit -Hn"), "512\n1024")
	want(t, "environment", g.Must("exec", "-e", "B=2", "box", "sh", "-c", "echo $A$B$HOME"), "12/root")
	groups := strings.Fields(g.Must("exec", "-u", "nobody", "box", "id", "-G"))
	if len(groups) != 2 || !strings.Contains(strings.Join(groups, " "), "777") || !strings.Contains(strings.Join(groups, " "), "65534") {
		t.Errorf("groups of nobody: %v", groups)
	}
	want(t, "stdin", g.RunInput("through\n", "exec", "-i", "box", "cat").Stdout, "through\n")
	want(t, "still there", status(g, "box"), "running 0")
}

func TestExecEndsWithTheContainer(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", "--init", image, "sleep", "2")
	r := g.Run("exec", "box", "sleep", "100")
	want(t, "exit code", itoa(r.Code), "137")
	if r.Took > 6*time.Second {
		t.Errorf("it took %v", r.Took)
	}
}

func itoa(n int) string {
	if n == 0 {
		return "0"
	}
	var b []byte
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

func TestNamesAndIDs(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	id := g.Must("create", "--name", "one", image, "true")
	g.Fails(125, []string{"one", id}, "create", "--name", "one", image, "true")
	g.Fails(1, []string{"one"}, "rename", "one", "one")
	want(t, "still there", g.Must("inspect", "-f", "{{.Name}}", "one"), "/one")
	g.Must("rename", "one", "two")
	want(t, "by its id's beginning", g.Must("inspect", "-f", "{{.Name}}", id[:8]), "/two")
	// A name that is the beginning of another's id wins.
	g.Must("create", "--name", id[:6], image, "false")
	want(t, "name before prefix", g.Must("inspect", "-f", "{{.Path}}", id[:6]), "false")
	g.Fails(125, []string{"a b"}, "create", "--name", "a b", image, "true")
}

func TestRemoveGoesOnAfterAnUnknownName(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("create", "--name", "box", image, "true")
	g.Fails(1, []string{"nosuch"}, "rm", "box", "nosuch")
	g.Must("rm", "-f", "nosuch")
	want(t, "left", g.Must("ps", "-aq"), "")
}

func TestTopShowsProcessesAsBothSidesSeeThem(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", "-u", "33", image, "sh", "-c", "sleep 100 & sleep 200")
	harness.Eventually(t, "both run", func() bool { return strings.Count(g.Must("top", "box"), "sleep") >= 2 })
	top := g.Must("top", "box", "-o", "pid,uid,args")
	if !strings.Contains(top, g.Pid("box")) || !strings.Contains(top, " 33 ") || !strings.Contains(top, "sleep 200") {
		t.Error(top)
	}
	g.Fails(1, []string{"bogus"}, "top", "box", "-o", "bogus")
}

func TestAnonymousVolumes(t *testing.T) {
	g := harness.New(t)
	g.Import("v", harness.BusyboxTar(t, harness.File{Name: "data/", Mode: 0o2750, UID: 1000, GID: 33}, harness.File{Name: "data/f", Body: "content", UID: 1000, GID: 33}), "VOLUME /data")
	volumes := filepath.Join(g.Root, "volumes")
	want(t, "filled from the image", g.Must("run", "--rm", "--network", "none", "v", "sh", "-c", "stat -c '%a %u:%g' /data; cat /data/f; echo more >/data/f"), "2750 1000:33\ncontent")
	harness.Eventually(t, "--rm removes the volume", func() bool { list, _ := os.ReadDir(volumes); return len(list) == 0 })
	g.Must("run", "--name", "box", "--network", "none", "v", "sh", "-c", "echo more >/data/f")
	want(t, "kept over a restart", g.Must("start", "-a", "box")+g.Must("logs", "box"), "")
	g.Must("rm", "-v", "box")
	if list, _ := os.ReadDir(volumes); len(list) > 0 {
		t.Errorf("rm -v left %d volumes", len(list))
	}
}

func TestBindMounts(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	dir := t.TempDir()
	run := []string{"run", "--rm", "--network", "none"}
	source := filepath.Join(dir, "new1")
	want(t, "made by -v", g.Must(append(run, "-v", source+":/x", image, "stat", "-c", "%u:%g", "/x")...), "0:0")
	g.Fails(125, []string{"new2"}, append(run, "--mount", "type=bind,src="+filepath.Join(dir, "new2")+",dst=/x", image, "true")...)
	if _, err := os.Stat(filepath.Join(dir, "new2")); err == nil {
		t.Error("--mount made its source")
	}
	sub := filepath.Join(dir, "d", "sub")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", sub, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(sub, 0) })
	r := g.Run(append(run, "-v", filepath.Join(dir, "d")+":/d:ro", image, "sh", "-c", "touch /d/a; touch /d/sub/b")...)
	if strings.Count(r.Stderr, "Read-only file system") != 2 {
		t.Errorf("read-only is not recursive: %s", r.Stderr)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("hi"), 0o644); err != nil {
		t.Fatal(err)
	}
	g.Fails(125, []string{"directory"}, append(run, "-v", file+":/etc", image, "true")...)
	// Files keep their owners in the container's user namespace, in both directions.
	if err := os.Chown(file, 1000, 33); err != nil {
		t.Fatal(err)
	}
	want(t, "owner inside", g.Must(append(run, "-v", dir+":/d", image, "sh", "-c", "stat -c %u:%g /d/file; touch /d/made; chown 5:6 /d/made")...), "1000:33")
	st, err := os.Stat(filepath.Join(dir, "made"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := st.Sys().(*syscall.Stat_t); owner.Uid != 5 || owner.Gid != 6 {
		t.Errorf("owner outside: %d:%d", owner.Uid, owner.Gid)
	}
}

func TestTmpfs(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	run := []string{"run", "--rm", "--network", "none"}
	want(t, "mode", g.Must(append(run, "--mount", "type=tmpfs,dst=/root,tmpfs-mode=1777", image, "stat", "-c", "%a", "/root")...), "1777")
	want(t, "options", g.Must(append(run, "--tmpfs", "/root:mode=0751,uid=33,gid=1,size=1m,exec", image, "sh", "-c",
		`stat -c "%a %u:%g" /root; df -k /root | tail -1 | awk '{print $2}'; grep -c "/root.*noexec" /proc/mounts; true`)...), "751 33:1\n1024\n0")
}

func TestReadOnly(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", "--read-only", "--tmpfs", "/run", image, "sleep", "100")
	g.Must("exec", "box", "sh", "-c", "touch /run/a /dev/shm/x && ! touch /a 2>/dev/null && ! touch /etc/hosts 2>/dev/null")
}

func TestLimitsAreRefusedBeforeAnythingIsMade(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	for _, args := range [][]string{
		{"--cpus", "0.001"}, {"--cpus", "1000"}, {"-m", "1m"}, {"--memory-swap", "64m"}, {"--cpuset-cpus", "99"}, {"--ulimit", "nofile=20:10"},
		{"--ulimit", "bogus=1"}, {"--sysctl", "kernel.panic=1"}, {"--sysctl", "net.ipv4.ip_forward=0", "--network", "host"}, {"-h", strings.Repeat("h", 65)},
		{"--rm", "--restart", "always"}, {"--device", "/dev/nosuch"}, {"-e", "=x"}, {"--cap-add", "bogus"}, {"-v", "/etc:/"}, {"-u", "2147483648"},
		{"--security-opt", "bogus"}, {"--pid", "container:nosuch"}, {"--userns", "auto", "--privileged"}, {"--stop-signal", "bogus"},
	} {
		r := g.Run(append(append([]string{"run", "--name", "box"}, args...), image, "true")...)
		if r.Code != 125 || r.Stderr == "" {
			t.Errorf("%v: exit code %d, %s", args, r.Code, r.Stderr)
		}
	}
	want(t, "made", g.Must("ps", "-aq"), "")
}

func TestJoinedNamespaces(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "first", "-h", "hh", image, "sleep", "100")
	run := []string{"run", "--rm"}
	want(t, "pid", g.Must(append(run, "--pid", "container:first", image, "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '")...), "sleep 100 ")
	inner := g.Must("exec", "first", "readlink", "/proc/self/ns/net")
	want(t, "network", g.Must(append(run, "--network", "container:first", image, "sh", "-c", "readlink /proc/self/ns/net; hostname; grep -c hh /etc/hosts")...), inner+"\nhh\n1")
	g.Must("exec", "first", "sh", "-c", "echo shared >/dev/shm/f")
	want(t, "ipc", g.Must(append(run, "--ipc", "container:first", image, "cat", "/dev/shm/f")...), "shared")
	g.Must("stop", "-t", "0", "first")
	g.Fails(125, []string{"first", "not running"}, append(run, "--pid", "container:first", image, "true")...)
}

// TestKilledMonitor: the container goes along, the next command records it, and it can be started again.
func TestKilledMonitor(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", image, "sh", "-c", "sleep 1000 & sleep 1000")
	g.Must("run", "-d", "--rm", "--name", "gone", image, "sleep", "1000")
	pid := g.Pid("box")
	killed := 0
	for _, p := range g.Processes() {
		if strings.Contains(p, "gourd-monitor") {
			f := strings.Fields(p)
			if err := syscall.Kill(atoi(f[1]), syscall.SIGKILL); err == nil {
				killed++
			}
		}
	}
	if killed != 2 {
		t.Fatalf("killed %d monitors: %v", killed, g.Processes())
	}
	harness.Eventually(t, "the monitors are gone", func() bool { return len(g.Processes()) == 0 })
	want(t, "names", g.Must("ps", "-a", "--format", "{{.Names}}"), "box")
	want(t, "state", status(g, "box"), "exited 137")
	if reason := g.Must("inspect", "-f", "{{.State.Error}}", "box"); !strings.Contains(reason, "monitor") {
		t.Errorf("reason: %q", reason)
	}
	harness.Eventually(t, "its processes are gone", func() bool { _, err := os.Stat("/proc/" + pid); return err != nil })
	g.Must("start", "box")
	want(t, "started again", status(g, "box"), "running 0")
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func TestExplain(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", "--cpu-period=100000", "--cpu-quota=20000", image, "sleep", "100")
	text := g.Must("explain", "box")
	for _, word := range []string{g.Pid("box"), "20000", "join cgroups", "pivot"} {
		if !strings.Contains(text, word) {
			t.Errorf("explain lacks %q", word)
		}
	}
	plan := g.Must("explain", "--dry-run", "run", "--cpu-quota=20000", image, "true")
	if !strings.Contains(plan, "join cgroups") || strings.Contains(g.Must("ps", "-aq", "--no-trunc"), "true") {
		t.Error("dry run:", plan)
	}
	want(t, "containers after the dry run", itoa(strings.Count(g.Must("ps", "-aq")+"\n", "\n")), "1")
}
