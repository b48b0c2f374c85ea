package monitor

import "gourd/internal/container"

// newBackend makes the backend of gourd's own runtime or another.
func newBackend(s *container.Store, r *container.Record, f *Foreign) (backend, error) {
	if f.Path != "" {
		return newForeign(s, r, f)
	}
	return newNative(s, r), nil
}

// forget deletes the files of a container that is hidden already.
func (m *monitor) forget() error {
	return m.store.FinishForget(m.record.ID, func(string, *container.Record) error { return nil })
}
