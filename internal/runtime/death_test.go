package runtime

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// TestMain is a second program, too: a maker that dies.
func TestMain(m *testing.M) {
	if os.Getenv("RUNTIME_TEST_MAKER") != "" {
		maker()
	}
	os.Exit(m.Run())
}

// maker makes a container, tells its pid, and waits to be killed.
func maker() {
	spec := testSpec(os.Getenv("RUNTIME_TEST_MAKER") == "userns", "sleep", "100")
	c := &Config{
		ID: "test", Spec: spec, ParentDeath: unix.SIGKILL,
		RootFS: &container.RootFS{Layers: []container.Layer{{Dir: os.Getenv("RUNTIME_TEST_ROOT")}}, Idmap: true},
	}
	delay, _ := time.ParseDuration(os.Getenv("RUNTIME_TEST_DELAY"))
	if delay > 0 {
		go func() {
			time.Sleep(delay)
			unix.Kill(os.Getpid(), unix.SIGKILL)
		}()
	}
	k, err := Run(c)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(k.Pid)
	time.Sleep(time.Minute)
}

func startMaker(t *testing.T, mode, root, delay string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RUNTIME_TEST_MAKER="+mode, "RUNTIME_TEST_ROOT="+root, "RUNTIME_TEST_DELAY="+delay)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// TestDiesWithMaker: kill -9 of the maker ends its container.
func TestDiesWithMaker(t *testing.T) {
	root := busyboxRoot(t)
	for _, mode := range []string{"userns", "hostids"} {
		cmd, out := startMaker(t, mode, root, "")
		out.Scan()
		pid, err := strconv.Atoi(out.Text())
		if err != nil {
			t.Fatalf("%s: the maker says %q", mode, out.Text())
		}
		id, err := container.Identify(pid)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Process.Kill()
		cmd.Wait()
		for range 100 {
			if !id.Alive() {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if id.Alive() {
			unix.Kill(pid, unix.SIGKILL)
			t.Errorf("%s: the container outlives its maker", mode)
		}
	}
}

// TestMakerKilledAtAnyMoment: wherever a maker is killed, no process and no mount is left.
func TestMakerKilledAtAnyMoment(t *testing.T) {
	root := busyboxRoot(t)
	mounts := mountCount(t)
	for i := range 60 {
		mode := []string{"userns", "hostids"}[i%2]
		cmd, _ := startMaker(t, mode, root, fmt.Sprintf("%dus", 200+i*150))
		cmd.Wait()
	}
	deadline := time.Now().Add(3 * time.Second)
	left := stubs(t, root)
	for len(left) > 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		left = stubs(t, root)
	}
	if len(left) > 0 {
		t.Errorf("these are left: %q", left)
	}
	if n := mountCount(t); n != mounts {
		t.Errorf("%d mounts are left", n-mounts)
	}
}

// stubs lists processes that are stubs or containers' programs of this test.
func stubs(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		environ, _ := os.ReadFile("/proc/" + d.Name() + "/mountinfo")
		if strings.Contains(string(environ), root+" / ") {
			found = append(found, d.Name())
		}
	}
	return found
}

// TestKilledAtEveryStep has the child die at the beginning of each of its steps in turn.
func TestKilledAtEveryStep(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		plan, err := Plan(testConfig(t, testSpec(userNS, "true")))
		if err != nil {
			t.Fatal(err)
		}
		root := busyboxRoot(t)
		for i := range plan {
			if plan[i].Where != "child" {
				continue
			}
			c := &Config{ID: "x", Spec: testSpec(userNS, "true"), RootFS: &container.RootFS{Layers: []container.Layer{{Dir: root}}, Idmap: true}}
			c.dieAt = plan[i].Name
			files, mounts := openFiles(t), mountCount(t)
			k, err := Run(c)
			if err == nil {
				k.Wait()
				k.Close()
				t.Errorf("%s: the child didn't die", c.dieAt)
			}
			if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("%s: a child is left (%v)", c.dieAt, err)
			}
			if n := openFiles(t); n > files {
				t.Errorf("%s: %d descriptors are left", c.dieAt, n-files)
			}
			if n := mountCount(t); n != mounts {
				t.Errorf("%s: %d mounts are left", c.dieAt, n-mounts)
			}
		}
	})
}
