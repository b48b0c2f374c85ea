package cgroup

import (
	"strconv"

	"gourd/internal/cgroup/systemd"
	"gourd/internal/container"
)

// prepare checks what Attach will need.
func (g *Group) prepare(o Options) error {
	if _, err := systemd.Properties(o.Annotations); err != nil {
		return err
	}
	if !systemd.Running() {
		return unsupported("systemd cgroup driver", "systemd does not run this machine", "use the cgroupfs driver")
	}
	g.pending = &o
	return nil
}

// NeedsAttach says that the first process must wait, having done nothing yet, until Attach has put it
// into the group: the systemd driver on a new group.
func (g *Group) NeedsAttach() bool { return g.pending != nil }

// Attach makes the scope around the container's first process and writes the limits. Without the
// systemd driver it does nothing. On error the scope is gone again; the process is the caller's to end.
func (g *Group) Attach(pid int) error {
	if !g.NeedsAttach() {
		return nil
	}
	o := *g.pending
	if err := g.unit.Start(systemd.Options{PID: pid, V2: g.layout.mode == V2, Resources: o.Resources, Annotations: o.Annotations}); err != nil {
		return err
	}
	g.pending = nil
	err := g.enter(pid)
	if err == nil {
		err = g.fill(o)
	}
	if err != nil {
		_ = g.unit.Stop()
	}
	return err
}

// enter puts the process into the hierarchies that systemd doesn't manage (v1: freezer, cpuset, …).
func (g *Group) enter(pid int) error {
	for _, d := range g.dirs {
		if _, err := d.make(g.path); err != nil {
			return &container.Error{Verb: "make cgroup", Object: d.path, Cause: err}
		}
		if d.unified && g.layout.mode == V2 {
			continue // systemd put it there
		}
		if err := writeFile(d.path, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return &container.Error{Verb: "join cgroup", Object: d.path, Cause: err}
		}
	}
	return nil
}
