package network

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// isolated runs the calling test again in a process of its own with network and mount namespaces of its
// own, so that its bridges, rules and sysctls vanish with it. It returns true in that process.
func isolated(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	if os.Getenv("GOURD_TEST_ISOLATED") == t.Name() {
		quietRun(t, "mount", "-t", "sysfs", "sysfs", "/sys")
		quietRun(t, "ip", "link", "set", "lo", "up")
		// A new namespace takes these from the first one (net.core.devconf_inherit_init_net).
		for name, value := range map[string]string{ipForward: "0", "net/ipv4/conf/all/route_localnet": "0", "net/ipv4/conf/default/route_localnet": "0", "net/ipv4/conf/all/rp_filter": "0"} {
			if err := setSysctl(name, value); err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.bench=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "GOURD_TEST_ISOLATED="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	switch {
	case err != nil:
		t.Fatalf("in its own network namespace: %v", err)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()) && !strings.Contains(string(out), "--- SKIP: "+t.Name()):
		t.Fatal("the test did not run in its own network namespace")
	}
	return false
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func quietRun(t testing.TB, name string, args ...string) {
	t.Helper()
	run(t, name, args...)
}

// box is a network namespace with one sleeping process in it: a container, as far as networks go, or
// another host.
type box struct {
	t   testing.TB
	pid int
}

func newBox(t testing.TB) *box {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, pid: cmd.Process.Pid}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return b
}

// try runs a command inside and says whether it succeeded.
func (b *box) try(name string, args ...string) (string, error) {
	all := append([]string{"-t", fmt.Sprint(b.pid), "-n", "--", name}, args...)
	out, err := exec.Command("nsenter", all...).CombinedOutput()
	return string(out), err
}

func (b *box) run(name string, args ...string) string {
	b.t.Helper()
	out, err := b.try(name, args...)
	if err != nil {
		b.t.Fatalf("inside: %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// open gives networks in a directory of their own and collects what the user is told.
func open(t testing.TB, o Options) (*Networks, *[]string) {
	dir, err := os.MkdirTemp("/dev/shm", "gourd-test-") // as the state directory: in memory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var notices []string
	o.Notice = func(s string) { notices = append(notices, s) }
	return Open(filepath.Join(dir, "root"), filepath.Join(dir, "state"), o), &notices
}

func itoa(i int) string { return strconv.Itoa(i) }
