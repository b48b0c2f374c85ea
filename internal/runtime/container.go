package runtime

import (
	"errors"
	"os"
	"runtime"
	"sync"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// Process is a process that this one started in a container, and has to wait for.
type Process struct {
	Pid     int
	Console *os.File // the terminal's master, if it has a terminal and no console socket was given
	Notices []string // what the user should know

	track
	pidfd int
	steps []container.Step
	begun bool // the program has

	once sync.Once
	ws   unix.WaitStatus
	err  error
}

// Container is a container's first process.
type Container struct {
	Process
	fifo bool
}

func (b *build) container() *Container {
	k := &Container{fifo: b.c.ExecFIFO != ""}
	k.Pid, k.pidfd, k.track, k.Notices = b.pid, b.pidfd, b.track, b.notices
	if b.console != nil {
		k.Console = b.console.release()
	}
	return k
}

// Pidfd is a descriptor of the process (pidfd_open(2)); it belongs to the Process.
func (k *Process) Pidfd() int { return k.pidfd }

// Kill sends a signal to this process and to no later one of the same number.
func (k *Process) Kill(sig unix.Signal) error {
	err := unix.PidfdSendSignal(k.pidfd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return &container.Error{Verb: "signal container", Kind: container.ErrNotRunning, Cause: errors.New("container not running")}
	}
	return err
}

// Wait waits until the process has ended and returns its status. It must be called, once or more: the
// process stays a zombie until then.
func (k *Process) Wait() (unix.WaitStatus, error) {
	k.once.Do(func() { k.ws, k.err = reap(k.Pid) })
	return k.ws, k.err
}

// Close gives back descriptors. The process goes on.
func (k *Process) Close() {
	k.finish()
	if k.pidfd >= 0 {
		unix.Close(k.pidfd)
		k.pidfd = -1
	}
	if k.Console != nil {
		k.Console.Close()
	}
}

// finish gives back the table, which the child needs no longer.
func (k *Process) finish() {
	if k.p != nil {
		k.p.Close()
		k.p = nil
	}
}

// Steps are the steps that made the container, with times. They are kept in the table's memory until they are asked
// for the first time after the start, or until Close.
func (k *Process) Steps() []container.Step {
	if k.p == nil {
		return k.steps
	}
	k.steps = k.p.Steps()
	if k.begun {
		k.finish()
	}
	return k.steps
}

func reap(pid int) (unix.WaitStatus, error) {
	var ws unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &ws, unix.WALL, nil)
		if err != unix.EINTR {
			return ws, err
		}
	}
}

// keep runs functions on one thread for ever.
func keep(work chan func()) {
	runtime.LockOSThread()
	for do := range work {
		do()
	}
}
