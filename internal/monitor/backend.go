package monitor

import (
	"os"

	"gourd/internal/container"
	"gourd/internal/container/control"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// backend makes a container and acts on it: gourd's own runtime in this process (native), or another
// OCI runtime by its command line (foreign).
type backend interface {
	// create builds everything up to, not including, the container's program. stdio is the program's 0, 1
	// and 2; with a terminal it is empty, and made.master is ours.
	create(stdio [3]*os.File, window *control.Size) (made, error)
	// adopt takes over a container that an earlier image of this process made.
	adopt(exited *exitWatch) error
	// terminal says whether the container's program wants one.
	terminal() (bool, error)
	// cgroup is where the container's cgroup is, for container.State.
	cgroup() (path string, systemd bool)
	// start lets the program begin. An error wraps ErrNoCommand or ErrNotExecutable where it is at fault.
	start() error
	// exec runs another process. stdio and made as with create.
	exec(e *control.Exec, p *specs.Process, stdio [3]*os.File) (made, error)

	signal(sig unix.Signal, all bool) error
	pause() error
	resume() error
	paused() (bool, error)
	update(r *specs.LinuxResources) error
	// oomKilled says whether the kernel killed a process of the container for want of memory.
	oomKilled() bool
	// killRest ends what pid 1 left behind; nothing does in a pid namespace of its own.
	killRest() error
	// clean removes what is left of a container that has ended or was never started.
	clean() error
	// steps are what was done, with times; nil if unknown.
	steps() []container.Step
}

// made is a process that was just made.
type made struct {
	exited *exitWatch
	master *os.File // of its terminal, non-blocking; nil without one
}
