package engine

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
