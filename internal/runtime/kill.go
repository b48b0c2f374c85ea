package runtime

import (
	"context"
	"errors"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/cgroup"
	"gourd/internal/container"
)

// Signal sends a signal to a container's first process; with all, or if SIGKILL shall end a container without a
// pid namespace of its own, to every process. Errors: container.ErrNotFound, ErrNotRunning.
func (s *Store) Signal(id string, sig unix.Signal, all bool) error {
	st, err := s.Load(id)
	if err != nil {
		return err
	}
	g, err := st.group()
	if err != nil {
		return err
	}
	if all || st.HostPIDs && sig == unix.SIGKILL {
		// Processes may outlive the first one, so they are signalled whether it lives or not.
		return g.Kill(sig)
	}
	if err := st.signal(sig); err != nil {
		return err
	}
	if sig == unix.SIGKILL {
		thaw(g)
	}
	return nil
}

// thaw lets a paused container die of its signal. Where there is no freezer there is nothing to do.
func thaw(g *cgroup.Group) {
	if frozen, err := g.Frozen(); err == nil && frozen {
		g.Thaw()
	}
}

// signal reaches the container's first process and none that got its number later.
func (st *State) signal(sig unix.Signal) error {
	fd, err := st.pidfd()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		return &container.Error{Verb: "signal container", Object: st.ID, Cause: err}
	}
	return nil
}

// pidfd opens the first process. The pidfd is opened before the process's identity is checked: then it is that
// process's for certain.
func (st *State) pidfd() (int, error) {
	fd, err := unix.PidfdOpen(st.Pid, 0)
	if err == nil && st.process().Alive() {
		return fd, nil
	}
	if err == nil {
		unix.Close(fd)
	}
	return -1, notRunning("signal", st.ID)
}

func notRunning(verb, id string) error {
	return &container.Error{Verb: verb + " container", Object: id, Kind: container.ErrNotRunning, Cause: errors.New("container not running")}
}

// killTime is how long a killed process may take to end: one in an uninterruptible wait takes its time.
const killTime = 10 * time.Second

// kill ends every process of a container and waits until the first one has ended.
func (st *State) kill(g *cgroup.Group) error {
	fd, err := st.pidfd()
	if err == nil {
		defer unix.Close(fd)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return &container.Error{Verb: "kill container", Object: st.ID, Cause: err}
		}
	}
	thaw(g)
	if fd < 0 || st.HostPIDs {
		if err := g.Kill(unix.SIGKILL); err != nil {
			return err
		}
	}
	if fd < 0 {
		return nil
	}
	return awaitEnd(fd, killTime)
}

// awaitEnd waits for the end of a process that need not be our child: its pidfd becomes readable.
func awaitEnd(pidfd int, limit time.Duration) error {
	until := time.Now().Add(limit)
	for {
		left := time.Until(until)
		if left <= 0 {
			return errors.New("container init still running")
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}

// Pause freezes a container's processes, Resume lets them run again. Errors: container.ErrNotFound, ErrNotRunning,
// ErrConflict for a container in another state.
func (s *Store) Pause(id string) error {
	return s.change(id, func(st *State, status specs.ContainerState) error {
		if status != specs.StateRunning && status != specs.StateCreated {
			return notRunning("pause", id)
		}
		g, err := st.group()
		if err != nil {
			return err
		}
		return g.Freeze()
	})
}

// Resume is described at Pause.
func (s *Store) Resume(id string) error {
	return s.change(id, func(st *State, status specs.ContainerState) error {
		if status != Paused {
			return &container.Error{Verb: "resume container", Object: id, Kind: container.ErrConflict, Cause: errors.New("container not paused")}
		}
		g, err := st.group()
		if err != nil {
			return err
		}
		return g.Thaw()
	})
}

// Update changes a running container's limits.
func (s *Store) Update(id string, r *specs.LinuxResources) ([]string, error) {
	var warnings []string
	err := s.change(id, func(st *State, status specs.ContainerState) error {
		if status == specs.StateStopped {
			return notRunning("update", id)
		}
		g, err := st.group()
		if err != nil {
			return err
		}
		if warnings, err = cgroup.Check(r); err != nil {
			return err
		}
		return g.Set(r)
	})
	return warnings, err
}

// change runs do under the container's lock.
func (s *Store) change(id string, do func(*State, specs.ContainerState) error) error {
	l, err := s.lock(id)
	if err != nil {
		return err
	}
	defer l.release()
	st, err := s.Load(id)
	if err != nil {
		return err
	}
	status, err := s.Status(st)
	if err != nil {
		return err
	}
	return do(st, status)
}

// empty removes a container's cgroup, killing what is left in it.
func empty(g *cgroup.Group) error {
	if err := g.Kill(unix.SIGKILL); err != nil && !errors.Is(err, container.ErrNotFound) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), killTime)
	defer cancel()
	return g.Delete(ctx)
}
