package cgroup

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The files of the v1 controllers: Documentation/admin-guide/cgroup-v1 of the kernel.

func cpuV1(c *specs.LinuxCPU) []setting {
	var s []setting
	add := func(file, value string) { s = append(s, setting{controller: "cpu", file: file, value: value}) }
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
func memoryV1(m *specs.LinuxMemory) []setting {
	var s []setting
	add := func(file, value string) { s = append(s, setting{controller: "memory", file: file, value: value}) }
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

func blkioV1(b *specs.LinuxBlockIO) []setting {
	var s []setting
	add := func(file, other, value string) {
		s = append(s, setting{controller: "blkio", file: file, other: other, value: value})
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
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			add("blkio.throttle."+t.v1, "", fmt.Sprintf("%d:%d %d", d.Major, d.Minor, d.Rate))
		}
	}
	return s
}

// throttle is one kind of I/O limit with its names on v1 and v2.
type throttle struct {
	v1, v2  string
	devices []specs.LinuxThrottleDevice
}

func throttles(b *specs.LinuxBlockIO) []throttle {
	return []throttle{
		{"read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	}
}

func hugetlbV1(limits []specs.LinuxHugepageLimit) []setting {
	var s []setting
	for _, l := range limits {
		// The reservation limit (Linux 5.7) counts what is promised, so that a container is refused at
		// mmap and not killed at a page fault. Both are set, as the specification asks.
		s = append(s,
			setting{controller: "hugetlb", file: "hugetlb." + l.Pagesize + ".limit_in_bytes", value: utoa(l.Limit)},
			setting{controller: "hugetlb", file: "hugetlb." + l.Pagesize + ".rsvd.limit_in_bytes",
				other: "hugetlb." + l.Pagesize + ".limit_in_bytes", value: utoa(l.Limit)})
	}
	return s
}

// networkV1: network classes and priorities exist on v1 only.
func networkV1(n *specs.LinuxNetwork) []setting {
	var s []setting
	if n.ClassID != nil && *n.ClassID != 0 {
		s = append(s, setting{controller: "net_cls", file: "net_cls.classid", value: utoa(uint64(*n.ClassID))})
	}
	for _, p := range n.Priorities {
		s = append(s, setting{controller: "net_prio", file: "net_prio.ifpriomap", value: fmt.Sprintf("%s %d", p.Name, p.Priority)})
	}
	return s
}
