package cli

import (
	"strings"
	"testing"
	"time"

	"gourd/test/harness"
)

// TTY-01: moby#9860.
func TestAttachEndsWithTheContainer(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-dit", "--name", "c", "busybox", "sh", "-c", "sleep 1; echo exiting; exit 6")
	term := g.Terminal("attach", "c")
	term.Expect("exiting")
	start := time.Now()
	if code := term.Wait(); code != 6 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("attach needed %v to end", took)
	}
}

// TTY-02: moby#32895, containers/podman#4208.
func TestKeysOfAnUnfinishedDetachSequenceArrive(t *testing.T) {
	for _, tt := range []struct {
		name, typed, read, leave string
		flags                    []string
	}{
		{"default", "a\x10b", "61 10 62", "\x10\x11", nil},
		{"own keys", "\x10\x11x", "10 11 78", "\x01q", []string{"--detach-keys", "ctrl-a,q"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := harness.New(t)
			g.Busybox()
			g.Must("run", "-dit", "--name", "c", "busybox", "sh", "-c", "stty raw -echo; echo ready; while :; do dd bs=1 count=1 2>/dev/null | od -An -tx1 -v; done")
			harness.Eventually(t, "the container is ready", func() bool { return strings.Contains(g.Run("logs", "c").Stdout, "ready") })
			term := g.Terminal(append(append([]string{"attach"}, tt.flags...), "c")...)
			time.Sleep(300 * time.Millisecond)
			for _, key := range strings.Split(tt.typed, "") {
				term.Type(key)
				time.Sleep(50 * time.Millisecond)
			}
			read := func() string {
				return strings.Join(strings.Fields(strings.TrimPrefix(g.Run("logs", "c").Stdout, "ready")), " ")
			}
			harness.Eventually(t, "the keys have arrived", func() bool { return read() == tt.read })
			term.Type(tt.leave)
			term.Expect("read escape sequence")
			if code := term.Wait(); code != 1 {
				t.Errorf("attach ended with %d", code)
			}
			if got := g.Must("inspect", "-f", "{{.State.Status}}", "c"); got != "running" {
				t.Errorf("the container is %s", got)
			}
			if got := read(); got != tt.read {
				t.Errorf("the container read %q, want %q", got, tt.read)
			}
		})
	}
}

// TTY-03.
func TestTerminalWithoutATerminal(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	r := g.RunInput("hi\n", "run", "--rm", "-it", "busybox", "cat")
	if r.Code != 1 || !strings.Contains(r.Stderr, "the input device is not a TTY") {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}
	none(t, g)
	r = g.Run("run", "--rm", "-t", "busybox", "sh", "-c", "echo out; echo err >&2")
	if r.Code != 0 || r.Stdout != "out\r\nerr\r\n" {
		t.Errorf("exit code %d, out %q, err %q", r.Code, r.Stdout, r.Stderr)
	}
	g.Must("run", "-d", "--name", "c", "busybox", "sleep", "100")
	if r := g.RunInput("x", "exec", "-it", "c", "cat"); r.Code != 1 || !strings.Contains(r.Stderr, "not a TTY") {
		t.Errorf("exec -it: exit code %d: %s", r.Code, r.Stderr)
	}
}

func TestRunInATerminal(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	term := g.Terminal("run", "-it", "--name", "c", "busybox", "sh", "-c", "stty size; tty; sh; exit 7")
	term.Expect("24 80") // the window's size is right from the first line
	term.Expect("/dev/pts/0")
	term.Resize(50, 132)
	time.Sleep(200 * time.Millisecond)
	term.Type("stty size\n")
	term.Expect("50 132")
	term.Type("sleep 100\n")
	time.Sleep(200 * time.Millisecond)
	term.Type("\x03") // Ctrl-C reaches the process, not gourd
	term.Type("echo still $((1+1))\n")
	term.Expect("still 2")
	term.Type("exit\n")
	if code := term.Wait(); code != 7 {
		t.Errorf("exit code %d", code)
	}
}

func TestDetachAndAttachAgain(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	term := g.Terminal("run", "-it", "--name", "c", "busybox", "sh")
	term.Expect("/ #")
	term.Type("x=kept\n\x10\x11")
	if code := term.Wait(); code != 0 {
		t.Errorf("detached run ended with %d", code)
	}
	again := g.Terminal("attach", "c")
	other := g.Terminal("attach", "c")
	time.Sleep(300 * time.Millisecond)
	again.Type("echo $x $((40+2))\n")
	again.Expect("kept 42")
	other.Expect("kept 42") // both see the same terminal
	again.Type("exit 3\n")
	if a, b := again.Wait(), other.Wait(); a != 3 || b != 3 {
		t.Errorf("attached clients ended with %d and %d", a, b)
	}
}

func TestExecInATerminal(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "busybox", "sleep", "100")
	term := g.Terminal("exec", "-it", "c", "sh")
	term.Expect("/ #")
	term.Type("stty size; exit 9\n")
	term.Expect("24 80")
	if code := term.Wait(); code != 9 {
		t.Errorf("exit code %d", code)
	}
}

func TestSignalsReachTheProcess(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for _, tt := range []struct {
		flags []string
		code  int
	}{{nil, 5}, {[]string{"--init"}, 5}} {
		cmd := g.Command(append(append([]string{"run", "--rm"}, tt.flags...), "busybox", "sh", "-c", `trap "echo got; exit 5" TERM; echo ready; while :; do sleep 0.1; done`)...)
		out := new(lockedBuffer)
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "ready", func() bool { return strings.Contains(out.String(), "ready") })
		terminate(t, cmd.Process)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(out.String(), "got") {
			t.Errorf("%v: exit code %d, output %q", tt.flags, code, out.String())
		}
	}
}
