package control

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// listen makes a store whose paths are longer than sun_path, and a monitor's socket in it.
func listen(t *testing.T) (*container.Store, *os.File) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	s := &container.Store{Root: dir, State: dir}
	if err := os.MkdirAll(s.RunDir("id"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(s.SocketPath("id"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return s, l
}

func TestAskOverALongPath(t *testing.T) {
	s, l := listen(t)
	if st, err := os.Stat(s.SocketPath("id")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	go func() {
		c, err := Accept(l)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		var r Request
		if err := ReadJSON(c.File, KindRequest, &r); err != nil || r.Op != OpPause || r.Version != Version {
			t.Errorf("%+v, %v", r, err)
		}
		c.SendJSON(KindReply, ReplyError(&container.Error{Verb: "pause", Kind: container.ErrPaused}))
	}()
	c, err := Dial(s, "id")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Ask(&Request{Op: OpPause}); !errors.Is(err, container.ErrPaused) {
		t.Errorf("%v", err)
	}
}

func TestDialWithoutMonitor(t *testing.T) {
	s, l := listen(t)
	l.Close()
	if _, err := Dial(s, "id"); !errors.Is(err, container.ErrNotRunning) {
		t.Errorf("a dead monitor's socket: %v", err)
	}
	if _, err := Dial(s, "other"); !errors.Is(err, container.ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
}

// Who isn't root on the host is turned away even if the socket can be reached.
func TestStrangersAreTurnedAway(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	dir, err := os.MkdirTemp("", "gourd-control-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o777)); err != nil {
		t.Fatal(err)
	}
	stranger := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread keeps the other identity, and ends
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0)); e != 0 {
			stranger <- e
			return
		}
		c, err := dial(path)
		if err != nil {
			stranger <- err
			return
		}
		defer c.Close()
		go Accept(l) // must not return it
		c.File.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _, err = c.Receive(nil)
		stranger <- err
	}()
	if err := <-stranger; err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger got %v, want the end of the connection", err)
	}
}
