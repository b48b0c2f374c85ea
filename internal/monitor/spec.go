package monitor

import (
	"encoding/json"
	"os"
	"path/filepath"

	"gourd/internal/container"
	"gourd/internal/container/control"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func loadSpec(dir string) (*specs.Spec, error) {
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, &container.Error{Verb: "read spec of container", Object: filepath.Base(dir), Cause: err}
	}
	spec := new(specs.Spec)
	if err := json.Unmarshal(b, spec); err != nil {
		return nil, &container.Error{Verb: "read spec of container", Object: filepath.Base(dir), Kind: container.ErrCorrupt, Cause: err}
	}
	return spec, nil
}

// setWindow makes a terminal have the client's size from its first moment.
func setWindow(p *specs.Process, size *control.Size) {
	if size != nil && p.Terminal {
		p.ConsoleSize = &specs.Box{Height: uint(size.Rows), Width: uint(size.Cols)}
	}
}
