package limits

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The files of the v1 controllers: Documentation/admin-guide/cgroup-v1 of the kernel.

func cpuV1(c *specs.LinuxCPU) []Setting {
	var s []Setting
	add := func(file, value string) { s = append(s, Setting{Controller: "cpu", File: file, Value: value}) }
	// An idle group takes no shares: become idle last, cease to be so first.
	if c.Idle != nil && *c.Idle == 0 {
		add("cpu.idle", "0")
	}
	if isSetU(c.Shares) {
		add("cpu.shares", utoa(*c.Shares))
	}
	if c.Idle != nil && *c.Idle != 0 {
		add("cpu.idle", itoa(*c.Idle))
	}
	if isSetU(c.RealtimePeriod) {
		add("cpu.rt_period_us", utoa(*c.RealtimePeriod))
	}
	if isSet(c.RealtimeRuntime) {
		add("cpu.rt_runtime_us", itoa(*c.RealtimeRuntime))
	}
	if isSetU(c.Period) {
		add("cpu.cfs_period_us", utoa(*c.Period))
	}
	if isSet(c.Quota) {
		add("cpu.cfs_quota_us", itoa(*c.Quota))
	}
	if c.Burst != nil {
		add("cpu.cfs_burst_us", utoa(*c.Burst))
	}
	return s
}

// memoryV1: kernel and kernelTCP are left out; Linux has neither limit any more (5.4, 5.16) and the
// specification lets runtimes ignore them.
func memoryV1(m *specs.LinuxMemory) []Setting {
	var s []Setting
	add := func(file, value string) { s = append(s, Setting{Controller: "memory", File: file, Value: value}) }
	if isSet(m.Limit) {
		add("memory.limit_in_bytes", itoa(*m.Limit))
	}
	switch {
	case isSet(m.Swap):
		add("memory.memsw.limit_in_bytes", itoa(*m.Swap))
	case isSet(m.Limit) && *m.Limit == -1:
		// Memory without a limit and swap with one can't be: both go.
		add("memory.memsw.limit_in_bytes", "-1")
	}
	if isSet(m.Reservation) {
		add("memory.soft_limit_in_bytes", itoa(*m.Reservation))
	}
	if m.Swappiness != nil {
		add("memory.swappiness", utoa(*m.Swappiness))
	}
	if m.DisableOOMKiller != nil {
		add("memory.oom_control", pick(*m.DisableOOMKiller, "1", "0"))
	}
	return s
}

func blkioV1(b *specs.LinuxBlockIO) []Setting {
	var s []Setting
	add := func(file, other, value string) {
		s = append(s, Setting{Controller: "blkio", File: file, Other: other, Value: value})
	}
	if b.Weight != nil && *b.Weight != 0 {
		add("blkio.weight", "blkio.bfq.weight", utoa(uint64(*b.Weight)))
	}
	if b.LeafWeight != nil && *b.LeafWeight != 0 {
		add("blkio.leaf_weight", "", utoa(uint64(*b.LeafWeight)))
	}
	for _, w := range b.WeightDevice {
		if w.Weight != nil && *w.Weight != 0 {
			add("blkio.weight_device", "blkio.bfq.weight_device", fmt.Sprintf("%d:%d %d", w.Major, w.Minor, *w.Weight))
		}
		if w.LeafWeight != nil && *w.LeafWeight != 0 {
			add("blkio.leaf_weight_device", "", fmt.Sprintf("%d:%d %d", w.Major, w.Minor, *w.LeafWeight))
		}
	}
	for _, t := range Throttles(b) {
		for _, d := range t.Devices {
			add("blkio.throttle."+t.V1, "", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, d.Rate))
		}
	}
	return s
}

// Throttle is one kind of I/O limit with its names on v1 and v2.
type Throttle struct {
	V1, V2  string
	Devices []specs.LinuxThrottleDevice
}

// Throttles lists the four kinds.
func Throttles(b *specs.LinuxBlockIO) []Throttle {
	return []Throttle{
		{"read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	}
}

func hugetlbV1(limits []specs.LinuxHugepageLimit) []Setting {
	var s []Setting
	for _, l := range limits {
		// The reservation limit (Linux 5.7) counts what is promised, so that a container is refused at
		// mmap and not killed at a page fault. Both are set, as the specification asks.
		s = append(s,
			Setting{Controller: "hugetlb", File: "hugetlb." + l.Pagesize + ".limit_in_bytes", Value: utoa(l.Limit)},
			Setting{
				Controller: "hugetlb", File: "hugetlb." + l.Pagesize + ".rsvd.limit_in_bytes",
				Other: "hugetlb." + l.Pagesize + ".limit_in_bytes", Value: utoa(l.Limit),
			})
	}
	return s
}

// networkV1: network classes and priorities exist on v1 only.
func networkV1(n *specs.LinuxNetwork) []Setting {
	var s []Setting
	if n.ClassID != nil && *n.ClassID != 0 {
		s = append(s, Setting{Controller: "net_cls", File: "net_cls.classid", Value: utoa(uint64(*n.ClassID))})
	}
	for _, p := range n.Priorities {
		s = append(s, Setting{Controller: "net_prio", File: "net_prio.ifpriomap", Value: fmt.Sprintf("%s %d", p.Name, p.Priority)})
	}
	return s
}
