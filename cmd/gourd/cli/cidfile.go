package cli

import (
	"errors"
	"io/fs"
	"os"
)

// cidfile is the file of --cidfile. It is made before the container, so that one that exists is refused
// while nothing has been made, and goes away again with a container that never was.
type cidfile struct{ path string }

// newCidfile reserves the file; an empty path is no file. Errors: the file exists.
func newCidfile(path string) (*cidfile, error) {
	if path == "" {
		return &cidfile{}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, misuse("--cidfile %s: the file exists; remove it, or the container that it names is still used", path)
	}
	if err != nil {
		return nil, misuse("make --cidfile: %w", err)
	}
	return &cidfile{path}, f.Close()
}

func (c *cidfile) write(id string) error {
	if c.path == "" {
		return nil
	}
	return os.WriteFile(c.path, []byte(id), 0o644)
}

func (c *cidfile) remove() {
	if c.path != "" {
		os.Remove(c.path)
	}
}
