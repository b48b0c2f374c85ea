package engine

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// deviceSet is the devices of a container beside the default ones, which the runtime makes.
type deviceSet struct {
	Nodes []specs.LinuxDevice
	Rules []specs.LinuxDeviceCgroup
}

// defaultDeviceRules are docker's: making any node is allowed (using it is not), and the default devices
// may be used. Numbers: Documentation/admin-guide/devices.txt.
func defaultDeviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}, deviceRule("c", -1, -1, "m"), deviceRule("b", -1, -1, "m")}
	for _, n := range [][2]int64{
		{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, // null, zero, full, random, urandom
		{5, 0}, {5, 1}, {5, 2}, // tty, console, ptmx
		{136, -1}, // the ends of pseudo-terminals
	} {
		rules = append(rules, deviceRule("c", n[0], n[1], "rwm"))
	}
	return rules
}

// deviceRule allows access to a device; -1 is any number.
func deviceRule(kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	rule := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: access}
	if major >= 0 {
		rule.Major = &major
	}
	if minor >= 0 {
		rule.Minor = &minor
	}
	return rule
}

// planDevices checks the devices and finds what they are. A privileged container has all of the host's.
func planDevices(r *CreateRequest) (*deviceSet, error) {
	if r.Privileged {
		return hostDevices()
	}
	set := &deviceSet{Rules: defaultDeviceRules()}
	for i := range r.Devices {
		d := &r.Devices[i]
		if d.Container == "" {
			d.Container = d.Host
		}
		if d.Permissions == "" {
			d.Permissions = "rwm"
		}
		if strings.Trim(d.Permissions, "rwm") != "" || len(d.Permissions) > 3 {
			return nil, invalid("use device", d.Host, fmt.Sprintf("%q is not a set of the permissions r, w and m", d.Permissions), "for example rw")
		}
		dest, err := cleanDestination("use device", d.Container)
		if err != nil {
			return nil, err
		}
		if err := set.add(d.Host, dest, d.Permissions); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// add takes a device, or every device below a directory.
func (s *deviceSet) add(host, dest, access string) error {
	if !filepath.IsAbs(host) {
		return invalid("use device", host, "it is not an absolute path", "")
	}
	real, err := filepath.EvalSymlinks(host) // /dev/cdrom
	if err != nil {
		return container.Invalid("use device", host, err, "")
	}
	st, err := os.Stat(real)
	if err != nil {
		return container.Invalid("use device", host, err, "")
	}
	if !st.IsDir() {
		return s.node(real, dest, access)
	}
	found := false
	err = filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeDevice == 0 {
			return err
		}
		found = true
		return s.node(p, path.Join(dest, strings.TrimPrefix(p, real)), access)
	})
	if err == nil && !found {
		return invalid("use device", host, "there is no device in this directory", "")
	}
	return err
}

func (s *deviceSet) node(host, dest, access string) error {
	var st unix.Stat_t
	if err := unix.Stat(host, &st); err != nil {
		return container.Invalid("use device", host, err, "")
	}
	kind := "c"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
	case unix.S_IFBLK:
		kind = "b"
	default:
		return invalid("use device", host, "it is not a device", "")
	}
	major, minor := int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	if slices.ContainsFunc(s.Nodes, func(d specs.LinuxDevice) bool { return d.Path == dest }) {
		return invalid("use device", dest, "a device is there already", "give each destination once")
	}
	mode := fs.FileMode(st.Mode & 0o7777)
	s.Nodes = append(s.Nodes, specs.LinuxDevice{Path: dest, Type: kind, Major: major, Minor: minor, FileMode: &mode, UID: &st.Uid, GID: &st.Gid})
	if access != "" {
		s.Rules = append(s.Rules, deviceRule(kind, major, minor, access))
	}
	return nil
}

// hostDevices are all devices below /dev but those that each container has of its own.
func hostDevices() (*deviceSet, error) {
	s := &deviceSet{Rules: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	own := []string{"/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/console", "/dev/ptmx"}
	standard := []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}
	err := filepath.WalkDir("/dev", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // it vanished
		case slices.Contains(own, p) && d.IsDir():
			return fs.SkipDir
		case d.Type()&fs.ModeDevice == 0 || slices.Contains(own, p) || slices.Contains(standard, p):
			return nil
		}
		return s.node(p, p, "")
	})
	return s, err
}
