package child

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// run starts a program whose main part is built by main, and returns after the child has ended.
func run(t *testing.T, flags uintptr, early, main func(p *Program)) *Program {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.Early(0)
	if early != nil {
		early(p)
	}
	p.Main()
	pid, pidfd, err := p.Start(Spawn{Flags: flags, Cgroup: -1})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pidfd)
	main(p)
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	for {
		_, ok, err := p.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	if errors.Is(unix.Kill(pid, 0), nil) {
		t.Fatal("the child is still there")
	}
	return p
}

func TestCallsAndDescriptors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, flags := range []uintptr{0, unix.CLONE_NEWPID | unix.CLONE_NEWNS} {
		p := run(t, flags, nil, func(p *Program) {
			p.Step("write", "")
			p.Call(unix.SYS_WRITE, p.FD(int(w.Fd())).Value(), p.Str("hello"), N(5))
			p.Goto(p.exit)
		})
		if f := p.Failure(); f != nil {
			t.Fatalf("failure %+v", f)
		}
	}
	w.Close()
	if got, _ := io.ReadAll(r); string(got) != "hellohello" {
		t.Fatalf("the child wrote %q", got)
	}
}

func TestFailureNamesStep(t *testing.T) {
	p := run(t, 0, nil, func(p *Program) {
		p.Step("tolerate", "")
		p.Call(unix.SYS_CLOSE, N(-1)).Tolerate(unix.EBADF)
		p.Step("close nothing", "")
		p.Call(unix.SYS_CLOSE, N(-1)).Tolerate(unix.EINVAL)
	})
	f := p.Failure()
	if f == nil || f.Step != "close nothing" || f.Errno != unix.EBADF || p.Text(f.Op) != "close(-1)" {
		t.Fatalf("failure %+v", f)
	}
}

func TestJumps(t *testing.T) {
	p := run(t, 0, nil, func(p *Program) {
		other, done := p.NewLabel(), p.NewLabel()
		s := p.NewSlot()
		p.Store(s, N(0x1234))
		p.Compare(s.Value(), 0xff, 0x34, other)
		p.Call(unix.SYS_CLOSE, N(-1)).OnError(done, unix.EBADF)
		p.Fail(unix.EDOM)
		p.Place(other)
		p.Fail(unix.ERANGE)
		p.Place(done)
		p.Fail(unix.EXDEV)
	})
	if f := p.Failure(); f == nil || f.Errno != unix.EXDEV {
		t.Fatalf("failure %+v", f)
	}
}

func TestManyDescriptors(t *testing.T) {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	p := run(t, 0, nil, func(p *Program) {
		for range 600 {
			p.Call(unix.SYS_CLOSE, p.FD(int(null.Fd())).Value())
		}
		p.Fail(unix.EXDEV)
	})
	if f := p.Failure(); f == nil || f.Errno != unix.EXDEV {
		t.Fatalf("failure %+v", f)
	}
}

func TestInheritedDescriptorsAreClosed(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	p := run(t, 0, nil, func(p *Program) {
		p.Call(unix.SYS_CLOSE, N(fds[0])).OnError(nil, unix.EBADF)
		p.Call(unix.SYS_CLOSE, N(fds[1]))
	})
	if f := p.Failure(); f == nil || f.Errno != unix.EBADF {
		t.Fatalf("the child kept descriptor %d: %+v", fds[1], f)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		p, err := New()
		if err != nil {
			b.Fatal(err)
		}
		p.Early(0)
		p.Main()
		pid, pidfd, err := p.Start(Spawn{Cgroup: -1})
		if err != nil {
			b.Fatal(err)
		}
		p.Goto(p.exit)
		p.Release()
		p.Wait()
		unix.Close(pidfd)
		unix.Wait4(pid, nil, 0, nil)
		p.Close()
	}
}
