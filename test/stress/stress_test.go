// Package stress does the same things very often, many at once, and kills everything at random moments;
// what counts is that nothing is left and nothing is lost. GOURD_TEST_LONG=1 does the full counts.
package stress

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gourd/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// count is how often: the full number in the long tier, a part of it in CI.
func count(full, ci int) int {
	if os.Getenv("GOURD_TEST_LONG") != "" {
		return full
	}
	return ci
}

// census counts what could leak.
type census struct{ mounts, cgroups, files, links, tables int }

func takeCensus(t *testing.T, g *harness.Gourd) (c census) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	c.mounts = bytes.Count(b, []byte("\n"))
	c.cgroups = countGroups("/sys/fs/cgroup")
	c.files = countFiles(g.Root) + countFiles(g.State)
	links, _ := os.ReadFile("/proc/self/net/dev") // /sys shows the namespace it was mounted in
	c.links = bytes.Count(links, []byte("\n"))
	out, _ := exec.Command("nft", "list", "ruleset").Output()
	c.tables = bytes.Count(out, []byte("\n"))
	return c
}

// countGroups counts containers' groups: their names are ids.
func countGroups(dir string) (n int) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && len(d.Name()) == 64 {
			n++
		}
		return nil
	})
	return n
}

func countFiles(dir string) (n int) {
	filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error {
		if err == nil {
			n++
		}
		return nil
	})
	return n
}

// within says that nothing is more than before. Fewer cgroups are others' that ended meanwhile.
func (c census) within(before census) bool {
	return c.mounts <= before.mounts && c.cgroups <= before.cgroups && c.files <= before.files && c.links <= before.links && c.tables <= before.tables
}

// firstCensus makes what is made once (bridge, directories) and waits until what one run leaves for a
// moment is gone.
func firstCensus(t *testing.T, g *harness.Gourd, image string) census {
	t.Helper()
	g.Must("run", "--rm", image, "true")
	harness.Eventually(t, "the first container is gone", func() bool { return len(g.Leftovers()) == 0 })
	return takeCensus(t, g)
}

// settle waits until the census is what it was, since removal goes on after the client has its answer.
func settle(t *testing.T, g *harness.Gourd, want census) {
	t.Helper()
	var now census
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if now = takeCensus(t, g); now.within(want) && len(g.Processes()) == 0 {
			return
		}
	}
	t.Errorf("left behind: %+v; before it was %+v; processes: %v", now, want, g.Processes())
}

func TestRunAndRemoveManyTimes(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	before := firstCensus(t, g, image)
	for i := range count(500, 60) {
		if r := g.Run("run", "--rm", image, "sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i%3)); r.Code != i%3 || r.Stdout != fmt.Sprintf("%d\n", i) {
			t.Fatalf("run %d: exit code %d, output %q, %s", i, r.Code, r.Stdout, r.Stderr)
		}
	}
	settle(t, g, before)
}

func TestManyAtOnce(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	before := firstCensus(t, g, image)
	n := count(50, 25)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if r := g.Run("run", "-d", "--name", fmt.Sprintf("many%d", i), image, "sleep", "1000"); r.Code != 0 {
				t.Errorf("container %d: %s", i, r.Stderr)
			}
		})
	}
	wg.Wait()
	running := strings.Fields(g.Must("ps", "-q"))
	if len(running) != n {
		t.Errorf("%d containers run; want %d", len(running), n)
	}
	addresses := map[string]bool{}
	for _, a := range strings.Fields(g.Must(append([]string{"inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"}, running...)...)) {
		if addresses[a] {
			t.Errorf("two containers have the address %s", a)
		}
		addresses[a] = true
	}
	for i := range n {
		wg.Go(func() {
			name := fmt.Sprintf("many%d", i)
			if out := g.Run("exec", name, "hostname").Stdout; len(strings.TrimSpace(out)) != 12 {
				t.Errorf("exec in %s: %q", name, out)
			}
			if r := g.Run("rm", "-f", name); r.Code != 0 {
				t.Errorf("rm %s: %s", name, r.Stderr)
			}
		})
	}
	wg.Wait()
	settle(t, g, before)
}

// TestMonitorKeepsNoDescriptors: each exec, attach and log reader comes and goes.
func TestMonitorKeepsNoDescriptors(t *testing.T) {
	g := harness.New(t)
	g.Must("run", "-d", "--name", "box", g.Busybox(), "sleep", "1000")
	monitor := monitorOf(t, g.Pid("box"))
	open := func() int {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", monitor))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	g.Must("exec", "box", "true")
	before := open()
	for range count(100, 25) {
		g.Must("exec", "box", "true")
		g.Run("exec", "box", "nosuch")
	}
	harness.Eventually(t, "the monitor's descriptors are as before", func() bool { return open() <= before })
}

// monitorOf is the parent of a container's first process.
func monitorOf(t *testing.T, pid string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if n, ok := strings.CutPrefix(line, "PPid:\t"); ok {
			p, _ := strconv.Atoi(n)
			return p
		}
	}
	t.Fatal("no parent")
	return 0
}

// TestKillAnythingAtAnyMoment: clients and monitors die at random moments of run, exec, stop and rm. The
// next command tidies: no process, mount, cgroup, address or file is left; no container is lost.
func TestKillAnythingAtAnyMoment(t *testing.T) {
	g := harness.New(t)
	image := g.Busybox()
	firstCensus(t, g, image)
	g.Must("run", "-d", "--name", "witness", image, "sleep", "1000")
	witness := g.Pid("witness")
	g.Must("explain", "witness") // waits until its steps are on disk
	before := takeCensus(t, g)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range count(200, 40) {
		name := fmt.Sprintf("victim%d", i)
		args := [][]string{
			{"run", "--rm", "--name", name, image, "sh", "-c", "sleep 0.05; echo done"},
			{"run", "-d", "--name", name, image, "sleep", "1000"},
			{"run", "-d", "--name", name, "-m", "64m", "--network", "none", image, "true"},
			{"run", "--name", name, "--userns=host", image, "true"},
		}[i%4]
		delay := time.Duration(random.IntN(60)) * time.Millisecond
		if random.IntN(2) == 0 {
			killClient(t, g, delay, args)
		} else {
			killMonitor(t, g, delay, args)
		}
		if random.IntN(3) == 0 {
			killClient(t, g, delay/2, []string{"rm", "-f", name})
		}
		removed := g.Run("rm", "-f", name)
		if r := g.Run("ps", "-aq", "--filter", "name=^"+name+"$"); r.Code != 0 || r.Stdout != "" {
			t.Fatalf("round %d (%v after %v): %s is still listed: %q %s; rm said %+v", i, args, delay, name, r.Stdout, r.Stderr, removed)
		}
	}
	settleWithWitness(t, g, before)
	if now := g.Pid("witness"); now != witness {
		t.Errorf("a container nobody touched has pid %s; it had %s", now, witness)
	}
	g.Must("exec", "witness", "true")
}

func settleWithWitness(t *testing.T, g *harness.Gourd, want census) {
	t.Helper()
	var now census
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		g.Run("ps")
		if now = takeCensus(t, g); now.within(want) {
			return
		}
	}
	t.Errorf("left behind: %+v; before it was %+v; processes: %v; files: %q", now, want, g.Processes(), newest(g))
}

// newest lists the files that were made in the last minute.
func newest(g *harness.Gourd) (found []string) {
	for _, dir := range []string{g.Root, g.State} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if info, err := d.Info(); err == nil && !d.IsDir() && time.Since(info.ModTime()) < time.Minute {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

// killClient kills a gourd command after a while.
func killClient(t *testing.T, g *harness.Gourd, after time.Duration, args []string) {
	t.Helper()
	cmd := g.Command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait()
}

// killMonitor kills the monitor that a command started, found by the name of its program and its parent.
func killMonitor(t *testing.T, g *harness.Gourd, after time.Duration, args []string) {
	t.Helper()
	cmd := g.Command(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	for _, line := range g.Processes() {
		f := strings.Fields(line)
		pid, _ := strconv.Atoi(f[1])
		if !strings.Contains(line, "gourd-monitor") || isWitness(g, line) {
			continue
		}
		unix.Kill(pid, unix.SIGKILL)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		t.Fatalf("gourd %v hangs after its monitor was killed", args)
	}
}

func isWitness(g *harness.Gourd, monitor string) bool {
	id, err := os.Readlink(filepath.Join(g.Root, "names", "witness"))
	return err == nil && strings.Contains(monitor, id)
}

// TestKilledMonitorIsRecorded: its container ends with it, and the record says so.
func TestKilledMonitorIsRecorded(t *testing.T) {
	g := harness.New(t)
	g.Must("run", "-d", "--name", "box", g.Busybox(), "sh", "-c", "sleep 1000 & sleep 1000")
	pid := g.Pid("box")
	id := g.Must("inspect", "-f", "{{.Id}}", "box")
	unix.Kill(monitorOf(t, pid), unix.SIGKILL)
	harness.Eventually(t, "the container's processes end with their monitor", func() bool {
		g.Run("ps")
		_, err := os.Stat("/proc/" + pid)
		return err != nil
	})
	if got := g.Must("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"); got != "exited 137" {
		t.Errorf("recorded as %q; want exited 137", got)
	}
	if got := g.Must("inspect", "-f", "{{.State.Error}}", "box"); !strings.Contains(got, "monitor") {
		t.Errorf("the reason given is %q", got)
	}
	if left := harness.CgroupsOf(id); len(left) > 0 {
		t.Errorf("cgroups left: %v", left)
	}
	g.Must("start", "box")
	if g.Pid("box") == "0" {
		t.Error("it does not start again")
	}
}

// TestContainersSurviveTheirStarter: the client's death, and the end of its session, change nothing.
func TestContainersSurviveTheirStarter(t *testing.T) {
	g := harness.New(t)
	term := harness.StartTerminal(t, g.Command("run", "--name", "box", g.Busybox(), "sh", "-c", "while :; do echo tick; sleep 0.1; done"))
	term.Expect("tick")
	term.Hangup()
	time.Sleep(300 * time.Millisecond)
	n := len(g.Must("logs", "box"))
	harness.Eventually(t, "the container goes on writing", func() bool { return len(g.Must("logs", "box")) > n })
}
