package monitor

import "gourd/internal/container"

// newBackend makes the backend that the record asks for.
func newBackend(s *container.Store, r *container.Record) (backend, error) {
	if r.Runtime != "" {
		return newForeign(s, r)
	}
	return nil, &container.Error{Verb: "start container", Object: r.Name, Kind: container.ErrUnsupported}
}

// forget deletes the files of a container that is hidden already.
func (m *monitor) forget() error {
	return m.store.FinishForget(m.record.ID, func(string, *container.Record) error { return nil })
}
