package engine

import (
	"context"

	"gourd/internal/container"
)

func pending(verb string) error {
	return &container.Error{Verb: verb, Kind: container.ErrUnsupported}
}

// Create makes a container that is not started yet. Everything is checked before anything is made, and
// on an error nothing is left. Errors: ErrInvalid, ErrNotFound (the image), ErrExists (the name),
// ErrUnsupported (the machine can't).
func (e *Engine) Create(ctx context.Context, r CreateRequest) (*Created, error) {
	return nil, pending("create container")
}

// Start starts a container and, with streams, attaches to it from its first byte. Without streams the
// session is closed already. An error wraps ErrNoCommand or ErrNotExecutable where the program was at
// fault; a container with AutoRemove that could not start is removed. Errors: ErrRunning, ErrPaused.
func (e *Engine) Start(ctx context.Context, ref string, a Attach) (*Session, error) {
	return nil, pending("start container")
}

// Stop sends the stop signal, waits, and kills. A container that isn't running is left alone: no error.
func (e *Engine) Stop(ctx context.Context, ref string, o StopOptions) error {
	return pending("stop container")
}

// Kill sends a signal: a name with or without SIG, or a number; "" is SIGKILL. Errors: ErrNotRunning.
func (e *Engine) Kill(ctx context.Context, ref, signal string) error {
	return pending("kill container")
}

// Restart stops the container if it runs and starts it.
func (e *Engine) Restart(ctx context.Context, ref string, o StopOptions) error {
	return pending("restart container")
}

// Pause freezes all processes. Errors: ErrNotRunning, ErrPaused.
func (e *Engine) Pause(ctx context.Context, ref string) error { return pending("pause container") }

// Unpause lets them go on. Errors: ErrNotRunning, ErrConflict if it isn't paused.
func (e *Engine) Unpause(ctx context.Context, ref string) error { return pending("unpause container") }

// Remove takes a container away. Errors: ErrNotFound; ErrRunning without Force.
func (e *Engine) Remove(ctx context.Context, ref string, o RemoveOptions) error {
	return pending("remove container")
}

// Rename gives a container another name. Errors: ErrExists, ErrInvalid for its own name.
func (e *Engine) Rename(ctx context.Context, ref, name string) error {
	return pending("rename container")
}

// Exec runs another process in a running container. With Detach, or no streams, the session is closed
// already. Errors: ErrNotRunning, ErrPaused, ErrNoCommand, ErrNotExecutable.
func (e *Engine) Exec(ctx context.Context, ref string, r ExecRequest) (*Session, error) {
	return nil, pending("exec in container")
}

// Attach joins the streams of pid 1. Errors: ErrNotRunning, ErrPaused.
func (e *Engine) Attach(ctx context.Context, ref string, a Attach) (*Session, error) {
	return nil, pending("attach to container")
}

// Logs gives the container's log entries to sink, oldest first, until the end, or with Follow until the
// container has ended, ctx is done, or sink returns an error.
func (e *Engine) Logs(ctx context.Context, ref string, o LogOptions, sink LogSink) error {
	return pending("read log of container")
}

// Wait waits for a condition and says how the container ended. The container may be gone when it
// returns (AutoRemove): its exit is still known, and its name free.
func (e *Engine) Wait(ctx context.Context, ref string, until WaitCondition) (Exit, error) {
	return Exit{}, pending("wait for container")
}

// Inspect reads all that is known of a container.
func (e *Engine) Inspect(ctx context.Context, ref string, size bool) (*Details, error) {
	return nil, pending("inspect container")
}

// Top lists a container's processes; psArgs as docker's ("-ef", "aux", "-o pid,comm"). Nothing from the
// container's image or of the host's is run for it. Errors: ErrNotRunning.
func (e *Engine) Top(ctx context.Context, ref string, psArgs []string) (*Top, error) {
	return nil, pending("list processes of container")
}

// List gives the chosen containers, the newest first. Errors: ErrInvalid for a filter that isn't one.
func (e *Engine) List(ctx context.Context, o ListOptions) ([]Listed, error) {
	return nil, pending("list containers")
}

// Resolve finds a container: its full id and its name. Errors: ErrNotFound, ErrInvalid (ambiguous).
func (e *Engine) Resolve(ref string) (id, name string, err error) {
	id, err = e.store.Resolve(ref)
	if err != nil {
		return "", "", err
	}
	r, err := e.store.Load(id)
	if err != nil {
		return "", "", err
	}
	return id, r.Name, nil
}

// Sweep tidies what a killed gourd, monitor or machine left behind. Cheap when there is nothing: front
// doors call it at the start of each command. What a living process works on is never touched.
func (e *Engine) Sweep(ctx context.Context) error { return pending("tidy") }

// Explain reads how a running container was made and shows it from both sides. Of one that isn't
// running only the plan's steps are known. Errors: ErrNotFound.
func (e *Engine) Explain(ctx context.Context, ref string) (*Explanation, error) {
	return nil, pending("explain container")
}

// Plan is Explain for a container that isn't made: nothing is created.
func (e *Engine) Plan(ctx context.Context, r CreateRequest) (*Explanation, error) {
	return nil, pending("plan container")
}

// Info gathers what `gourd info` says of the installation and the machine.
func (e *Engine) Info(ctx context.Context) (*Info, error) { return nil, pending("gather information") }
