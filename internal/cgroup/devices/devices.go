// Package devices decides which device nodes the processes of a control group may use: by the lists of
// the v1 controller, by a BPF program on v2.
package devices

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gourd/internal/container"
)

// Access is the set of things done to a device, in the bits of the kernel's bpf_cgroup_dev_ctx.
type Access uint32

const (
	mknod Access = 1 << iota
	read
	write
	anyAccess = mknod | read | write
)

// Rule is one line of the device list. A zero kind is every device.
type Rule struct {
	Allow        bool
	Kind         byte  // 'b', 'c' or 0
	Major, Minor int64 // -1: all
	Access       Access
}

// Defaults are what every container may use beside its own list: the nodes that the OCI
// specification makes every runtime supply, terminals, and making (not opening) any node, so that
// unpacking a package with device files works.
var Defaults = []Rule{
	{true, 'c', -1, -1, mknod},
	{true, 'b', -1, -1, mknod},
	{true, 'c', 1, 3, anyAccess},    // null
	{true, 'c', 1, 5, anyAccess},    // zero
	{true, 'c', 1, 7, anyAccess},    // full
	{true, 'c', 1, 8, anyAccess},    // random
	{true, 'c', 1, 9, anyAccess},    // urandom
	{true, 'c', 5, 0, anyAccess},    // tty
	{true, 'c', 5, 2, anyAccess},    // ptmx
	{true, 'c', 136, -1, anyAccess}, // pts/N
}

// Parse checks and converts the specification's list.
func Parse(list []specs.LinuxDeviceCgroup) ([]Rule, error) {
	rules := make([]Rule, 0, len(list))
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
	return strconv.FormatInt(*n, 10)
}

func parseRule(d specs.LinuxDeviceCgroup) (Rule, error) {
	r := Rule{Allow: d.Allow, Major: -1, Minor: -1, Access: anyAccess}
	switch d.Type {
	case "", "a":
		return r, nil // every device, whatever the other fields say
	case "b", "c":
		r.Kind = d.Type[0]
	case "u":
		r.Kind = 'c' // unbuffered character device, mknod(1)'s other name
	default:
		return r, fmt.Errorf("type %q is not a, b or c", d.Type)
	}
	if d.Major != nil {
		r.Major = *d.Major
	}
	if d.Minor != nil {
		r.Minor = *d.Minor
	}
	if r.Major < -1 || r.Major > 0xfff || r.Minor < -1 || r.Minor > 0xfffff {
		return r, fmt.Errorf("no device has such a number")
	}
	if d.Access == "" {
		return r, nil
	}
	r.Access = 0
	for _, c := range d.Access {
		switch c {
		case 'r':
			r.Access |= read
		case 'w':
			r.Access |= write
		case 'm':
			r.Access |= mknod
		default:
			return r, fmt.Errorf("access %q is not of the letters r, w and m", d.Access)
		}
	}
	return r, nil
}

// AllowsAll says whether a list, applied in order, ends with every device allowed.
func AllowsAll(rules []Rule) bool {
	all := false
	for _, r := range rules {
		if r.Kind == 0 {
			all = r.Allow
		} else if !r.Allow {
			all = false
		}
	}
	return all
}

// ApplyV1 writes the lines one by one, as the kernel takes them, so that devices.list shows them
// in the order of the specification.
func ApplyV1(path string, rules []Rule) error {
	files := map[bool]*os.File{}
	for allow, name := range map[bool]string{true: "devices.allow", false: "devices.deny"} {
		f, err := os.OpenFile(filepath.Join(path, name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		files[allow] = f
	}
	for _, r := range rules {
		if _, err := files[r.Allow].WriteString(r.String()); err != nil {
			return fmt.Errorf("write %q: %w", r.String(), err)
		}
	}
	return nil
}

// String gives the rule as devices.allow takes it: "c 1:3 rwm".
func (r Rule) String() string {
	if r.Kind == 0 {
		return "a"
	}
	star := func(n int64) string {
		if n < 0 {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%c %s:%s ", r.Kind, star(r.Major), star(r.Minor))
	for _, a := range []struct {
		bit  Access
		name byte
	}{{read, 'r'}, {write, 'w'}, {mknod, 'm'}} {
		if r.Access&a.bit != 0 {
			b.WriteByte(a.name)
		}
	}
	return b.String()
}

// Closed is the rule that begins every list: no device at all.
var Closed = Rule{Major: -1, Minor: -1, Access: anyAccess}
