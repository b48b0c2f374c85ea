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
	dir := filepath.Join(e.store.VolumesDir(), name)
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

// removeVolumesOf removes the volumes of a container that was never finished.
func (e *Engine) removeVolumesOf(owner string) error {
	entries, err := os.ReadDir(e.store.VolumesDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &container.Error{Verb: "list volumes", Object: e.store.VolumesDir(), Cause: err}
	}
	for _, entry := range entries {
		if err := e.store.RemoveVolume(entry.Name(), owner); err != nil {
			return err
		}
	}
	return nil
}
