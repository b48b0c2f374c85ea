package child

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStubAlone runs the stub as an ordinary program on a table that uses every kind of operation. It needs neither
// root nor namespaces, so it also runs in an emulator of another machine: compile the test for it, and set
// GOURD_EMULATOR to the emulator's path.
func TestStubAlone(t *testing.T) {
	elf, err := stubELF()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "stub")
	if err := os.WriteFile(file, elf, 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	fd, other, skip, end := p.NewSlot(), p.NewLabel(), p.NewLabel(), p.NewLabel()
	p.Call(unix.SYS_WRITE, N(1), p.Str("a"), N(1)).OnError(other, unix.EBADF)
	p.Call(unix.SYS_FCNTL, N(1), N(unix.F_DUPFD_CLOEXEC), N(20)).Into(fd)
	p.Call(unix.SYS_WRITE, fd.Value(), p.Str("b"), N(1))
	p.Call(unix.SYS_CLOSE, N(-1)).Tolerate(unix.EBADF)
	p.Call(unix.SYS_CLOSE, N(-1)).OnError(skip, unix.EINVAL, unix.EBADF)
	p.Call(unix.SYS_WRITE, N(1), p.Str("X"), N(1))
	p.Place(skip)
	p.Compare(fd.Value(), 0xff, 20, other)
	p.Store(fd, N(7))
	p.Compare(fd.Value(), 0xf, 8, end)
	p.Call(unix.SYS_WRITE, N(1), p.Str("Y"), N(1))
	p.Place(end)
	next := p.NewLabel()
	p.Call(unix.SYS_READ, N(0), p.Buffer(8).Addr(), N(1)).OnZero(next) // the end of the empty standard input
	p.Call(unix.SYS_WRITE, N(1), p.Str("Z"), N(1))
	p.Place(next)
	failed := p.NewLabel()
	p.OnFailure(failed)
	p.Call(unix.SYS_CLOSE, N(-1))
	p.Place(other)
	p.Call(unix.SYS_WRITE, N(1), p.Str("W"), N(1))
	p.Place(failed)
	p.Call(unix.SYS_WRITE, N(1), p.Str("c"), N(1))
	p.Call(unix.SYS_EXIT_GROUP, N(5))
	p.Place(p.exit)
	p.Call(unix.SYS_EXIT_GROUP, N(6))
	p.seal()
	args := []string{file, "3"}
	if emulator := os.Getenv("GOURD_EMULATOR"); emulator != "" {
		args = append([]string{emulator}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(p.fd), "region")}
	var out bytes.Buffer
	cmd.Stdout = &out
	err = cmd.Run()
	if cmd.ProcessState.ExitCode() != 5 || out.String() != "abc" {
		t.Fatalf("%v, output %q", err, out.String())
	}
	f := p.Failure()
	if f == nil || f.Errno != unix.EBADF || p.Text(f.Op) != "close(-1)" {
		t.Fatalf("failure %+v", f)
	}
	p.fd = -1 // ExtraFiles' owner closes it
}

// TestStubRefusesNonsense: as an interpreter ("#!/proc/self/exe") the stub gets a path, and ends.
func TestStubRefusesNonsense(t *testing.T) {
	if os.Getenv("GOURD_EMULATOR") != "" {
		t.Skip("the stub is run directly")
	}
	elf, err := stubELF()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "stub")
	if err := os.WriteFile(file, elf, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"/entry"}, {""}, {"99999"}, {"1x"}, {"-1"}} {
		cmd := exec.Command(file, args...)
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 255 {
			t.Errorf("%q: %s", args, cmd.ProcessState)
		}
	}
}
