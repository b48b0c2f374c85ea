package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"
)

// Remove takes a container away. Errors: ErrNotFound; ErrRunning without Force.
func (e *Engine) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	r, err := e.load(ref)
	if err != nil {
		return err
	}
	if e.store.Live(r.ID) && r.State.Status != container.Exited {
		if !o.Force {
			return &container.Error{
				Verb: "remove container", Object: r.Name, Kind: container.ErrRunning,
				Cause: errText("the container is " + string(r.State.Status)), Hint: "stop it first, or remove it with --force",
			}
		}
		if err := e.kill(ctx, r); err != nil {
			return err
		}
	}
	live, died, err := e.claim(ctx, r)
	if err != nil {
		return err
	}
	defer live.Close()
	defer os.RemoveAll(e.store.RunDir(r.ID))
	if died {
		if err := e.takeApart(ctx, r); err != nil {
			return err
		}
	}
	err = e.store.Forget(r.ID, e.forget(o.Volumes))
	if errors.Is(err, container.ErrNotFound) {
		return nil // it removed itself (--rm) in the meantime
	}
	return err
}

// kill ends a running container. A monitor that doesn't answer is killed itself, which takes its
// container along; the sweep then finds the rest.
func (e *Engine) kill(ctx context.Context, r *container.Record) error {
	zero := 0
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := e.ask(limited, r.ID, &control.Request{Op: control.OpStop, Signal: "SIGKILL", Timeout: &zero})
	if err == nil || errors.Is(err, container.ErrNotRunning) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return e.killMonitor(r.ID)
}

// patience is how long a monitor may take to answer what it does at once.
const patience = 20 * time.Second

// claim waits until no monitor holds the container, and then holds it, so that none is started. died: the
// last monitor left its directory, as one does that was killed.
func (e *Engine) claim(ctx context.Context, r *container.Record) (live *os.File, died bool, err error) {
	for begin := time.Now(); ; {
		died = exists(e.store.RunDir(r.ID))
		live, err := e.store.SetLive(r.ID)
		if err == nil || !errors.Is(err, container.ErrRunning) {
			return live, died, err
		}
		if time.Since(begin) > patience {
			return nil, false, &container.Error{
				Verb: "remove container", Object: r.Name, Kind: container.ErrConflict,
				Cause: errText("its monitor is still tidying up"), Hint: "try again",
			}
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// forget is what Store.Forget leaves to the engine: the writable layer, the network's lease, and with
// volumes the anonymous volumes. The record is nil for a container that was never finished.
func (e *Engine) forget(volumes bool) func(dir string, r *container.Record) error {
	return func(dir string, r *container.Record) error {
		id, driver := filepath.Base(dir)[1:], e.cfg.StorageDriver
		if r != nil {
			driver = r.Driver
		}
		if r == nil || driver != "" {
			if err := e.removeSnapshot(driver, id); err != nil {
				return err
			}
		}
		if r == nil {
			return e.store.RemoveVolumesOf(id)
		}
		if !volumes {
			return nil
		}
		return e.store.RemoveVolumesIn(r)
	}
}

// forgetHalf is forget for the sweep, which finds a removal that was cut short, by a monitor perhaps that
// was killed before it had taken its container apart. Volumes go only where that was certainly asked for,
// with --rm.
func (e *Engine) forgetHalf(dir string, r *container.Record) error {
	if r != nil {
		if err := e.takeApart(context.Background(), r); err != nil {
			return err
		}
	}
	return e.forget(r != nil && r.AutoRemove)(dir, r)
}
