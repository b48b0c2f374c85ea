package engine

import (
	"context"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"gourd/internal/cgroup"
	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// Info gathers what `gourd info` says of the installation and the machine. What can't be found out is
// left empty: a broken part of the machine is what one asks this for.
func (e *Engine) Info(ctx context.Context) (*Info, error) {
	all, err := e.records()
	if err != nil {
		return nil, err
	}
	m := thisMachine()
	i := &Info{
		ConfigFile: e.cfg.File, Root: e.cfg.Root, State: e.cfg.State, Containers: len(all),
		LogDrivers: []string{"json-file", "none"}, Networks: []string{"bridge", "host", "none"},
		DefaultRuntime: cmpOr(e.cfg.DefaultRuntime, "gourd"), OSType: "linux", Architecture: architecture(),
		Name: m.Hostname, CPUs: m.CPUs, Memory: machineTimes().memory, OperatingSystem: operatingSystem(), Kernel: kernelRelease(),
	}
	for _, r := range all {
		switch r.State.Status {
		case container.Running, container.Restarting:
			i.Running++
		case container.Paused:
			i.Paused++
		default:
			i.Stopped++
		}
	}
	i.Runtimes = append([]string{"gourd"}, slices.Sorted(maps.Keys(e.cfg.Runtimes))...)
	i.Security = securityFeatures(&m)
	if images, err := e.Images(ctx); err == nil {
		i.Images = len(images)
	}
	if d, err := e.snapshots(e.cfg.StorageDriver); err == nil {
		i.Driver = d.Name()
	} else {
		i.Warnings = append(i.Warnings, err.Error())
	}
	i.cgroup(&m)
	return i, nil
}

func (i *Info) cgroup(m *machine) {
	i.CgroupVersion, i.CgroupDriver = "1", "cgroupfs"
	if m.V2 {
		i.CgroupVersion = "2"
		if m.Systemd {
			i.CgroupDriver = "systemd"
		}
	}
	if _, err := cgroup.Detect(); err != nil {
		i.Warnings = append(i.Warnings, err.Error())
	}
}

// securityFeatures are docker's words for the walls that containers get by default.
func securityFeatures(m *machine) []string {
	list := []string{"name=seccomp,profile=builtin", "name=userns", "name=cgroupns"}
	if m.AppArmor {
		list = append(list, "name=apparmor")
	}
	if m.SELinux {
		list = append(list, "name=selinux")
	}
	return list
}

// architecture is uname's word, as docker info shows it.
func architecture() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOARCH
	}
	return unix.ByteSliceToString(u.Machine[:])
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// operatingSystem reads os-release(5).
func operatingSystem() string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				return strings.Trim(value, `"'`)
			}
		}
	}
	return "Linux"
}
