// Package lifecycle tests what holds over a container's whole life and between containers: what is shared,
// what is kept, and what is left when commands are killed.
package lifecycle

import (
	"os"
	"path/filepath"
	"strings"
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

func TestRestartKeepsContainerThatRemovesItself(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--rm", "--name", "box", image, "sleep", "100")
	g.Must("restart", "-t", "0", "box")
	want(t, "restarted", status(g, "box"), "running 0")
	g.Must("stop", "-t", "0", "box")
	harness.Eventually(t, "stop removes it", func() bool { return g.Must("ps", "-aq") == "" })
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

func TestReadOnly(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "-d", "--name", "box", "--read-only", "--tmpfs", "/run", image, "sleep", "100")
	g.Must("exec", "box", "sh", "-c", "touch /run/a /dev/shm/x && ! touch /a 2>/dev/null && ! touch /etc/hosts 2>/dev/null")
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

// TestKilledCommands: gourd is killed at any moment of creating, starting and removing; the next command
// tidies, which the harness checks at the end.
func TestKilledCommands(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	g.Must("run", "--rm", "--network", "none", image, "true") // the caches are warm, so that the moments are spread
	for i := range 60 {
		var args []string
		switch i % 3 {
		case 0:
			args = []string{"create", "--network", "none", image, "true"}
		case 1:
			args = []string{"run", "--rm", "--network", "none", image, "true"}
		case 2:
			ids := strings.Fields(g.Must("ps", "-aq"))
			args = append([]string{"rm", "-f"}, ids...)
			if len(ids) == 0 {
				continue
			}
		}
		cmd := g.Command(args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 700 * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	// What was started goes on to its end without gourd.
	harness.Eventually(t, "all monitors have ended", func() bool { return len(g.Processes()) == 0 })
	for _, line := range strings.Split(g.Must("ps", "-a", "--format", "{{.State}}"), "\n") {
		if line != "" && line != "created" && line != "exited" {
			t.Errorf("a container is %s", line)
		}
	}
}
