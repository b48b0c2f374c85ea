package monitor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"gourd/internal/cgroup"
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
	c := &runtime.Config{ID: p.ID, Spec: &spec, Seccomp: raw.Linux.Seccomp, RootFS: p.RootFS, LenientIdmap: true}
	if path := spec.Linux.CgroupsPath; path != "" {
		g, err := cgroup.Load(path, strings.Count(path, ":") == 2)
		if err != nil {
			return err
		}
		c.Cgroup = plannedCgroup{g}
	}
	steps, err := runtime.Plan(c)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(steps)
}

// plannedCgroup is a cgroup that isn't there: it has the directories that it would have, and for each of
// its files something to open, so that the plan has the steps that the making has.
type plannedCgroup struct{ *cgroup.Group }

func (p plannedCgroup) Dir() *os.File { return nil }

func (p plannedCgroup) JoinFiles() ([]*os.File, error) {
	legacy := map[string]bool{}
	for controller, dir := range p.Paths() {
		if controller != "" {
			legacy[dir] = true
		}
	}
	var files []*os.File
	for range legacy {
		f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
