package runtime

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/test/harness"
)

// receiveMaster takes the terminal that comes over a console socket.
func receiveMaster(t *testing.T, l *net.UnixListener) *os.File {
	t.Helper()
	l.SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	name, oob := make([]byte, 4096), make([]byte, 64)
	n, oobn, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("message %q: %v %v", name[:n], messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 || n == 0 {
		t.Fatalf("descriptors %v, name %q: %v", fds, name[:n], err)
	}
	return os.NewFile(uintptr(fds[0]), "master")
}

// readAll reads a terminal until its last user has closed it (EIO).
func readAll(f *os.File) string {
	b, _ := io.ReadAll(f)
	return string(b)
}

func TestConsoleSocket(t *testing.T) {
	o := harness.NewOCI(t, "")
	path := filepath.Join(o.Dir, "console.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	id := o.ID("t")
	b := o.Bundle("sh", "-c", "tty; stty size; echo done; sleep 1000")
	b.Spec.Process.Terminal = true
	b.Spec.Process.ConsoleSize = &specs.Box{Height: 11, Width: 22}
	b.Write()
	o.Must("create", "--bundle", b.Dir, "--console-socket", path, id)
	master := receiveMaster(t, l)
	defer master.Close()
	o.Must("start", id)
	time.Sleep(300 * time.Millisecond)

	o.Must("exec", "--tty", "--console-socket", path, "--detach", id, "sh", "-c", "tty; echo hi")
	second := receiveMaster(t, l)
	defer second.Close()
	if got := readAll(second); got != "/dev/pts/1\r\nhi\r\n" {
		t.Errorf("exec writes %q", got)
	}
	o.Must("kill", id, "9")
	if got := readAll(master); got != "/dev/pts/0\r\n11 22\r\ndone\r\n" {
		t.Errorf("container writes %q", got)
	}
}

// TestTerminal runs in the foreground with a terminal, in a terminal of its own and with pipes. Lines end in \n alone
// then, as with runc: it is the user's own terminal that knows how to end a line.
func TestTerminal(t *testing.T) {
	o := harness.NewOCI(t, "")
	b := o.Bundle("sh", "-c", "tty; read x; echo got $x; exit 4")
	b.Spec.Process.Terminal = true
	b.Write()
	cmd := o.Command("run", "-b", b.Dir, o.ID("t"))
	cmd.Stdin = strings.NewReader("word\n")
	out, _ := cmd.Output()
	if cmd.ProcessState.ExitCode() != 4 || !strings.Contains(string(out), "/dev/pts/0\n") || !strings.HasSuffix(string(out), "got word\n") || strings.Contains(string(out), "\r\n") {
		t.Errorf("with pipes: code %d, %q", cmd.ProcessState.ExitCode(), out)
	}

	term := harness.StartTerminal(t, o.Command("run", "-b", b.Dir, o.ID("u")))
	term.Expect("/dev/pts/0")
	term.Type("other\n")
	term.Expect("got other")
	if code := term.Wait(); code != 4 {
		t.Errorf("in a terminal: code %d", code)
	}
}

// TestSignals: the runtime in the foreground hands signals on.
func TestSignals(t *testing.T) {
	o := harness.NewOCI(t, "")
	b := o.Bundle("sh", "-c", "trap 'echo usr1; exit 9' USR1; echo ready; while :; do sleep 0.1; done")
	cmd := o.Command("run", "-b", b.Dir, o.ID("s"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(unix.SIGUSR1)
	rest, _ := io.ReadAll(out)
	cmd.Wait()
	if string(rest) != "usr1\n" || cmd.ProcessState.ExitCode() != 9 {
		t.Errorf("code %d, %q", cmd.ProcessState.ExitCode(), rest)
	}
}
