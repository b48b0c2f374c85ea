package cli

import (
	"strings"
	"testing"
	"time"

	"gourd/test/harness"
)

// EXE-01: moby#15713.
func TestExecExitCodes(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "busybox", "sleep", "100")
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"c", "nosuch"}, 127},
		{[]string{"c", "/etc"}, 126},
		{[]string{"c", "sh", "-c", "exit 42"}, 42},
		{[]string{"c", "sh", "-c", "kill -9 $$"}, 137},
		{[]string{"c", "true"}, 0},
		{[]string{"nosuch", "true"}, 1},
	} {
		if r := g.Run(append([]string{"exec"}, tt.args...)...); r.Code != tt.code {
			t.Errorf("exec %v: exit code %d, want %d: %s", tt.args, r.Code, tt.code, r.Stderr)
		}
	}
	if r := g.Run("exec", "-w", "/nodir", "c", "pwd"); r.Code == 0 || !strings.Contains(r.Stderr, "/nodir") {
		t.Errorf("exec -w /nodir: exit code %d: %s", r.Code, r.Stderr)
	}
	if r := g.Run("exec", "-u", "nobodyhere", "c", "id"); r.Code == 0 || !strings.Contains(r.Stderr, "nobodyhere") {
		t.Errorf("exec -u nobodyhere: exit code %d: %s", r.Code, r.Stderr)
	}
	if got := g.Must("inspect", "-f", "{{.State.Status}}", "c"); got != "running" {
		t.Errorf("the container is %s", got)
	}
}

// EXE-02: containers/podman#27368.
func TestExecEndsWithTheContainer(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "--init", "busybox", "sleep", "1")
	r := g.Run("exec", "c", "sleep", "100")
	if r.Code != 137 || r.Took > 3*time.Second {
		t.Errorf("exit code %d after %v", r.Code, r.Took)
	}
}

// EXE-03: distribution/distribution#2656.
func TestRootEntersAPrivateWorkingDirectory(t *testing.T) {
	g := harness.New(t)
	g.Import("e4", harness.BusyboxTar(t, harness.File{Name: "home/te/", Mode: 0o700, UID: 1000, GID: 1000}), "USER 1000", "WORKDIR /home/te", `CMD ["sleep","100"]`)
	g.Must("run", "-d", "--name", "a", "e4")
	g.Must("run", "-d", "--name", "b", "--cap-drop", "ALL", "e4")
	for _, c := range []string{"a", "b"} {
		want(t, g.Run("exec", "-u", "root", c, "pwd"), 0, "/home/te\n")
		want(t, g.Run("exec", c, "pwd"), 0, "/home/te\n")
	}
}

// EXE-04: moby#9672.
func TestExecWhilePaused(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "busybox", "sleep", "100")
	g.Must("pause", "c")
	if r := g.Fails(1, []string{"paused"}, "exec", "c", "true"); r.Took > 2*time.Second {
		t.Errorf("refused after %v", r.Took)
	}
	g.Must("unpause", "c")
	g.Must("exec", "c", "true")
}

// USR-01: see also containers/crun#644.
func TestGroupsOfExec(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "--group-add", "777", "busybox", "sleep", "100")
	got := strings.Fields(g.Must("exec", "-u", "nobody", "c", "id", "-G"))
	if len(got) != 2 || !strings.Contains(strings.Join(got, " "), "65534") || !strings.Contains(strings.Join(got, " "), "777") {
		t.Errorf("groups %v", got)
	}
}

// RES-04, RES-05: moby#27142.
func TestExecHasTheContainersLimits(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "--read-only", "--tmpfs", "/run", "--ulimit", "nofile=512:1024", "--oom-score-adj", "300", "busybox", "sleep", "100")
	want(t, g.Run("exec", "c", "sh", "-c", "touch /run/a /dev/shm/x && ! touch /a 2>/dev/null"), 0, "")
	want(t, g.Run("exec", "c", "sh", "-c", "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj"), 0, "512\n1024\n300\n")
}

func TestExecFlags(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "-e", "A=container", "busybox", "sleep", "100")
	want(t, g.Run("exec", "-e", "B=exec", "-w", "/tmp", "-u", "1000", "c", "sh", "-c", "echo $A $B $(pwd) $(id -u)"), 0, "container exec /tmp 1000\n")
	want(t, g.RunInput("typed\n", "exec", "-i", "c", "cat"), 0, "typed\n")
	r := g.Run("exec", "c", "sh", "-c", "echo out; echo err >&2; exit 3")
	if r.Stdout != "out\n" || r.Stderr != "err\n" || r.Code != 3 {
		t.Errorf("exit code %d, out %q, err %q", r.Code, r.Stdout, r.Stderr)
	}
	want(t, g.Run("exec", "-d", "c", "sh", "-c", "echo done >/tmp/mark"), 0, "")
	harness.Eventually(t, "the detached command has run", func() bool { return g.Run("exec", "c", "cat", "/tmp/mark").Stdout == "done\n" })
	g.Must("stop", "-t", "0", "c")
	g.Fails(1, []string{"not running"}, "exec", "c", "true")
}
