package cgroup

import (
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// access is the set of things done to a device, in the bits of the kernel's bpf_cgroup_dev_ctx.
type access uint32

const (
	mknod access = 1 << iota
	read
	write
	anyAccess = mknod | read | write
)

// rule is one line of the device list. A zero kind is every device.
type rule struct {
	allow        bool
	kind         byte  // 'b', 'c' or 0
	major, minor int64 // -1: all
	access       access
}

// defaultDevices are what every container may use beside its own list: the nodes that the OCI
// specification makes every runtime supply, terminals, and making (not opening) any node, so that
// unpacking a package with device files works.
var defaultDevices = []rule{
	{true, 'c', -1, -1, mknod}, {true, 'b', -1, -1, mknod},
	{true, 'c', 1, 3, anyAccess},    // null
	{true, 'c', 1, 5, anyAccess},    // zero
	{true, 'c', 1, 7, anyAccess},    // full
	{true, 'c', 1, 8, anyAccess},    // random
	{true, 'c', 1, 9, anyAccess},    // urandom
	{true, 'c', 5, 0, anyAccess},    // tty
	{true, 'c', 5, 2, anyAccess},    // ptmx
	{true, 'c', 136, -1, anyAccess}, // pts/N
}

// parseRules checks and converts the specification's list.
func parseRules(list []specs.LinuxDeviceCgroup) ([]rule, error) {
	rules := make([]rule, 0, len(list))
	for _, d := range list {
		r, err := parseRule(d)
		if err != nil {
			return nil, container.Invalid("use device rule", fmt.Sprintf("%s %s:%s %s", d.Type, number(d.Major), number(d.Minor), d.Access), err, "")
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func number(n *int64) string {
	if n == nil {
		return "*"
	}
	return itoa(*n)
}

func parseRule(d specs.LinuxDeviceCgroup) (rule, error) {
	r := rule{allow: d.Allow, major: -1, minor: -1, access: anyAccess}
	switch d.Type {
	case "", "a":
		return r, nil // every device, whatever the other fields say
	case "b", "c":
		r.kind = d.Type[0]
	case "u":
		r.kind = 'c' // unbuffered character device, mknod(1)'s other name
	default:
		return r, fmt.Errorf("type %q is not a, b or c", d.Type)
	}
	if d.Major != nil {
		r.major = *d.Major
	}
	if d.Minor != nil {
		r.minor = *d.Minor
	}
	if r.major < -1 || r.major > 0xfff || r.minor < -1 || r.minor > 0xfffff {
		return r, fmt.Errorf("no device has such a number")
	}
	if d.Access == "" {
		return r, nil
	}
	r.access = 0
	for _, c := range d.Access {
		switch c {
		case 'r':
			r.access |= read
		case 'w':
			r.access |= write
		case 'm':
			r.access |= mknod
		default:
			return r, fmt.Errorf("access %q is not of the letters r, w and m", d.Access)
		}
	}
	return r, nil
}

// allowsAll says whether a list, applied in order, ends with every device allowed.
func allowsAll(rules []rule) bool {
	all := false
	for _, r := range rules {
		if r.kind == 0 {
			all = r.allow
		} else if !r.allow {
			all = false
		}
	}
	return all
}

// setDevices applies the list in its order. A new group begins with everything denied and gets the
// default devices last.
func (g *Group) setDevices(list []specs.LinuxDeviceCgroup, fresh bool) error {
	rules, err := parseRules(list)
	if err != nil {
		return err
	}
	if fresh {
		rules = append([]rule{{major: -1, minor: -1, access: anyAccess}}, rules...)
		if !allowsAll(rules) {
			rules = append(rules, defaultDevices...)
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
		err = setDevicesV2(d.path, rules)
	default:
		err = setDevicesV1(d.path, rules)
	}
	if err != nil && inUserNamespace() {
		return nil // nobody but the machine's root may set device rules, and without it no device opens
	}
	if err != nil {
		return &container.Error{Verb: "set device rules", Object: g.path, Cause: err}
	}
	return nil
}

// setDevicesV1 writes the lines one by one, as the kernel takes them, so that devices.list shows them
// in the order of the specification.
func setDevicesV1(path string, rules []rule) error {
	files := map[bool]*os.File{}
	for allow, name := range map[bool]string{true: "devices.allow", false: "devices.deny"} {
		f, err := open(path, name, unix.O_WRONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		files[allow] = f
	}
	for _, r := range rules {
		if _, err := files[r.allow].WriteString(r.String()); err != nil {
			return fmt.Errorf("write %q: %w", r.String(), err)
		}
	}
	return nil
}

// String gives the rule as devices.allow takes it: "c 1:3 rwm".
func (r rule) String() string {
	if r.kind == 0 {
		return "a"
	}
	star := func(n int64) string { return pick(n < 0, "*", itoa(n)) }
	var b strings.Builder
	fmt.Fprintf(&b, "%c %s:%s ", r.kind, star(r.major), star(r.minor))
	for _, a := range []struct {
		bit  access
		name byte
	}{{read, 'r'}, {write, 'w'}, {mknod, 'm'}} {
		if r.access&a.bit != 0 {
			b.WriteByte(a.name)
		}
	}
	return b.String()
}

// inUserNamespace says whether this process is root only in a user namespace of its own.
func inUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && !(len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295")
}
