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

// Plan is Explain for a container that isn't made: nothing is created.
func (e *Engine) Plan(ctx context.Context, r CreateRequest) (*Explanation, error) {
	return nil, pending("plan container")
}
