package monitor

import (
	"encoding/json"
	"fmt"
	"io"

	"gourd/internal/container"
	"gourd/internal/runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// planned is a container that is not to be made: what `gourd-monitor plan` reads.
type planned struct {
	ID     string            `json:"id"`
	Spec   json.RawMessage   `json:"spec"`
	RootFS *container.RootFS `json:"rootfs,omitempty"` // nil: the spec's root as it is
}

// Plan reads a container as JSON and writes the steps that would make it, as JSON. Nothing is made:
// `gourd explain --dry-run`.
func Plan(r io.Reader, w io.Writer) error {
	var p planned
	if err := json.NewDecoder(r).Decode(&p); err != nil {
		return fmt.Errorf("read the container to plan: %w", err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(p.Spec, &spec); err != nil || spec.Linux == nil || spec.Process == nil {
		return fmt.Errorf("read the spec to plan: it is not one of a Linux container (%v)", err)
	}
	var raw struct {
		Linux struct {
			Seccomp json.RawMessage `json:"seccomp"`
		} `json:"linux"`
	}
	if err := json.Unmarshal(p.Spec, &raw); err != nil {
		return err
	}
	steps, err := runtime.Plan(&runtime.Config{ID: p.ID, Spec: &spec, Seccomp: raw.Linux.Seccomp, RootFS: p.RootFS, LenientIdmap: true})
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(steps)
}
