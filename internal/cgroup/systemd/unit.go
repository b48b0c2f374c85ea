// Package systemd makes the scope units that hold control groups on machines where systemd owns the
// tree (https://sd.io/CGROUP_DELEGATION).
package systemd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
)

// Unit is a transient scope, made around a container's first process and gone with the last. systemd
// owns the files of the scope itself, so limits are told to it as properties as well as written: a
// later `systemctl daemon-reload` would undo what was only written.
type Unit struct{ Slice, Name string }

// Options say how a unit is started.
type Options struct {
	PID         int // its first process
	V2          bool
	Resources   *specs.LinuxResources
	Annotations map[string]string // org.systemd.property.NAME becomes property NAME
}

// jobTime bounds every job of sd.
const jobTime = 30 * time.Second

// Parse reads "slice:prefix:name", the form of --systemd-cgroup: "gourd.slice:gourd:ID" is
// gourd-ID.scope in gourd.slice. Without a slice it is system.slice.
func Parse(path string) (*Unit, error) {
	f := strings.Split(path, ":")
	if len(f) != 3 || f[2] == "" || strings.ContainsAny(path, "/\n\x00") {
		return nil, container.Invalid("use cgroup", strconv.Quote(path),
			fmt.Errorf("expected cgroupsPath to be of format %q for systemd cgroups, got %q instead", "slice:prefix:name", path), "")
	}
	u := &Unit{Slice: f[0], Name: f[2] + ".scope"}
	if f[1] != "" {
		u.Name = f[1] + "-" + u.Name
	}
	if u.Slice == "" {
		u.Slice = "system.slice"
	}
	base, ok := strings.CutSuffix(u.Slice, ".slice")
	if !ok || base != "-" && (strings.HasPrefix(base, "-") || strings.HasSuffix(base, "-") || strings.Contains(base, "--") || base == "") {
		return nil, container.Invalid("use cgroup", strconv.Quote(path), fmt.Errorf("%q is not the name of a slice", u.Slice), "")
	}
	return u, nil
}

// Path is where systemd puts the unit: "a-b.slice" lies in "a.slice" (sd.slice(5)).
func (u *Unit) Path() string {
	path := "/"
	if base := strings.TrimSuffix(u.Slice, ".slice"); base != "-" {
		parts := strings.Split(base, "-")
		for i := range parts {
			path = filepath.Join(path, strings.Join(parts[:i+1], "-")+".slice")
		}
	}
	return filepath.Join(path, u.Name)
}

// Running says whether systemd runs this machine (sd_booted(3)).
func Running() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// connect talks to systemd, directly by its private socket (root needs no message bus) or else
// over the system bus.
func connect(f func(ctx context.Context, c *sd.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), jobTime)
	defer cancel()
	c, err := sd.NewSystemdConnectionContext(ctx)
	if err != nil {
		c, err = sd.NewSystemConnectionContext(ctx)
	}
	if err != nil {
		return &container.Error{Verb: "connect to systemd", Cause: err, Hint: "use the cgroupfs driver"}
	}
	defer c.Close()
	return f(ctx, c)
}

// Start runs the job that makes the scope and waits for its end. A failed scope of the same name from
// an earlier life is forgotten first.
func (u *Unit) Start(o Options) error {
	err := connect(func(ctx context.Context, c *sd.Conn) error {
		p := properties{v2: o.V2, version: version(c)}
		p.add("Description", "gourd container "+u.Name)
		p.add("Slice", u.Slice)
		p.add("Delegate", true)
		p.add("DefaultDependencies", false)
		p.add("PIDs", []uint32{uint32(o.PID)})
		if o.Annotations["org.sd.property.CollectMode"] == "" {
			p.add("CollectMode", "inactive-or-failed") // no trace of one that was OOM-killed
		}
		p.accounting()
		if o.Resources == nil || o.Resources.Pids == nil || o.Resources.Pids.Limit == nil {
			p.add("TasksMax", uint64(math.MaxUint64)) // or systemd's default for services would hold
		}
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
		extra, err := Properties(o.Annotations)
		if err != nil {
			return err
		}
		p.list = append(p.list, extra...)
		if err = u.job(ctx, c, p.list); hasName(err, "org.freedesktop.systemd1.UnitExists") {
			if err := c.ResetFailedUnitContext(ctx, u.Name); err != nil {
				return err
			}
			err = u.job(ctx, c, p.list)
		}
		return err
	})
	if err != nil {
		return &container.Error{Verb: "start systemd unit", Object: u.Name, Cause: err}
	}
	return nil
}

// job starts the transient unit and waits until systemd says it is done.
func (u *Unit) job(ctx context.Context, c *sd.Conn, list []sd.Property) error {
	done := make(chan string, 1)
	if _, err := c.StartTransientUnitContext(ctx, u.Name, "replace", list, done); err != nil {
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

// Set tells systemd of changed limits.
func (u *Unit) Set(v2 bool, r *specs.LinuxResources) error {
	err := connect(func(ctx context.Context, c *sd.Conn) error {
		p := properties{v2: v2, version: version(c)}
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
		return c.SetUnitPropertiesContext(ctx, u.Name, true, p.list...)
	})
	if err != nil {
		return &container.Error{Verb: "set limits of systemd unit", Object: u.Name, Cause: err}
	}
	return nil
}

// Stop ends the unit where systemd still knows it. A scope whose processes have all ended goes by
// itself.
func (u *Unit) Stop() error {
	err := connect(func(ctx context.Context, c *sd.Conn) error {
		done := make(chan string, 1)
		_, err := c.StopUnitContext(ctx, u.Name, "replace", done)
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
		_ = c.ResetFailedUnitContext(ctx, u.Name)
		return nil
	})
	if err != nil {
		return &container.Error{Verb: "stop systemd unit", Object: u.Name, Cause: err}
	}
	return nil
}

// hasName says whether an error is the D-Bus error of this name.
func hasName(err error, name string) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}

// version gives the main version number, 0 if it can't be told.
func version(c *sd.Conn) int {
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
