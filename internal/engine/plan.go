package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gourd/internal/container"
)

// Plan is Explain for a container that isn't made: everything is checked, nothing is created. The steps
// come from the runtime in gourd-monitor, from the same table that it makes containers by.
func (e *Engine) Plan(ctx context.Context, r CreateRequest) (*Explanation, error) {
	m := thisMachine()
	d, err := e.prepareDraft(ctx, &r, &m)
	if err != nil {
		return nil, err
	}
	x := &Explanation{ID: d.id, Name: strings.TrimPrefix(r.Name, "/")}
	if d.runtime != "" {
		return nil, unsupported("plan container", r.Runtime, "only gourd's own runtime tells its steps", "")
	}
	if d.modes.UserNS() {
		// The range is leased when a container is made; the first of the pool stands for it.
		d.ids = &container.IDRange{Slot: -1, Base: e.cfg.IDs.Base}
	}
	x.Steps, err = e.planSteps(ctx, d)
	return x, err
}

func (e *Engine) planSteps(ctx context.Context, d *draft) ([]container.Step, error) {
	root := "rootfs"
	dir, overlay := splitRootfs(d.req.Rootfs)
	if d.image == nil && !overlay {
		root = dir
	}
	spec, err := encodeSpec(d.spec(e.store.Dir(d.id), root), d.seccomp)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(map[string]any{"id": d.id, "spec": json.RawMessage(spec), "rootfs": e.plannedRoot(d)})
	if err != nil {
		return nil, err
	}
	monitor := e.monitorPath()
	if monitor == "" {
		return nil, errNoMonitor("plan container")
	}
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, monitor, "plan")
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(input), &out, &complaint, []string{"PATH=" + os.Getenv("PATH")}
	if err := cmd.Run(); err != nil {
		return nil, &container.Error{Verb: "plan container", Object: d.req.Name, Cause: errText(cmpOr(strings.TrimSpace(complaint.String()), err.Error()))}
	}
	var steps []container.Step
	if err := json.Unmarshal(out.Bytes(), &steps); err != nil {
		return nil, &container.Error{Verb: "plan container", Object: d.req.Name, Kind: container.ErrCorrupt, Cause: err}
	}
	return steps, nil
}

// plannedRoot is like what a snapshot driver would give, with the places that it would make.
func (e *Engine) plannedRoot(d *draft) *container.RootFS {
	dir, overlay := splitRootfs(d.req.Rootfs)
	if d.image == nil && !overlay {
		return nil
	}
	base := filepath.Join(e.cfg.Root, cmpOr(e.cfg.StorageDriver, "overlay"))
	r := &container.RootFS{
		Upper: filepath.Join(base, "containers", d.id, "upper"), Work: filepath.Join(base, "containers", d.id, "work"),
		Overlay: true, Idmap: d.ids != nil, ReadOnly: d.req.ReadOnly, Volatile: d.req.AutoRemove,
	}
	if d.image == nil {
		r.Layers = []container.Layer{{Dir: dir}}
		return r
	}
	for i := len(d.image.DiffIDs) - 1; i >= 0; i-- {
		r.Layers = append(r.Layers, container.Layer{Dir: filepath.Join(base, "layers", strings.TrimPrefix(string(d.image.DiffIDs[i]), "sha256:"))})
	}
	return r
}
