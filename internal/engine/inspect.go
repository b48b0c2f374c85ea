package engine

import (
	"context"
	"errors"
	"path/filepath"

	"gourd/internal/container"
	"gourd/internal/container/control"
)

// Inspect reads all that is known of a container.
func (e *Engine) Inspect(ctx context.Context, ref string, size bool) (*Details, error) {
	r, err := e.load(ref)
	if err != nil {
		return nil, err
	}
	d := &Details{Record: r, SizeRW: -1, SizeRootFS: -1}
	if d.Spec, err = e.spec(r.ID); err != nil {
		return nil, err
	}
	if r.Log.Driver != "none" {
		d.LogPath = e.store.LogPath(r.ID)
	}
	for _, m := range d.Spec.Mounts {
		switch m.Source {
		case filepath.Join(filepath.Dir(m.Source), "hosts"):
			d.HostsPath = m.Source
		case filepath.Join(filepath.Dir(m.Source), "hostname"):
			d.HostnamePath = m.Source
		case filepath.Join(filepath.Dir(m.Source), "resolv.conf"):
			d.ResolvConfPath = m.Source
		}
	}
	if d.Execs, err = e.execs(ctx, r); err != nil {
		return nil, err
	}
	if r.Driver != "" {
		driver, err := e.snapshots(r.Driver)
		if err != nil {
			return nil, err
		}
		if d.RootFS, err = driver.Mount(r.ID); err != nil {
			return nil, err
		}
	}
	if size {
		d.SizeRW, d.SizeRootFS, err = e.sizes(r)
	}
	return d, err
}

// execs are the ids of the running exec processes.
func (e *Engine) execs(ctx context.Context, r *container.Record) ([]string, error) {
	if !isUp(r) || !e.store.Live(r.ID) {
		return nil, nil
	}
	reply, err := e.ask(ctx, r.ID, &control.Request{Op: control.OpExecs})
	if errors.Is(err, container.ErrNotRunning) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, x := range reply.Execs {
		ids = append(ids, x.ID)
	}
	return ids, nil
}
