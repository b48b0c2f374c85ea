package engine

import (
	"context"
	"fmt"

	"gourd/internal/container"
	"gourd/internal/container/logfile"
)

// Logs gives the container's log entries to sink, oldest first, until the end, or with Follow until the
// container has ended, ctx is done, or sink returns an error. Damaged records are told at the end.
func (e *Engine) Logs(ctx context.Context, ref string, o LogOptions, sink LogSink) error {
	r, err := e.load(ref)
	if err != nil {
		return err
	}
	if r.Log.Driver == "none" {
		return &container.Error{
			Verb: "read log of container", Object: r.Name, Kind: container.ErrUnsupported,
			Cause: errText("it keeps no log (--log-driver none)"),
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	q := logfile.Query{Tail: o.Tail, Since: o.Since, Until: o.Until, Follow: o.Follow}
	if o.Follow {
		q.Done = e.ended(ctx, r.ID)
	}
	damaged, err := logfile.Read(ctx, e.store.LogPath(r.ID), q, func(entry *logfile.Entry) error {
		isErr := entry.Stream == "stderr"
		if isErr && !o.Stderr || !isErr && !o.Stdout {
			return nil
		}
		return sink(LogEntry{Time: entry.Time, Stderr: isErr, Data: entry.Data, Partial: entry.Partial()}, nil)
	})
	if err != nil {
		return err
	}
	if damaged > 0 {
		return sink(LogEntry{}, fmt.Errorf("log of container %s: %d damaged records could not be read", r.Name, damaged))
	}
	return nil
}

// ended is closed when the container doesn't run any more. Restarts by its policy are within one life of
// its monitor.
func (e *Engine) ended(ctx context.Context, id string) <-chan struct{} {
	done := make(chan struct{})
	conn, err := e.dial(ctx, id)
	if err != nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		receiveExit(ctx, conn)
	}()
	return done
}
