package container

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// An anonymous volume is ROOT/volumes/NAME with its files in _data, a link "owner" to the container it
// was made for, and, until the monitor has filled it from the image, a file "fresh".

// VolumesDir is where they are.
func (s *Store) VolumesDir() string { return filepath.Join(s.Root, "volumes") }

// MakeVolume makes an anonymous volume; with fill the monitor fills it.
func (s *Store) MakeVolume(name, owner string, fill bool) error {
	dir := filepath.Join(s.VolumesDir(), name)
	err := os.MkdirAll(filepath.Join(dir, "_data"), 0o700)
	if err == nil {
		err = os.Chmod(filepath.Join(dir, "_data"), 0o755)
	}
	if err == nil {
		err = os.Symlink(owner, filepath.Join(dir, "owner"))
	}
	if err == nil && fill {
		err = os.WriteFile(filepath.Join(dir, "fresh"), nil, 0o600)
	}
	if err != nil {
		return &Error{Verb: "make volume", Object: name, Cause: err}
	}
	return nil
}

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

// RemoveVolumesIn removes a container's own anonymous volumes: `rm -v` and --rm.
func (s *Store) RemoveVolumesIn(r *Record) error {
	for _, m := range r.Mounts {
		if m.Type == "volume" {
			if err := s.RemoveVolume(m.Name, r.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// RemoveVolumesOf removes the volumes of a container that was never finished.
func (s *Store) RemoveVolumesOf(owner string) error {
	entries, err := os.ReadDir(s.VolumesDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{Verb: "list volumes", Object: s.VolumesDir(), Cause: err}
	}
	for _, entry := range entries {
		if err := s.RemoveVolume(entry.Name(), owner); err != nil {
			return err
		}
	}
	return nil
}
