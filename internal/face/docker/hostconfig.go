package docker

import (
	"bytes"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"gourd/internal/container"

	"github.com/moby/moby/api/types/blkiodev"
	api "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func itoa(n int) string { return strconv.Itoa(n) }

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
func newHostConfig(r *container.Record, spec *specs.Spec) *api.HostConfig {
	h := &api.HostConfig{
		LogConfig:     api.LogConfig{Type: orElse(r.Log.Driver, "json-file"), Config: r.Log.Opts},
		NetworkMode:   api.NetworkMode(networkMode(r)),
		PortBindings:  network.PortMap{},
		RestartPolicy: api.RestartPolicy{Name: api.RestartPolicyMode(orElse(r.Restart.Name, "no")), MaximumRetryCount: r.Restart.MaxRetries},
		AutoRemove:    r.AutoRemove, Annotations: r.Annotations, CapAdd: r.CapAdd, CapDrop: r.CapDrop,
		CgroupnsMode: api.CgroupnsMode(orElse(r.Modes.Cgroup, "private")), IpcMode: api.IpcMode(orElse(r.Modes.IPC, "private")),
		PidMode: api.PidMode(r.Modes.Pid), UTSMode: api.UTSMode(r.Modes.UTS), UsernsMode: api.UsernsMode(r.Modes.User),
		DNS: newAddresses(r.Network.DNS), DNSOptions: r.Network.DNSOptions, DNSSearch: r.Network.DNSSearch, ExtraHosts: r.Network.ExtraHosts,
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
		h.Sysctls, h.MaskedPaths, h.ReadonlyPaths = spec.Linux.Sysctl, spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths
	}
	h.Resources = newResources(r, spec, h.Ulimits)
	return h
}

func newAddresses(list []string) []netip.Addr {
	addrs := []netip.Addr{}
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// addMounts puts -v into Binds as it was spelled, --mount into Mounts.
func addMounts(h *api.HostConfig, mounts []container.Mount) {
	for _, m := range mounts {
		if m.Spelled != "" {
			h.Binds = append(h.Binds, m.Spelled)
			continue
		}
		source := m.Source
		if m.Name != "" {
			source = m.Name
		}
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.Type(m.Type), Source: source, Target: m.Destination, ReadOnly: !m.RW})
	}
}

func addProcess(h *api.HostConfig, p *specs.Process) {
	if p.OOMScoreAdj != nil {
		h.OomScoreAdj = *p.OOMScoreAdj
	}
	if p.ConsoleSize != nil {
		h.ConsoleSize = [2]uint{p.ConsoleSize.Height, p.ConsoleSize.Width}
	}
	for _, l := range p.Rlimits {
		name := strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_"))
		h.Ulimits = append(h.Ulimits, &api.Ulimit{Name: name, Soft: int64(l.Soft), Hard: int64(l.Hard)})
	}
}

func newResources(r *container.Record, spec *specs.Spec, ulimits []*api.Ulimit) api.Resources {
	res := api.Resources{
		CgroupParent: r.CgroupParent, NanoCPUs: nanoCPUs(r.CPUs), Ulimits: ulimits, Devices: []api.DeviceMapping{}, BlkioWeightDevice: []*blkiodev.WeightDevice{},
	}
	for _, d := range r.Devices {
		res.Devices = append(res.Devices, api.DeviceMapping{PathOnHost: d.Host, PathInContainer: d.Container, CgroupPermissions: d.Permissions})
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

func addMemory(res *api.Resources, m *specs.LinuxMemory) {
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
func addCPU(res *api.Resources, c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	res.CPUShares, res.CpusetCpus, res.CpusetMems = int64(deref(c.Shares)), c.Cpus, c.Mems
	if res.NanoCPUs == 0 {
		res.CPUPeriod, res.CPUQuota = int64(deref(c.Period)), deref(c.Quota)
	}
	res.CPURealtimePeriod, res.CPURealtimeRuntime = int64(deref(c.RealtimePeriod)), deref(c.RealtimeRuntime)
}

func addBlockIO(res *api.Resources, b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	res.BlkioWeight = deref(b.Weight)
	res.BlkioDeviceReadBps, res.BlkioDeviceWriteBps = throttles(b.ThrottleReadBpsDevice), throttles(b.ThrottleWriteBpsDevice)
	res.BlkioDeviceReadIOps, res.BlkioDeviceWriteIOps = throttles(b.ThrottleReadIOPSDevice), throttles(b.ThrottleWriteIOPSDevice)
}

func throttles(list []specs.LinuxThrottleDevice) []*blkiodev.ThrottleDevice {
	var out []*blkiodev.ThrottleDevice
	for _, t := range list {
		out = append(out, &blkiodev.ThrottleDevice{Path: devicePath(t.Major, t.Minor), Rate: t.Rate})
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
