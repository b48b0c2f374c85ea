package engine

import (
	"context"
	"errors"
	"os"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// Sweep tidies what a killed gourd, monitor or machine left behind. Cheap when there is nothing: front
// doors call it at the start of each command. What a living process works on is never touched.
func (e *Engine) Sweep(ctx context.Context) error {
	lost, err := e.store.Lost()
	if err != nil {
		return err
	}
	half, err := e.store.Half()
	if err != nil {
		return err
	}
	for _, id := range lost {
		err = errors.Join(err, e.settleLost(ctx, id))
	}
	for _, id := range half {
		err = errors.Join(err, e.store.FinishForget(id, e.forgetAsAsked))
	}
	err = errors.Join(err, e.afterReboot(ctx))
	if len(lost)+len(half) > 0 {
		err = errors.Join(err, e.sweepRest(), cgroup.RemoveParents(monitorGroup+"/none"))
	}
	return err
}

// lostReason is what the record of a container says whose monitor died.
const lostReason = "its monitor was killed, which ends the container"

// settleLost tidies after a container whose monitor is gone without having recorded the end. It holds
// the container while it does, so that nobody starts it meanwhile; one that lives is left alone.
func (e *Engine) settleLost(ctx context.Context, id string) error {
	if _, err := os.Lstat(e.store.RunDir(id)); err != nil {
		return nil
	}
	live, err := e.store.SetLive(id)
	if errors.Is(err, container.ErrRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer live.Close()
	r, err := e.store.Load(id)
	if err != nil && !errors.Is(err, container.ErrNotFound) {
		return err
	}
	if r != nil {
		if err := e.endLost(ctx, r); err != nil {
			return err
		}
	}
	return os.RemoveAll(e.store.RunDir(id))
}

// endLost kills what is left of a lost container, records its end, and removes it if it was to be.
func (e *Engine) endLost(ctx context.Context, r *container.Record) error {
	if err := killGroup(ctx, r); err != nil {
		return err
	}
	if err := e.networks(nil).Detach(r.ID); err != nil {
		return err
	}
	if r.AutoRemove {
		return e.store.Forget(r.ID, e.forget(true))
	}
	_, err := e.store.Update(r.ID, func(r *container.Record) error {
		markLost(r, lostReason)
		return nil
	})
	return err
}

// markLost records the end of a container that nobody saw ending.
func markLost(r *container.Record, why string) {
	if !isUp(r) {
		return // its monitor recorded the end and died later
	}
	r.State.Status, r.State.ExitCode, r.State.Error = container.Exited, 137, why
	r.State.Finished = time.Now()
	r.State.Process, r.State.Monitor = container.Process{}, container.Process{}
	r.Network.Endpoints = nil
}

// killGroup kills every process of the container's cgroup and removes it. A container can't leave its
// cgroup, whatever it does with the signal that its monitor's death sends.
func killGroup(ctx context.Context, r *container.Record) error {
	if r.State.Cgroup == "" {
		return nil
	}
	g, err := cgroup.Load(r.State.Cgroup, r.State.Systemd)
	if err != nil {
		return err
	}
	if err := g.Kill(unix.SIGKILL); err != nil {
		return err
	}
	return g.Delete(ctx)
}

// killMonitor kills a monitor that doesn't answer, and tidies after it.
func (e *Engine) killMonitor(id string) error {
	r, err := e.store.Load(id)
	if err != nil {
		return err
	}
	m := r.State.Monitor
	fd, err := unix.PidfdOpen(m.Pid, 0)
	if err == nil {
		defer unix.Close(fd)
		// The descriptor names one process for good; that it is the monitor is looked at after opening it.
		if m.Alive() {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond))
		}
	}
	return e.settleLost(context.Background(), id)
}

// afterReboot records the end of containers that ran when the machine went down: their state directory
// is gone with it. STATE/boot names the boot that was looked after already.
func (e *Engine) afterReboot(context.Context) error {
	stamp := e.cfg.State + "/boot"
	boot := container.BootID()
	if readTrimmed(stamp) == boot {
		return nil
	}
	all, err := e.records()
	if err != nil {
		return err
	}
	for _, r := range all {
		if !isUp(r) || e.store.Live(r.ID) || r.State.Monitor.Boot == boot {
			continue
		}
		if r.AutoRemove {
			err = errors.Join(err, e.store.Forget(r.ID, e.forget(true)))
			continue
		}
		_, uerr := e.store.Update(r.ID, func(r *container.Record) error {
			markLost(r, "the machine was restarted")
			return nil
		})
		err = errors.Join(err, uerr)
	}
	if err = errors.Join(err, e.sweepRest()); err != nil {
		return err
	}
	return container.WriteFile(stamp, []byte(boot+"\n"), 0o600)
}

// sweepRest looks after what the stores of others may have left, and after leases and snapshots whose
// container is nowhere: rare, so only after something was found, and once a boot.
func (e *Engine) sweepRest() error {
	err := errors.Join(e.store.SweepNames(), e.sweepOrphans())
	d, derr := e.snapshots(e.cfg.StorageDriver)
	if derr == nil {
		err = errors.Join(err, d.Sweep())
	}
	if images, ierr := e.images(); ierr == nil && derr == nil {
		err = errors.Join(err, images.Sweep(d))
	}
	return errors.Join(err, e.networks(nil).Sweep(e.store.Live))
}

// sweepOrphans removes writable layers and id leases of containers that are neither there, nor being
// made, nor being removed.
func (e *Engine) sweepOrphans() error {
	var err error
	if d, derr := e.snapshots(e.cfg.StorageDriver); derr == nil {
		ids, lerr := d.Containers()
		err = errors.Join(lerr, d.Sweep())
		for _, id := range ids {
			if !e.known(id) {
				err = errors.Join(err, d.Remove(id))
			}
		}
	}
	leases, lerr := e.store.Leases()
	err = errors.Join(err, lerr)
	for id, slot := range leases {
		if !e.known(id) {
			err = errors.Join(err, e.store.ReleaseIDs(id, slot))
		}
	}
	return err
}

// known says whether a container has a directory, visible or not. While one is made the invisible one
// becomes the visible one, and the other way round while one is removed, so the visible one is looked
// for twice.
func (e *Engine) known(id string) bool {
	visible, hidden := e.store.Dir(id), e.store.Dir("."+id)
	return exists(visible) || exists(hidden) || exists(visible)
}
