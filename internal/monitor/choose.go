package monitor

import (
	"gourd/internal/container"
	"gourd/internal/snapshot"
)

// newBackend makes the backend of gourd's own runtime or another.
func newBackend(s *container.Store, r *container.Record, f *Foreign) (backend, error) {
	if f.Path != "" {
		return newForeign(s, r, f)
	}
	return newNative(s, r), nil
}

// forget deletes the files of a container that is hidden already, its writable layer and its anonymous
// volumes (--rm).
func (m *monitor) forget() error {
	return m.store.FinishForget(m.record.ID, func(_ string, r *container.Record) error {
		if r == nil {
			r = m.record
		}
		if r.Driver != "" {
			d, err := snapshot.Open(m.store.Root, r.Driver)
			if err != nil {
				return err
			}
			if err := d.Remove(r.ID); err != nil {
				return err
			}
		}
		return m.store.RemoveVolumesIn(r)
	})
}
