package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a gourd command that runs in a terminal of its own.
type Terminal struct {
	t      testing.TB
	cmd    *exec.Cmd
	master *os.File
	mu     sync.Mutex
	screen bytes.Buffer
	done   chan struct{}
}

// Terminal starts a command on a new terminal of 24 rows and 80 columns.
func (g *Gourd) Terminal(args ...string) *Terminal {
	g.T.Helper()
	return StartTerminal(g.T, g.Command(args...))
}

// StartTerminal starts any command on a new terminal.
func StartTerminal(t testing.TB, cmd *exec.Cmd) *Terminal {
	t.Helper()
	master, slave, err := openPty()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	term := &Terminal{t: t, cmd: cmd, master: master, done: make(chan struct{})}
	go term.read()
	t.Cleanup(func() {
		master.Close()
		select {
		case <-term.done:
		default:
			cmd.Process.Kill()
		}
	})
	return term
}

func openPty() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		return nil, nil, err
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, slave, err
}

func (t *Terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := t.master.Read(buf)
		t.mu.Lock()
		t.screen.Write(buf[:n])
		t.mu.Unlock()
		if err != nil {
			close(t.done)
			return
		}
	}
}

// Screen is everything that was shown so far.
func (t *Terminal) Screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.String()
}

// Type sends keys.
func (t *Terminal) Type(keys string) {
	t.t.Helper()
	if _, err := t.master.WriteString(keys); err != nil {
		t.t.Errorf("type %q: %v", keys, err)
	}
}

// Resize changes the window.
func (t *Terminal) Resize(rows, cols uint16) {
	t.t.Helper()
	if err := unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		t.t.Error(err)
	}
}

// Expect waits until the screen contains text, ten seconds at most.
func (t *Terminal) Expect(text string) {
	t.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(t.Screen(), text) {
			return
		}
	}
	t.t.Fatalf("the terminal never showed %q:\n%s", text, t.Screen())
}

// Hangup closes the terminal and kills the command, as when a window is closed or a connection breaks.
func (t *Terminal) Hangup() {
	t.master.Close()
	t.cmd.Process.Kill()
	t.cmd.Wait()
}

// Wait waits for the command's end, ten seconds at most, and gives its exit code.
func (t *Terminal) Wait() int {
	t.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- t.cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.t.Fatalf("the command in the terminal does not end:\n%s", t.Screen())
	}
	return t.cmd.ProcessState.ExitCode()
}
