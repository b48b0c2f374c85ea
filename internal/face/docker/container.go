package docker

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gourd/internal/container"
	"gourd/internal/engine"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Container is docker's object for a container and, at its end, what only gourd has.
type Container struct {
	ID              string `json:"Id"`
	Created         string
	Path            string
	Args            []string
	State           *State
	Image           string
	ResolvConfPath  string
	HostnamePath    string
	HostsPath       string
	LogPath         string
	Name            string
	RestartCount    int
	Driver          string
	Platform        string
	MountLabel      string
	ProcessLabel    string
	AppArmorProfile string
	ExecIDs         []string
	HostConfig      *HostConfig
	GraphDriver     *GraphDriver `json:",omitempty"`
	SizeRw          *int64       `json:",omitempty"`
	SizeRootFs      *int64       `json:",omitempty"`
	Mounts          []MountPoint
	Config          *Config
	NetworkSettings *NetworkSettings
	Gourd           Extra
}

// Extra is what docker's object has no place for.
type Extra struct {
	Rootfs      string                           `json:",omitempty"` // --rootfs
	Monitor     int                              // pid of the container's gourd-monitor, 0 if it doesn't run
	Cgroup      string                           // below each hierarchy's mount point
	IDs         *container.IDRange               `json:",omitempty"` // the user namespace's range; none with the host's ids
	TimeOffsets map[string]specs.LinuxTimeOffset `json:",omitempty"`
	Notices     []string                         `json:",omitempty"` // what was said when it was made
}

// NewContainer translates a record and its spec.
func NewContainer(d *engine.Details) *Container {
	r, spec := d.Record, d.Spec
	command := slices.Concat(r.Entrypoint, r.Cmd)
	c := &Container{
		ID: r.ID, Created: stamp(r.Created), Args: []string{}, State: newState(&r.State), Image: r.ImageID,
		ResolvConfPath: d.ResolvConfPath, HostnamePath: d.HostnamePath, HostsPath: d.HostsPath, LogPath: d.LogPath,
		Name: "/" + r.Name, RestartCount: r.State.RestartCount, Driver: r.Driver, Platform: "linux",
		HostConfig: newHostConfig(r, spec), Mounts: newMounts(r.Mounts), Config: newConfig(r, spec), NetworkSettings: newNetworkSettings(r),
		ExecIDs: d.Execs, GraphDriver: newGraphDriver(r, d.RootFS),
	}
	if len(command) > 0 {
		c.Path, c.Args = command[0], command[1:]
	}
	if spec.Process != nil {
		c.AppArmorProfile, c.ProcessLabel = spec.Process.ApparmorProfile, spec.Process.SelinuxLabel
	}
	if spec.Linux != nil {
		c.MountLabel, c.Gourd.TimeOffsets = spec.Linux.MountLabel, spec.Linux.TimeOffsets
	}
	if d.SizeRW >= 0 {
		c.SizeRw, c.SizeRootFs = &d.SizeRW, &d.SizeRootFS
	}
	c.Gourd.Rootfs, c.Gourd.IDs, c.Gourd.Notices = r.Rootfs, r.IDs, r.Notices
	c.Gourd.Monitor, c.Gourd.Cgroup = r.State.Monitor.Pid, r.State.Cgroup
	return c
}

// stamp writes a time as the API does; one that has not come yet is year 1.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func newState(s *container.State) *State {
	is := func(status container.Status) bool { return s.Status == status }
	state := &State{
		Status: string(s.Status), Running: is(container.Running) || is(container.Paused) || is(container.Restarting),
		Paused: is(container.Paused), Restarting: is(container.Restarting), OOMKilled: s.OOMKilled, Dead: is(container.Dead),
		ExitCode: s.ExitCode, Error: s.Error, StartedAt: stamp(s.Started), FinishedAt: stamp(s.Finished),
	}
	if state.Running {
		state.Pid = s.Process.Pid
	}
	return state
}

func newConfig(r *container.Record, spec *specs.Spec) *Config {
	c := &Config{
		Hostname: spec.Hostname, Domainname: spec.Domainname, User: r.User, OpenStdin: r.OpenStdin, StdinOnce: r.OpenStdin,
		AttachStdout: true, AttachStderr: true, AttachStdin: r.OpenStdin, Cmd: r.Cmd, Entrypoint: r.Entrypoint, Image: r.Image,
		WorkingDir: r.Workdir, Labels: r.Labels, StopSignal: r.StopSignal, StopTimeout: r.StopTimeout, ExposedPorts: newPorts(r.Network.Exposed),
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	if spec.Process != nil {
		c.Tty, c.Env = spec.Process.Terminal, spec.Process.Env
	}
	for _, m := range r.Mounts {
		if m.Type == "volume" && m.Spelled == m.Destination {
			if c.Volumes == nil {
				c.Volumes = map[string]struct{}{}
			}
			c.Volumes[m.Destination] = struct{}{}
		}
	}
	return c
}

// newPorts spells ranges of exposed ports out: docker lists each port.
func newPorts(exposed []string) map[string]struct{} {
	var ports map[string]struct{}
	for _, e := range exposed {
		span, proto, found := strings.Cut(e, "/")
		if !found {
			proto = "tcp"
		}
		from, to, isRange := strings.Cut(span, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil {
			continue
		}
		if ports == nil {
			ports = map[string]struct{}{}
		}
		for p := first; p <= last; p++ {
			ports[strconv.FormatUint(p, 10)+"/"+proto] = struct{}{}
		}
	}
	return ports
}

func newMounts(mounts []container.Mount) []MountPoint {
	list := make([]MountPoint, 0, len(mounts))
	for _, m := range mounts {
		p := MountPoint{Type: m.Type, Name: m.Name, Source: m.Source, Destination: m.Destination, Mode: m.Mode, RW: m.RW, Propagation: m.Propagation}
		if m.Type == "volume" {
			p.Driver = "local"
		}
		list = append(list, p)
	}
	return list
}

func newNetworkSettings(r *container.Record) *NetworkSettings {
	s := &NetworkSettings{Ports: map[string][]PortBinding{}, Networks: map[string]*Endpoint{}}
	if newState(&r.State).Running {
		s.SandboxID = r.ID
		s.SandboxKey = filepath.Join("/proc", strconv.Itoa(r.State.Process.Pid), "ns/net")
	}
	for p := range newPorts(r.Network.Exposed) {
		s.Ports[p] = nil
	}
	for i := range r.Network.Endpoints {
		s.Networks[r.Network.Endpoints[i].Network] = newEndpoint(&r.Network.Endpoints[i])
	}
	if mode := networkMode(r); len(s.Networks) == 0 && !strings.HasPrefix(mode, "container:") {
		s.Networks[mode] = &Endpoint{}
	}
	return s
}

func newEndpoint(e *container.Endpoint) *Endpoint {
	s := &Endpoint{NetworkID: e.Network, MacAddress: e.MAC, Gateway: e.Gateway4, IPv6Gateway: e.Gateway6}
	if p, err := netip.ParsePrefix(e.IPv4); err == nil {
		s.IPAddress, s.IPPrefixLen = p.Addr().String(), p.Bits()
	}
	if p, err := netip.ParsePrefix(e.IPv6); err == nil {
		s.GlobalIPv6Address, s.GlobalIPv6PrefixLen = p.Addr().String(), p.Bits()
	}
	return s
}

// newGraphDriver tells where the layers are. The tree is mounted in the container's own mount namespace
// only, so there is no MergedDir on the host; /proc/PID/root is it while the container runs.
func newGraphDriver(r *container.Record, fs *container.RootFS) *GraphDriver {
	d := &GraphDriver{Name: r.Driver, Data: map[string]string{}}
	if fs == nil {
		return d
	}
	var lower []string
	for _, l := range fs.Layers {
		lower = append(lower, l.Dir+l.Image)
	}
	d.Data["LowerDir"] = strings.Join(lower, ":")
	if fs.Upper != "" {
		d.Data["UpperDir"], d.Data["WorkDir"] = fs.Upper, fs.Work
	}
	return d
}
