package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// unit is the systemd unit of a group: a transient scope, made around the container's first process
// and gone with the last. systemd owns the files of the scope itself, so limits are told to it as
// properties as well as written: a later `systemctl daemon-reload` would undo what was only written.
type unit struct {
	slice, name string
	pending     *Options // from Create until Attach
}

// systemdTime bounds every job of systemd.
const systemdTime = 30 * time.Second

// parseUnit reads "slice:prefix:name", the form of --systemd-cgroup: "gourd.slice:gourd:ID" is
// gourd-ID.scope in gourd.slice. Without a slice it is system.slice.
func parseUnit(path string) (*unit, error) {
	f := strings.Split(path, ":")
	if len(f) != 3 || f[2] == "" || strings.ContainsAny(path, "/\n\x00") {
		return nil, container.Invalid("use cgroup", strconv.Quote(path),
			fmt.Errorf("expected cgroupsPath to be of format %q for systemd cgroups, got %q instead", "slice:prefix:name", path), "")
	}
	u := &unit{slice: f[0], name: f[2] + ".scope"}
	if f[1] != "" {
		u.name = f[1] + "-" + u.name
	}
	if u.slice == "" {
		u.slice = "system.slice"
	}
	base, ok := strings.CutSuffix(u.slice, ".slice")
	if !ok || base != "-" && (strings.HasPrefix(base, "-") || strings.HasSuffix(base, "-") || strings.Contains(base, "--") || base == "") {
		return nil, container.Invalid("use cgroup", strconv.Quote(path), fmt.Errorf("%q is not the name of a slice", u.slice), "")
	}
	return u, nil
}

// path is where systemd puts the unit: "a-b.slice" lies in "a.slice" (systemd.slice(5)).
func (u *unit) path() string {
	path := "/"
	if base := strings.TrimSuffix(u.slice, ".slice"); base != "-" {
		parts := strings.Split(base, "-")
		for i := range parts {
			path = filepath.Join(path, strings.Join(parts[:i+1], "-")+".slice")
		}
	}
	return filepath.Join(path, u.name)
}

// prepare checks what Attach will need.
func (u *unit) prepare(o Options) error {
	if _, err := annotationProperties(o.Annotations); err != nil {
		return err
	}
	if unix.Access("/run/systemd/system", unix.F_OK) != nil {
		return unsupported("systemd cgroup driver", "systemd does not run this machine", "use the cgroupfs driver")
	}
	u.pending = &o
	return nil
}

// NeedsAttach says that the first process must wait, having done nothing yet, until Attach has put it
// into the group: the systemd driver on a new group.
func (g *Group) NeedsAttach() bool { return g.unit != nil && g.unit.pending != nil }

// Attach makes the scope around the container's first process and writes the limits. Without the
// systemd driver it does nothing. On error the scope is gone again; the process is the caller's to end.
func (g *Group) Attach(pid int) error {
	if !g.NeedsAttach() {
		return nil
	}
	o := *g.unit.pending
	if err := g.unit.start(g, o, pid); err != nil {
		return &container.Error{Verb: "start systemd unit", Object: g.unit.name, Cause: err}
	}
	g.unit.pending = nil
	err := g.enter(pid)
	if err == nil {
		err = g.fill(o)
	}
	if err != nil {
		_ = g.unit.stop()
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

// withSystemd connects to systemd, directly by its private socket (root needs no message bus) or else
// over the system bus.
func withSystemd(f func(ctx context.Context, c *systemd.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), systemdTime)
	defer cancel()
	c, err := systemd.NewSystemdConnectionContext(ctx)
	if err != nil {
		c, err = systemd.NewSystemConnectionContext(ctx)
	}
	if err != nil {
		return &container.Error{Verb: "connect to systemd", Cause: err, Hint: "use the cgroupfs driver"}
	}
	defer c.Close()
	return f(ctx, c)
}

// start runs the job that makes the scope and waits for its end. A failed scope of the same name from
// an earlier life is forgotten first.
func (u *unit) start(g *Group, o Options, pid int) error {
	return withSystemd(func(ctx context.Context, c *systemd.Conn) error {
		p := properties{v2: g.layout.mode == V2, version: systemdVersion(c)}
		p.add("Description", "gourd container "+u.name)
		p.add("Slice", u.slice)
		p.add("Delegate", true)
		p.add("DefaultDependencies", false)
		p.add("PIDs", []uint32{uint32(pid)})
		if o.Annotations["org.systemd.property.CollectMode"] == "" {
			p.add("CollectMode", "inactive-or-failed") // no trace of one that was OOM-killed
		}
		p.accounting()
		if o.Resources != nil {
			if err := p.limits(o.Resources); err != nil {
				return err
			}
		}
		if !p.v2 {
			if err := p.devices(o.Resources); err != nil {
				return err
			}
		}
		extra, err := annotationProperties(o.Annotations)
		if err != nil {
			return err
		}
		p.list = append(p.list, extra...)
		if err = u.job(ctx, c, p.list); hasName(err, "org.freedesktop.systemd1.UnitExists") {
			if err := c.ResetFailedUnitContext(ctx, u.name); err != nil {
				return err
			}
			err = u.job(ctx, c, p.list)
		}
		return err
	})
}

// job starts the transient unit and waits until systemd says it is done.
func (u *unit) job(ctx context.Context, c *systemd.Conn, list []systemd.Property) error {
	done := make(chan string, 1)
	if _, err := c.StartTransientUnitContext(ctx, u.name, "replace", list, done); err != nil {
		return err
	}
	select {
	case result := <-done:
		if result == "done" {
			return nil
		}
		return fmt.Errorf("systemd's job ended with %q", result)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// set tells systemd of changed limits.
func (u *unit) set(g *Group, r *specs.LinuxResources) error {
	err := withSystemd(func(ctx context.Context, c *systemd.Conn) error {
		p := properties{v2: g.layout.mode == V2, version: systemdVersion(c)}
		if err := p.limits(r); err != nil {
			return err
		}
		if !p.v2 && len(r.Devices) > 0 {
			if err := p.devices(r); err != nil {
				return err
			}
		}
		if len(p.list) == 0 {
			return nil
		}
		return c.SetUnitPropertiesContext(ctx, u.name, true, p.list...)
	})
	if err != nil {
		return &container.Error{Verb: "set limits of systemd unit", Object: u.name, Cause: err}
	}
	return nil
}

// stop ends the unit where systemd still knows it. A scope whose processes have all ended goes by
// itself.
func (u *unit) stop() error {
	err := withSystemd(func(ctx context.Context, c *systemd.Conn) error {
		done := make(chan string, 1)
		_, err := c.StopUnitContext(ctx, u.name, "replace", done)
		if hasName(err, "org.freedesktop.systemd1.NoSuchUnit") {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
		// Only one that failed is still known then.
		_ = c.ResetFailedUnitContext(ctx, u.name)
		return nil
	})
	if err != nil {
		return &container.Error{Verb: "stop systemd unit", Object: u.name, Cause: err}
	}
	return nil
}

// hasName says whether an error is the D-Bus error of this name.
func hasName(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}

// systemdVersion gives the main version number, 0 if it can't be told.
func systemdVersion(c *systemd.Conn) int {
	v, err := c.GetManagerProperty("Version")
	if err != nil {
		return 0
	}
	return parseVersion(v)
}

// parseVersion reads `"252.39-1~deb12u1"` and `"v245"`.
func parseVersion(v string) int {
	v = strings.TrimLeft(v, `"v`)
	end := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(v)
	}
	n, _ := strconv.Atoi(v[:end])
	return n
}
