package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/cgroup/limits"
	"gourd/internal/container"
)

// Set changes limits of a living group: what r names, nothing else. If one value is refused, those
// written before it are put back. Devices are left alone unless r lists some.
func (g *Group) Set(r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	if err := g.checkUsage(r.Memory); err != nil {
		return err
	}
	if g.unit != nil {
		if err := g.unit.Set(g.layout.mode == V2, r); err != nil {
			return err
		}
	}
	plan := g.plan(r)
	before := g.read(plan)
	if err := g.write(plan); err != nil {
		// Best effort: the old values were valid together.
		_ = g.write(before)
		return err
	}
	if len(r.Devices) > 0 {
		return g.setDevices(r.Devices, false)
	}
	return nil
}

// plan gives the settings of r: each controller in the form of the hierarchy that holds it.
func (g *Group) plan(r *specs.LinuxResources) []limits.Setting {
	return limits.Plan(r, func(controller string) bool {
		d := g.dirOf(controller)
		return d != nil && d.unified || d == nil && g.layout.mode == V2
	})
}

// write writes settings in order. Some values are only valid together (memory ≤ memory+swap,
// burst ≤ quota, quota/period within the parent's), in an order that depends on the old ones: what the
// kernel calls invalid is tried once more after the rest.
func (g *Group) write(plan []limits.Setting) error {
	var again []limits.Setting
	for _, s := range plan {
		err := g.writeOne(s)
		if errors.Is(err, unix.EINVAL) {
			again = append(again, s)
			continue
		}
		if err != nil {
			return g.explain(s, err)
		}
	}
	for _, s := range again {
		if err := g.writeOne(s); err != nil {
			return g.explain(s, err)
		}
	}
	return nil
}

// writeOne writes one setting. v2 files whose old content matters are completed first.
func (g *Group) writeOne(s limits.Setting) error {
	d := g.place(s.Controller)
	if d == nil {
		return errNoController
	}
	value := s.Value
	switch {
	case d.unified && s.File == "cpu.max":
		old, err := readFile(d.path, s.File)
		if err != nil {
			return err
		}
		value = limits.MergeCPUMax(value, old)
	case d.unified && s.File == "memory.swap.max" && strings.HasPrefix(value, "+"):
		old, err := readUint(d.path, "memory.max")
		if err != nil {
			return err
		}
		if value, err = limits.SwapAbove(value, old); err != nil {
			return err
		}
	}
	err := writeLines(d.path, s.File, value)
	if errors.Is(err, fs.ErrNotExist) && s.Other != "" {
		if s.OtherValue != "" {
			value = s.OtherValue
		}
		err = writeLines(d.path, s.Other, value)
	}
	return err
}

// writeLines writes a value line by line: files such as io.max take one line a write(2).
func writeLines(dir, file, value string) error {
	if !strings.Contains(value, "\n") {
		return writeFile(dir, file, value)
	}
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := writeFile(dir, file, line); err != nil {
			return err
		}
	}
	return nil
}

// place is the directory that a setting belongs to.
func (g *Group) place(controller string) *dir {
	if controller == "" {
		return g.unifiedDir()
	}
	return g.dirOf(controller)
}

var errNoController = errors.New("no hierarchy has this controller")

// read gives the present values of the files of a plan, for putting them back. Files that can't be put
// back by writing what they show (lists of devices) are left out.
func (g *Group) read(plan []limits.Setting) []limits.Setting {
	var old []limits.Setting
	for _, s := range plan {
		d := g.place(s.Controller)
		if d == nil {
			continue
		}
		v, err := readFile(d.path, s.File)
		if v = strings.TrimSpace(v); err != nil || v == "" || strings.ContainsAny(v, "\n:") {
			continue
		}
		old = append(old, limits.Setting{Controller: s.Controller, File: s.File, Value: v})
	}
	return old
}

// explain turns a kernel's refusal into an error that says what to do.
func (g *Group) explain(s limits.Setting, err error) error {
	e := &container.Error{Verb: "set " + s.File, Object: "to " + s.Value, Cause: err}
	switch {
	case errors.Is(err, errNoController):
		e.Kind, e.Object = container.ErrUnsupported, ""
		e.Cause = fmt.Errorf("this machine has no %s controller (cgroup %s)", controllerName(s.Controller), g.layout.mode)
		e.Hint = "leave the limit out, or boot a kernel that has it"
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Hint = container.ErrUnsupported, "this kernel does not have it: leave the limit out"
	case errors.Is(err, unix.EBUSY) && strings.HasPrefix(s.File, "memory."):
		e.Kind, e.Cause = container.ErrInvalid, g.memoryInUse(s, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE), errors.Is(err, unix.ENODEV):
		e.Kind = container.ErrInvalid
	}
	return e
}

func controllerName(c string) string {
	if c == "" {
		return "v2"
	}
	return c
}

// memoryInUse says why a v1 limit can't go below what is in use.
func (g *Group) memoryInUse(s limits.Setting, err error) error {
	d := g.dirOf("memory")
	usage, err1 := readUint(d.path, "memory.usage_in_bytes")
	peak, err2 := readUint(d.path, "memory.max_usage_in_bytes")
	if err1 != nil || err2 != nil {
		return err
	}
	return fmt.Errorf("unable to set memory limit to %s (current usage: %d, peak usage: %d)", s.Value, usage, peak)
}

// checkUsage honours memory.checkBeforeUpdate: on v2 a limit below the usage would kill processes.
func (g *Group) checkUsage(m *specs.LinuxMemory) error {
	if m == nil || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate {
		return nil
	}
	d := g.dirOf("memory")
	if d == nil || !d.unified {
		return nil // the v1 kernel refuses such a limit itself
	}
	usage, err := readUint(d.path, "memory.current")
	if err != nil {
		return nil // no group yet: nothing in use
	}
	for _, c := range []struct {
		what  string
		limit *int64
	}{{"memory+swap", m.Swap}, {"memory", m.Limit}} {
		if c.limit != nil && *c.limit > 0 && uint64(*c.limit) <= usage {
			return &container.Error{
				Verb: "update memory", Kind: container.ErrInvalid,
				Cause: fmt.Errorf("rejecting %s limit %d <= usage %d", c.what, *c.limit, usage),
			}
		}
	}
	return nil
}

func pick[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}
