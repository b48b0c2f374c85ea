package engine

import (
	"context"
	"errors"
	"os"
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"
)

// Wait waits for a condition and says how the container ended. The container may be gone when it
// returns (AutoRemove): its exit is still known, and its name free.
func (e *Engine) Wait(ctx context.Context, ref string, until WaitCondition) (Exit, error) {
	r, err := e.load(ref)
	if err != nil {
		return Exit{}, err
	}
	switch until {
	case "", WaitNotRunning:
		exit, err := e.waitExit(ctx, r)
		if err == nil && r.AutoRemove {
			err = e.waitRemoved(ctx, r.ID)
		}
		return exit, err
	case WaitNextExit:
		if err := e.waitLive(ctx, r); err != nil {
			return Exit{}, err
		}
		return e.waitExit(ctx, r)
	case WaitRemoved:
		exit, err := e.waitExit(ctx, r)
		if err != nil {
			return exit, err
		}
		return exit, e.waitRemoved(ctx, r.ID)
	}
	return Exit{}, invalid("wait for container", r.Name, "there is no condition "+string(until), "not-running, next-exit or removed")
}

// waitExit waits for the end of a running container; of another one the last end counts.
func (e *Engine) waitExit(ctx context.Context, r *container.Record) (Exit, error) {
	conn, err := e.dial(ctx, r.ID)
	if errors.Is(err, container.ErrNotRunning) {
		return e.lastExit(ctx, r.ID)
	}
	if err != nil {
		return Exit{}, err
	}
	exit, err := receiveExit(ctx, conn)
	if err == nil || ctx.Err() != nil {
		return exit, err
	}
	// The monitor ended without a word: its record, or the sweep, knows more.
	return e.lastExit(ctx, r.ID)
}

func receiveExit(ctx context.Context, conn *control.Conn) (Exit, error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.File.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Ask(&control.Request{Op: control.OpWait}); err != nil {
		return Exit{}, ctxOr(ctx, err)
	}
	exit, err := (&Session{conn: conn}).Receive(nil, nil)
	if err != nil {
		return Exit{}, ctxOr(ctx, err)
	}
	return exit, nil
}

// ctxOr gives the context's error where it is the reason for err.
func ctxOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// lastExit is what the record says of the end, after a monitor that died has been tidied after.
func (e *Engine) lastExit(ctx context.Context, id string) (Exit, error) {
	if err := e.settleLost(ctx, id); err != nil {
		return Exit{}, err
	}
	r, err := e.store.Load(id)
	if err != nil {
		return Exit{}, err
	}
	return Exit{Code: r.State.ExitCode, Error: r.State.Error, OOMKilled: r.State.OOMKilled}, nil
}

// waitLive waits until the container is started.
func (e *Engine) waitLive(ctx context.Context, r *container.Record) error {
	for !e.store.Live(r.ID) {
		if _, err := e.store.Load(r.ID); err != nil {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// waitRemoved waits until the container is gone and its name free.
func (e *Engine) waitRemoved(ctx context.Context, id string) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if _, err := os.Lstat(e.store.Dir(id)); errors.Is(err, os.ErrNotExist) {
			// Store.Hide frees the name right after, under the container's lock: a change that finds
			// no container has waited for that.
			if _, err := e.store.Update(id, func(*container.Record) error { return nil }); !errors.Is(err, container.ErrNotFound) {
				return err
			}
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
