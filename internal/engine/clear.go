package engine

import (
	"context"
	"errors"
	"os"
	"sync"

	"gourd/internal/cgroup"
)

// cgroupParent is what containers have their cgroups below, where the user doesn't say and systemd doesn't make them.
const cgroupParent = "/gourd"

// Clear ends what the installation has on this machine: every container, running or not, then the network
// with its bridge and rules, then the cgroup above the containers'. Images stay. What another
// installation uses too is left to it.
func (e *Engine) Clear(ctx context.Context) error {
	list, err := e.List(ctx, ListOptions{All: true})
	if err != nil {
		return err
	}
	errs := make([]error, len(list))
	slots := make(chan struct{}, 16)
	var group sync.WaitGroup
	for i, c := range list {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = e.Remove(ctx, c.ID, RemoveOptions{Force: true, Volumes: true})
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := e.Sweep(ctx); err != nil {
		return err
	}
	if err := e.networks(nil).Remove(); err != nil {
		return err
	}
	return removeCgroupParent()
}

// removeCgroupParent leaves it where another installation has a cgroup below: rmdir(2) refuses that.
func removeCgroupParent() error {
	g, err := cgroup.Load(cgroupParent, false)
	if err != nil {
		return err
	}
	for _, dir := range g.Paths() {
		os.Remove(dir)
	}
	return nil
}
