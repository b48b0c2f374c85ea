package cli

import (
	"strings"
	"testing"
	"time"

	"gourd/test/harness"
)

func TestCreateStartStopRestart(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	state := func() string { return g.Must("inspect", "-f", "{{.State.Status}} {{.State.Running}}", "c") }
	id := g.Must("create", "--name", "c", "busybox", "sh", "-c", "echo up; trap 'exit 0' TERM; while :; do sleep 0.1; done")
	if len(id) != 64 || state() != "created false" {
		t.Errorf("id %q, state %q", id, state())
	}
	want(t, g.Run("start", "c"), 0, "c\n")
	if state() != "running true" {
		t.Error(state())
	}
	g.Must("start", "c") // one that runs is left alone
	first := g.Pid("c")
	want(t, g.Run("restart", "-t", "5", "c"), 0, "c\n")
	if second := g.Pid("c"); second == first || state() != "running true" {
		t.Errorf("pid %s, then %s, state %s", first, second, state())
	}
	want(t, g.Run("stop", "c"), 0, "c\n")
	if state() != "exited false" {
		t.Error(state())
	}
	g.Must("stop", "c") // one that is stopped is no error
	g.Fails(1, []string{"not running"}, "kill", "c")
	want(t, g.Run("rm", "c"), 0, "c\n")
	none(t, g)
}

func TestStartAttached(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("create", "--name", "c", "busybox", "sh", "-c", "echo out; exit 4")
	want(t, g.Run("start", "-a", "c"), 4, "out\n")
	g.Must("create", "-i", "--name", "i", "busybox", "cat")
	want(t, g.RunInput("typed\n", "start", "-a", "-i", "i"), 0, "typed\n")
	g.Must("create", "--name", "bad", "busybox", "nosuch")
	g.Fails(1, []string{"nosuch"}, "start", "bad")
	g.Fails(1, []string{"gone"}, "start", "gone")
}

// LIF-03: moby#23319, moby#8069, moby#9311, vmware/vic#4020.
func TestNamesAndIDs(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	id := g.Must("create", "--name", "one", "busybox", "true")
	g.Fails(1, []string{"one"}, "rename", "one", "one")
	g.Must("inspect", "one")
	g.Must("rename", "one", "two")
	g.Fails(1, []string{"one"}, "inspect", "one")
	g.Fails(125, []string{"two", "in use"}, "create", "--name", "two", "busybox", "true")
	prefix := id[:6]
	other := g.Must("create", "--name", prefix, "busybox", "true")
	if got := g.Must("inspect", "-f", "{{.Id}}", prefix); got != other {
		t.Error("a prefix of an id wins over a name")
	}
	g.Must("rm", prefix)
	if got := g.Must("inspect", "-f", "{{.Name}}", prefix); got != "/two" {
		t.Errorf("prefix finds %q", got)
	}
	if got := g.Must("inspect", "-f", "{{.Name}}", "/two"); got != "/two" {
		t.Errorf("name with a slash finds %q", got)
	}
	for i := 0; ; i++ {
		made := g.Must("create", "busybox", "true")
		if made[0] == id[0] {
			g.Fails(1, []string{"ambiguous"}, "inspect", id[:1])
			break
		}
		if i == 200 {
			t.Fatal("no second id with the same first digit")
		}
	}
}

// LIF-05.
func TestStopSignals(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	exit := func(c string) string { return g.Must("inspect", "-f", "{{.State.ExitCode}}", c) }
	g.Must("run", "-d", "--name", "handler", "--stop-signal", "USR1", "--stop-timeout", "5", "busybox", "sh", "-c", `trap "exit 9" USR1; while :; do sleep 0.1; done`)
	g.Must("run", "-d", "--name", "deaf", "--stop-timeout", "1", "busybox", "sleep", "100")
	g.Must("run", "-d", "--name", "init", "--init", "busybox", "sleep", "100")
	time.Sleep(300 * time.Millisecond)
	g.Must("stop", "handler")
	if exit("handler") != "9" {
		t.Errorf("handler: %s", exit("handler"))
	}
	if r := g.Run("stop", "deaf"); r.Took < 900*time.Millisecond || r.Took > 4*time.Second || exit("deaf") != "137" {
		t.Errorf("deaf: %s after %v", exit("deaf"), r.Took)
	}
	if r := g.Run("stop", "init"); r.Took > 3*time.Second || exit("init") != "143" {
		t.Errorf("init: %s after %v", exit("init"), r.Took)
	}
	g.Must("run", "-d", "--name", "k", "busybox", "sh", "-c", `trap "echo usr1" USR1; while :; do sleep 0.1; done`)
	g.Fails(1, []string{"NOSUCH"}, "kill", "-s", "NOSUCH", "k")
	if got := g.Must("inspect", "-f", "{{.State.Running}}", "k"); got != "true" {
		t.Error("an unknown signal ended the container")
	}
	time.Sleep(200 * time.Millisecond)
	for _, s := range []string{"10", "USR1", "SIGUSR1"} {
		g.Must("kill", "-s", s, "k")
		time.Sleep(300 * time.Millisecond)
	}
	if got := g.Must("logs", "k"); got != "usr1\nusr1\nusr1" {
		t.Errorf("signals that arrived: %q", got)
	}
	g.Must("kill", "k")
	harness.Eventually(t, "the killed container has ended with 137", func() bool { return exit("k") == "137" })
}

func TestPause(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "busybox", "sleep", "100")
	want(t, g.Run("pause", "c"), 0, "c\n")
	if got := g.Must("ps", "--format", "{{.Status}} {{.State}}"); !strings.HasPrefix(got, "Up ") || !strings.HasSuffix(got, " (Paused) paused") {
		t.Error(got)
	}
	g.Fails(1, []string{"paused"}, "pause", "c")
	want(t, g.Run("unpause", "c"), 0, "c\n")
	g.Fails(1, []string{"not paused"}, "unpause", "c")
	g.Must("pause", "c")
	g.Must("rm", "-f", "c")
}

func TestRemove(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "busybox", "sleep", "100")
	g.Fails(1, []string{"running"}, "rm", "c")
	want(t, g.Run("rm", "-f", "c"), 0, "c\n")
	g.Must("create", "--name", "d", "busybox", "true")
	r := g.Fails(1, []string{"nosuch"}, "rm", "d", "nosuch")
	if r.Stdout != "d\n" {
		t.Errorf("removed %q", r.Stdout)
	}
	want(t, g.Run("rm", "-f", "nosuch"), 0, "")
	none(t, g)
}

func TestWait(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "a", "busybox", "sh", "-c", "sleep 0.4; exit 3")
	g.Must("run", "-d", "--name", "b", "busybox", "sh", "-c", "exit 4")
	want(t, g.Run("wait", "a", "b"), 0, "3\n4\n")
	want(t, g.Run("wait", "a"), 0, "3\n")
	g.Fails(1, []string{"nosuch"}, "wait", "nosuch")
}

func TestTop(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "busybox", "sh", "-c", "sleep 100; true")
	harness.Eventually(t, "the shell has started its child", func() bool { return strings.Contains(g.Run("top", "c").Stdout, "sleep 100\n") })
	for _, args := range [][]string{nil, {"aux"}, {"-ef"}, {"-o", "pid,comm"}} {
		got := g.Must(append([]string{"top", "c"}, args...)...)
		lines := strings.Split(got, "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], "PID") || !strings.Contains(got, "sleep") {
			t.Errorf("top %v:\n%s", args, got)
		}
	}
	g.Must("kill", "c")
	harness.Eventually(t, "it has ended", func() bool { return g.Must("inspect", "-f", "{{.State.Running}}", "c") == "false" })
	g.Fails(1, []string{"not running"}, "top", "c")
}
