package engine

import (
	"context"

	"gourd/internal/container"
)

func pending(verb string) error {
	return &container.Error{Verb: verb, Kind: container.ErrUnsupported}
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
