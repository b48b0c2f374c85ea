package cgroup

import (
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/cgroup/devices"
	"gourd/internal/container"
)

// setDevices applies the list in its order. A new group begins with everything denied and gets the
// default devices last.
func (g *Group) setDevices(list []specs.LinuxDeviceCgroup, fresh bool) error {
	rules, err := devices.Parse(list)
	if err != nil {
		return err
	}
	if fresh {
		rules = append([]devices.Rule{devices.Closed}, rules...)
		if !devices.AllowsAll(rules) {
			rules = append(rules, devices.Defaults...)
		}
	}
	d := g.dirOf("devices")
	if d == nil {
		d = g.unifiedDir()
	}
	switch {
	case d == nil:
		err = &container.Error{Kind: container.ErrUnsupported, Cause: errNoController}
	case d.unified:
		err = devices.ApplyV2(d.path, rules)
	default:
		err = devices.ApplyV1(d.path, rules)
	}
	if err != nil && inUserNamespace() {
		return nil // nobody but the machine's root may set device rules, and without it no device opens
	}
	if err != nil {
		return &container.Error{Verb: "set device rules", Object: g.path, Cause: err}
	}
	return nil
}

// inUserNamespace says whether this process is root only in a user namespace of its own.
func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && !(len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295")
}
