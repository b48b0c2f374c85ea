package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gourd/internal/container"
)

// An anonymous volume is ROOT/volumes/NAME with its files in _data, a link "owner" to the container it
// was made for, and, until the monitor has filled it from the image, a file "fresh".

func (e *Engine) makeVolume(name, owner string, fill bool) error {
	dir := filepath.Join(e.volumesDir(), name)
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
		return &container.Error{Verb: "make volume", Object: name, Cause: err}
	}
	return nil
}

// removeVolume removes an anonymous volume if it is this container's.
func (e *Engine) removeVolume(name, owner string) error {
	dir := filepath.Join(e.volumesDir(), name)
	if have, err := os.Readlink(filepath.Join(dir, "owner")); err != nil || have != owner {
		return nil
	}
	// The data goes first: as long as the link is there the sweep finds what is left.
	for _, p := range []string{filepath.Join(dir, "_data"), dir} {
		if err := os.RemoveAll(p); err != nil {
			return &container.Error{Verb: "remove volume", Object: name, Cause: err}
		}
	}
	return nil
}

// removeVolumesOf removes the volumes of a container that was never finished.
func (e *Engine) removeVolumesOf(owner string) error {
	entries, err := os.ReadDir(e.volumesDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &container.Error{Verb: "list volumes", Object: e.volumesDir(), Cause: err}
	}
	for _, entry := range entries {
		if err := e.removeVolume(entry.Name(), owner); err != nil {
			return err
		}
	}
	return nil
}
