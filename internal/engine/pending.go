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
