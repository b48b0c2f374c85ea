// Package harness runs the built gourd in end-to-end tests: an installation of its own for each test, in
// a network namespace of its own for each test program, and a check at the end that nothing is left.
package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const inside = "GOURD_TEST_INSIDE"

// Main runs a package's tests in a new network namespace, so that bridges, addresses and firewall rules
// vanish with the test program. Call it from TestMain.
func Main(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Println("these tests make real containers: run them as root")
		os.Exit(1)
	}
	if os.Getenv(inside) != "" {
		// As on a machine that forwards already: gourd says so when it has to turn it on, once.
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	runtime.LockOSThread() // the parent-death signal follows the thread
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Println("run the tests in a network namespace:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Repository is the top folder of the checkout.
func Repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("no go.mod above the test's folder")
	return ""
}

// Bin is the path of a built binary.
func Bin(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Repository(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	return path
}

// Gourd is one installation: its own root and state directories.
type Gourd struct {
	T           testing.TB
	Root, State string
	bin         string
	Env         []string // added to the environment
}

// New makes an installation. When the test ends its containers are removed and whatever is left of it
// (a process, a mount, a cgroup, a file of the state) fails the test.
func New(t testing.TB) *Gourd {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "gourd-test-")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gourd{T: t, Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), bin: Bin(t, "gourd")}
	t.Cleanup(func() {
		g.removeAll()
		if r := g.Run("system", "sweep", "--all"); r.Code != 0 {
			t.Errorf("sweep: %s", r.Stderr)
		}
		for _, left := range g.Leftovers() {
			t.Errorf("left behind: %s", left)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the installation: %v", err)
		}
	})
	return g
}

// Result is what a command did.
type Result struct {
	Stdout, Stderr string
	Code           int
	Took           time.Duration
}

// Command prepares a gourd command of this installation.
func (g *Gourd) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(g.bin, append([]string{"--root", g.Root, "--state", g.State}, args...)...)
	cmd.Env = append(os.Environ(), g.Env...)
	return cmd
}

// Run runs a command to its end. A minute is the most it may take.
func (g *Gourd) Run(args ...string) Result { return g.RunInput("", args...) }

// RunInput is Run with something on standard input.
func (g *Gourd) RunInput(input string, args ...string) Result {
	g.T.Helper()
	cmd := g.Command(args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	// A monitor that wrongly kept the command's output open must fail the test, not hang it.
	cmd.WaitDelay = 5 * time.Second
	start := time.Now()
	if err := cmd.Start(); err != nil {
		g.T.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		g.T.Errorf("gourd %s: not done after a minute", strings.Join(args, " "))
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		g.T.Errorf("gourd %s: something kept its output open", strings.Join(args, " "))
	}
	return Result{Stdout: out.String(), Stderr: errOut.String(), Code: cmd.ProcessState.ExitCode(), Took: time.Since(start)}
}

// Must runs a command that has to succeed and gives its output without the last line end.
func (g *Gourd) Must(args ...string) string {
	g.T.Helper()
	r := g.Run(args...)
	if r.Code != 0 {
		g.T.Fatalf("gourd %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return strings.TrimSuffix(r.Stdout, "\n")
}

// Fails runs a command that has to exit with code and whose message has to contain all of words.
func (g *Gourd) Fails(code int, words []string, args ...string) Result {
	g.T.Helper()
	r := g.Run(args...)
	if r.Code != code {
		g.T.Errorf("gourd %s: exit code %d; want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	for _, w := range words {
		if !strings.Contains(r.Stderr, w) {
			g.T.Errorf("gourd %s: its message lacks %q: %s", strings.Join(args, " "), w, r.Stderr)
		}
	}
	return r
}

// Pid is the host's pid of a running container's first process.
func (g *Gourd) Pid(name string) string {
	g.T.Helper()
	return g.Must("inspect", "-f", "{{.State.Pid}}", name)
}

// Eventually waits until a condition holds, ten seconds at most.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Errorf("not within 10 s: %s", what)
}

func (g *Gourd) removeAll() {
	ids := strings.Fields(g.Run("ps", "-aq", "--no-trunc").Stdout)
	if len(ids) > 0 {
		if r := g.Run(append([]string{"rm", "-f"}, ids...)...); r.Code != 0 {
			g.T.Errorf("remove containers: %s", r.Stderr)
		}
	}
}
