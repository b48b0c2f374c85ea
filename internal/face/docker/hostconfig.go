package docker

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
	"os"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// networkMode is the mode by docker's name for it.
func networkMode(r *container.Record) string {
	if m := r.Network.Mode; m != "" && m != "default" {
		return m
	}
	return "bridge"
}

// orElse is s, or what docker shows where nothing was said.
func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// newHostConfig is what is between the container and this machine: from the record what the user said,
// from the spec what it means.
func newHostConfig(r *container.Record, spec *specs.Spec) *HostConfig {
	h := &HostConfig{
		LogConfig:     LogConfig{Type: orElse(r.Log.Driver, "json-file"), Config: r.Log.Opts},
		NetworkMode:   networkMode(r),
		PortBindings:  map[string][]PortBinding{},
		RestartPolicy: RestartPolicy{Name: orElse(r.Restart.Name, "no"), MaximumRetryCount: r.Restart.MaxRetries},
		AutoRemove:    r.AutoRemove, Annotations: r.Annotations, CapAdd: r.CapAdd, CapDrop: r.CapDrop,
		CgroupnsMode: orElse(r.Modes.Cgroup, "private"), IpcMode: orElse(r.Modes.IPC, "private"),
		PidMode: r.Modes.Pid, UTSMode: r.Modes.UTS, UsernsMode: r.Modes.User,
		DNS: notNil(r.Network.DNS), DNSOptions: notNil(r.Network.DNSOptions), DNSSearch: notNil(r.Network.DNSSearch), ExtraHosts: r.Network.ExtraHosts,
		GroupAdd: r.GroupAdd, Privileged: r.Privileged, SecurityOpt: r.SecurityOpt, Tmpfs: r.Tmpfs, ShmSize: r.ShmSize,
		Runtime: orElse(r.Runtime, "gourd"), Init: &r.Init,
	}
	if h.LogConfig.Config == nil {
		h.LogConfig.Config = map[string]string{}
	}
	addMounts(h, r.Mounts)
	if spec.Root != nil {
		h.ReadonlyRootfs = spec.Root.Readonly
	}
	if spec.Process != nil {
		addProcess(h, spec.Process)
	}
	if spec.Linux != nil {
		h.Sysctls, h.MaskedPaths, h.ReadonlyPaths = askedSysctls(spec.Linux.Sysctl), spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths
	}
	h.Resources = newResources(r, spec, h.Ulimits)
	return h
}

// everySysctl is what every container with a network of its own gets, here and in docker: low ports and
// ping for all of its users. inspect shows what was asked for only.
var everySysctl = map[string]string{"net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0"}

func askedSysctls(set map[string]string) map[string]string {
	asked := maps.Clone(set)
	maps.DeleteFunc(asked, func(name, value string) bool { return everySysctl[name] == value })
	return asked
}

// notNil is a list that JSON shows as [] where docker shows it so.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// addMounts puts -v into Binds as it was spelled, --mount into Mounts.
func addMounts(h *HostConfig, mounts []container.Mount) {
	for _, m := range mounts {
		if m.Spelled != "" {
			h.Binds = append(h.Binds, m.Spelled)
			continue
		}
		source := m.Source
		if m.Name != "" {
			source = m.Name
		}
		h.Mounts = append(h.Mounts, MountRequest{Type: m.Type, Source: source, Target: m.Destination, ReadOnly: !m.RW})
	}
}

func addProcess(h *HostConfig, p *specs.Process) {
	if p.OOMScoreAdj != nil {
		h.OomScoreAdj = *p.OOMScoreAdj
	}
	if p.ConsoleSize != nil {
		h.ConsoleSize = [2]uint{p.ConsoleSize.Height, p.ConsoleSize.Width}
	}
	for _, l := range p.Rlimits {
		name := strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_"))
		h.Ulimits = append(h.Ulimits, Ulimit{Name: name, Soft: int64(l.Soft), Hard: int64(l.Hard)})
	}
}

func newResources(r *container.Record, spec *specs.Spec, ulimits []Ulimit) Resources {
	res := Resources{
		CgroupParent: r.CgroupParent, NanoCPUs: nanoCPUs(r.CPUs), Ulimits: ulimits, Devices: []Device{}, BlkioWeightDevice: []Throttle{},
	}
	for _, d := range r.Devices {
		res.Devices = append(res.Devices, Device{PathOnHost: d.Host, PathInContainer: d.Container, CgroupPermissions: d.Permissions})
	}
	if spec.Linux == nil || spec.Linux.Resources == nil {
		return res
	}
	limits := spec.Linux.Resources
	addMemory(&res, limits.Memory)
	addCPU(&res, limits.CPU)
	addBlockIO(&res, limits.BlockIO)
	if limits.Pids != nil {
		res.PidsLimit = limits.Pids.Limit
	}
	return res
}

// nanoCPUs is --cpus in docker's unit. The text was checked when the container was made.
func nanoCPUs(cpus string) int64 {
	n, ok := new(big.Rat).SetString(cpus)
	if !ok {
		return 0
	}
	n.Mul(n, big.NewRat(1e9, 1))
	return new(big.Int).Quo(n.Num(), n.Denom()).Int64()
}

func addMemory(res *Resources, m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	res.Memory, res.MemorySwap, res.MemoryReservation = deref(m.Limit), deref(m.Swap), deref(m.Reservation)
	res.OomKillDisable = m.DisableOOMKiller
	if m.Swappiness != nil {
		n := int64(*m.Swappiness)
		res.MemorySwappiness = &n
	}
}

// addCPU leaves period and quota at 0 where --cpus made them, as docker does.
func addCPU(res *Resources, c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	res.CPUShares, res.CpusetCpus, res.CpusetMems = int64(deref(c.Shares)), c.Cpus, c.Mems
	if res.NanoCPUs == 0 {
		res.CPUPeriod, res.CPUQuota = int64(deref(c.Period)), deref(c.Quota)
	}
	res.CPURealtimePeriod, res.CPURealtimeRuntime = int64(deref(c.RealtimePeriod)), deref(c.RealtimeRuntime)
}

func addBlockIO(res *Resources, b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	res.BlkioWeight = deref(b.Weight)
	res.BlkioDeviceReadBps, res.BlkioDeviceWriteBps = throttles(b.ThrottleReadBpsDevice), throttles(b.ThrottleWriteBpsDevice)
	res.BlkioDeviceReadIOps, res.BlkioDeviceWriteIOps = throttles(b.ThrottleReadIOPSDevice), throttles(b.ThrottleWriteIOPSDevice)
}

func throttles(list []specs.LinuxThrottleDevice) []Throttle {
	var out []Throttle
	for _, t := range list {
		out = append(out, Throttle{Path: devicePath(t.Major, t.Minor), Rate: t.Rate})
	}
	return out
}

// devicePath finds a block device's name; one that is gone stays a number.
func devicePath(major, minor int64) string {
	number := fmt.Sprintf("%d:%d", major, minor)
	b, err := os.ReadFile("/sys/dev/block/" + number + "/uevent")
	if err != nil {
		return number
	}
	for line := range bytes.Lines(b) {
		if name, found := bytes.CutPrefix(bytes.TrimSpace(line), []byte("DEVNAME=")); found {
			return "/dev/" + string(name)
		}
	}
	return number
}

func deref[T any](p *T) (zero T) {
	if p == nil {
		return zero
	}
	return *p
}
