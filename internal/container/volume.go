package container

import (
	"os"
	"path/filepath"
)

// VolumesDir is where anonymous volumes are: ROOT/volumes/NAME with the files in _data, and a link "owner"
// to the container each was made for.
func (s *Store) VolumesDir() string { return filepath.Join(s.Root, "volumes") }

// RemoveVolume removes an anonymous volume if it is this container's.
func (s *Store) RemoveVolume(name, owner string) error {
	dir := filepath.Join(s.VolumesDir(), name)
	if have, err := os.Readlink(filepath.Join(dir, "owner")); err != nil || have != owner {
		return nil
	}
	// The data goes first: as long as the link is there the sweep finds what is left.
	for _, p := range []string{filepath.Join(dir, "_data"), dir} {
		if err := os.RemoveAll(p); err != nil {
			return &Error{Verb: "remove volume", Object: name, Cause: err}
		}
	}
	return nil
}

// RemoveVolumes removes the anonymous volumes that a container's record names.
func (s *Store) RemoveVolumes(r *Record) error {
	for _, m := range r.Mounts {
		if m.Type == "volume" {
			if err := s.RemoveVolume(m.Name, r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
