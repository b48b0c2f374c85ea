package engine

import (
	"context"
	"errors"
	"os"
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"
)

// running finds a container that must run for verb.
func (e *Engine) running(verb, ref string) (*container.Record, error) {
	r, err := e.load(ref)
	if err != nil {
		return nil, err
	}
	if !e.store.Live(r.ID) {
		return nil, &container.Error{Verb: verb, Object: r.Name, Kind: container.ErrNotRunning, Cause: errText("the container is not running"), Hint: "`gourd start` it first"}
	}
	return r, nil
}

// load finds a container and reads its record.
func (e *Engine) load(ref string) (*container.Record, error) {
	id, err := e.store.Resolve(ref)
	if err != nil {
		return nil, err
	}
	return e.store.Load(id)
}

// dial connects to a container's monitor. One that has only just begun has no socket yet, and one that is
// about to end has none any more: as long as it lives there is something to wait for.
func (e *Engine) dial(ctx context.Context, id string) (*control.Conn, error) {
	for begin := time.Now(); ; {
		conn, err := control.Dial(e.store, id)
		if !errors.Is(err, container.ErrNotRunning) || !e.store.Live(id) || time.Since(begin) > patience {
			return conn, err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// ask sends one request to a container's monitor and waits for the reply, or for ctx.
func (e *Engine) ask(ctx context.Context, id string, r *control.Request) (*control.Reply, error) {
	conn, err := e.dial(ctx, id)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.File.SetDeadline(time.Unix(1, 0)) })()
	reply, err := conn.Ask(r)
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return reply, err
}

// Stop sends the stop signal, waits, and kills. A container that isn't running is left alone: no error.
func (e *Engine) Stop(ctx context.Context, ref string, o StopOptions) error {
	r, err := e.load(ref)
	if err != nil {
		return err
	}
	if o.Signal != "" {
		if o.Signal, err = checkSignal("stop container "+r.Name+" with signal", o.Signal); err != nil {
			return err
		}
	}
	if o.Timeout != nil && *o.Timeout < -1 {
		return invalid("stop container", r.Name, "the timeout is a number of seconds, or -1 to wait for ever", "")
	}
	_, err = e.ask(ctx, r.ID, &control.Request{Op: control.OpStop, Timeout: o.Timeout, Signal: o.Signal})
	if errors.Is(err, container.ErrNotRunning) {
		return nil
	}
	return err
}

// Kill sends a signal: a name with or without SIG, or a number; "" is SIGKILL. Errors: ErrNotRunning.
func (e *Engine) Kill(ctx context.Context, ref, signal string) error {
	name, err := checkSignal("kill container "+ref+" with signal", cmpOr(signal, "SIGKILL"))
	if err != nil {
		return err
	}
	r, err := e.running("kill container", ref)
	if err != nil {
		return err
	}
	_, err = e.ask(ctx, r.ID, &control.Request{Op: control.OpSignal, Signal: name})
	return err
}

// Restart stops the container if it runs and starts it. One that is removed when it ends (--rm) is kept
// this once.
func (e *Engine) Restart(ctx context.Context, ref string, o StopOptions) error {
	r, err := e.load(ref)
	if err != nil {
		return err
	}
	keep := r.AutoRemove && e.store.Live(r.ID)
	if keep {
		if err := e.setAutoRemove(r.ID, false); err != nil {
			return err
		}
	}
	err = e.Stop(ctx, r.ID, o)
	if keep {
		err = errors.Join(err, e.setAutoRemove(r.ID, true))
	}
	if err != nil {
		return err
	}
	_, err = e.Start(ctx, r.ID, Attach{})
	return err
}

func (e *Engine) setAutoRemove(id string, on bool) error {
	_, err := e.store.Update(id, func(r *container.Record) error {
		r.AutoRemove = on
		return nil
	})
	return err
}

// Pause freezes all processes. Errors: ErrNotRunning, ErrPaused.
func (e *Engine) Pause(ctx context.Context, ref string) error {
	r, err := e.running("pause container", ref)
	if err != nil {
		return err
	}
	if r.State.Status == container.Paused {
		return &container.Error{Verb: "pause container", Object: r.Name, Kind: container.ErrPaused, Cause: errText("it is already paused")}
	}
	_, err = e.ask(ctx, r.ID, &control.Request{Op: control.OpPause})
	return err
}

// Unpause lets them go on. Errors: ErrNotRunning, ErrConflict if it isn't paused.
func (e *Engine) Unpause(ctx context.Context, ref string) error {
	r, err := e.running("unpause container", ref)
	if err != nil {
		return err
	}
	if r.State.Status != container.Paused {
		return &container.Error{Verb: "unpause container", Object: r.Name, Kind: container.ErrConflict, Cause: errText("it is not paused")}
	}
	_, err = e.ask(ctx, r.ID, &control.Request{Op: control.OpResume})
	return err
}

// Rename gives a container another name. Errors: ErrExists, ErrInvalid for its own name.
func (e *Engine) Rename(_ context.Context, ref, name string) error {
	id, err := e.store.Resolve(ref)
	if err != nil {
		return err
	}
	return e.store.Rename(id, name)
}
