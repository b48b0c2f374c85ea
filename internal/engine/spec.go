package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// spec says to the kernel what the draft means. It reads nothing and checks nothing: both were done.
// dir is the container's directory, root the path of its root file system.
func (d *draft) spec(dir, root string) *specs.Spec {
	r := d.req
	s := &specs.Spec{
		Version:     specs.Version,
		Root:        &specs.Root{Path: root, Readonly: r.ReadOnly},
		Hostname:    d.hostname,
		Domainname:  r.Domainname,
		Annotations: r.Annotations,
		Process:     d.processSpec(),
		Linux:       d.linuxSpec(),
	}
	user := d.storage.Mounts
	s.Mounts = append(defaultMounts(r, d.modes, user), fileMounts(d.filesDir(dir), r.ReadOnly, d.modes.UserNS(), user)...)
	s.Mounts = append(s.Mounts, user...)
	for i := range s.Mounts {
		if m := &s.Mounts[i]; slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap") {
			m.UIDMappings, m.GIDMappings = d.ids.MapUIDs(), d.ids.MapGIDs()
		}
	}
	if d.runtime != "" {
		// Other runtimes refuse a version that is newer than they are, and need nothing newer (crun 1.8.1).
		s.Version = "1.0.2"
	}
	if d.modes.UTS == modeHost {
		s.Hostname, s.Domainname = "", ""
	}
	return s
}

// initPath is where the monitor, which carries the program, puts gourd-init for --init.
const initPath = "/sbin/gourd-init"

func (d *draft) processSpec() *specs.Process {
	r := d.req
	args := d.program.Args()
	if r.Init {
		args = append([]string{initPath, "--"}, args...)
	}
	p := &specs.Process{
		Terminal: r.Tty, Args: args, Cwd: d.program.Workdir, Env: d.program.processEnv(d.envHostname(), r.Tty),
		Capabilities: capSpec(d.caps()), Rlimits: ulimitSpec(r.Ulimits), NoNewPrivileges: d.security.NoNewPrivs,
		ApparmorProfile: d.security.AppArmor, SelinuxLabel: d.security.SELinux, OOMScoreAdj: &r.Resources.OomScoreAdj,
	}
	if r.Tty && r.ConsoleSize != nil {
		p.ConsoleSize = &specs.Box{Height: uint(r.ConsoleSize.Rows), Width: uint(r.ConsoleSize.Cols)}
	}
	return p
}

func (d *draft) caps() []string {
	return capabilities(d.capAdd, d.capDrop, d.req.Privileged, d.machine.availableCaps(d.modes.UserNS()))
}

// envHostname is $HOSTNAME.
func (d *draft) envHostname() string {
	if d.modes.UTS == modeHost {
		return d.machine.Hostname
	}
	return d.hostname
}

// filesDir is where the hosts, hostname and resolv.conf files are: those of the container whose network
// is joined, else the container's own.
func (d *draft) filesDir(dir string) string {
	if d.modes.net != nil {
		return filepath.Join(filepath.Dir(dir), d.modes.net.ID)
	}
	return dir
}

func (d *draft) linuxSpec() *specs.Linux {
	r := d.req
	l := &specs.Linux{
		Namespaces: d.namespaces(), Resources: r.Resources.spec(), CgroupsPath: d.cgroupsPath(),
		Sysctl: sysctlSpec(r.Sysctls, d.modes.own(d.modes.Network)), Devices: d.devices.Nodes,
		RootfsPropagation: d.storage.Propagation,
	}
	l.Resources.Devices = d.devices.Rules
	if d.ids != nil {
		l.UIDMappings, l.GIDMappings = d.ids.MapUIDs(), d.ids.MapGIDs()
	}
	if !r.Privileged && !d.security.SystemPaths {
		l.MaskedPaths, l.ReadonlyPaths = maskedPaths(d.machine.Thermal), readonlyPaths
	}
	if r.TimeOffset != 0 {
		offset := specs.LinuxTimeOffset{Secs: int64(r.TimeOffset / 1e9), Nanosecs: uint32((r.TimeOffset%1e9 + 1e9) % 1e9)}
		if r.TimeOffset < 0 && offset.Nanosecs > 0 {
			offset.Secs-- // the nanoseconds of an offset are never negative (time_namespaces(7))
		}
		l.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": offset, "boottime": offset}
	}
	return l
}

// namespaces lists the new ones and the joined ones. A joined one has no path yet: the monitor puts that
// of the other container's process there at each start (Record.Modes says which container).
func (d *draft) namespaces() []specs.LinuxNamespace {
	m := d.modes
	list := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	for _, ns := range []struct {
		kind specs.LinuxNamespaceType
		mode string
	}{
		{specs.NetworkNamespace, m.Network},
		{specs.UTSNamespace, m.UTS},
		{specs.PIDNamespace, m.Pid},
		{specs.IPCNamespace, m.IPC},
		{specs.CgroupNamespace, m.Cgroup},
		{specs.UserNamespace, m.User},
	} {
		if ns.mode != modeHost {
			list = append(list, specs.LinuxNamespace{Type: ns.kind})
		}
	}
	if d.req.TimeOffset != 0 || d.runtime == "" && d.machine.Time {
		list = append(list, specs.LinuxNamespace{Type: specs.TimeNamespace})
	}
	return list
}

// cgroupsPath is below the parent: a slice's name under systemd on the unified hierarchy, else a path.
func (d *draft) cgroupsPath() string {
	parent := d.req.CgroupParent
	if d.systemdCgroup() {
		return cmpOr(parent, "gourd.slice") + ":gourd:" + d.id
	}
	return filepath.Join("/", cmpOr(parent, cgroupParent), d.id)
}

// systemdCgroup: systemd owns the unified hierarchy and must be asked for a scope.
func (d *draft) systemdCgroup() bool { return d.machine.Systemd && d.machine.V2 }

// checkCgroupParent refuses a parent that the cgroup driver can't take.
func (d *draft) checkCgroupParent() error {
	parent := d.req.CgroupParent
	isSlice := strings.HasSuffix(parent, ".slice")
	switch {
	case parent == "":
		return nil
	case strings.Contains(parent, "..") || strings.ContainsAny(parent, ":\x00\n"):
		return invalid("use --cgroup-parent", fmt.Sprintf("%q", parent), "it is not the path of a cgroup", "")
	case d.systemdCgroup() && (!isSlice || strings.Contains(parent, "/")):
		return invalid("use --cgroup-parent", parent, "under systemd it must be the name of a slice", "for example machine.slice")
	}
	return nil
}

// encodeSpec writes the spec with the seccomp profile, which is text already, put in its place: it is the
// largest part and never parsed here.
func encodeSpec(s *specs.Spec, seccomp json.RawMessage) ([]byte, error) {
	type linux struct {
		*specs.Linux
		Seccomp json.RawMessage `json:"seccomp,omitempty"`
	}
	type spec struct {
		*specs.Spec
		Linux linux `json:"linux"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(spec{s, linux{s.Linux, seccomp}}); err != nil {
		return nil, &container.Error{Verb: "write spec of container", Cause: err}
	}
	return b.Bytes(), nil
}
