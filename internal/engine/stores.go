package engine

import (
	"errors"

	"gourd/internal/container"
	"gourd/internal/image"
	"gourd/internal/network"
	"gourd/internal/snapshot"
)

// images opens the image store.
func (e *Engine) images() (*image.Store, error) { return image.Open(e.cfg.Root) }

// snapshots opens a snapshot driver, "" the one that the root was used with.
func (e *Engine) snapshots(name string) (snapshot.Driver, error) {
	return snapshot.Open(e.cfg.Root, name)
}

// removeSnapshot deletes a container's writable layer. Where no driver was ever used there is none.
func (e *Engine) removeSnapshot(driver, id string) error {
	d, err := e.snapshots(driver)
	if err != nil {
		if errors.Is(err, container.ErrUnsupported) {
			return nil
		}
		return err
	}
	return d.Remove(id)
}

// networks opens the default network. notice is told what the user has to know.
func (e *Engine) networks(notice func(string)) *network.Networks {
	return network.Open(e.cfg.Root, e.cfg.State, network.Options{Bridge: e.cfg.Network.Bridge, Subnet: e.cfg.Network.subnet, Notice: notice})
}

// sizes are the bytes of a container's writable layer, and of that and its image together.
func (e *Engine) sizes(r *container.Record) (rw, all int64, err error) {
	if r.Driver == "" {
		return 0, 0, nil
	}
	d, err := e.snapshots(r.Driver)
	if err != nil {
		return -1, -1, err
	}
	if rw, err = d.Usage(r.ID); err != nil {
		return -1, -1, err
	}
	layers, err := d.Layered(r.ID)
	if err != nil {
		return rw, -1, err
	}
	all = rw
	for _, l := range layers {
		n, err := d.LayerSize(l)
		if err != nil {
			return rw, -1, err
		}
		all += n
	}
	return rw, all, nil
}
