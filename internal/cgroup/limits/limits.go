// Package limits says which files of a control group hold which limits: it turns an OCI LinuxResources
// into a list of file names and values, in the form of cgroup v1 and of v2. It touches nothing.
package limits

import (
	"maps"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Setting is one value for one file of the group.
type Setting struct {
	Controller string // which hierarchy's directory; "" the v2 one
	File       string
	Value      string
	// Other is the file's name where the kernel has no File (blkio.bfq.weight for blkio.weight).
	// OtherValue is its value if that differs.
	Other, OtherValue string
}

// Plan is everything in r but the devices. v2 says whether a controller is in the v2 hierarchy. Where
// the order counts for the kernel, it is right for a new group.
func Plan(r *specs.LinuxResources, v2 func(controller string) bool) []Setting {
	var s []Setting
	add := func(more []Setting) { s = append(s, more...) }
	if r.CPU != nil {
		add(pick(v2("cpu"), cpuV2, cpuV1)(r.CPU))
		add(cpuset(r.CPU))
	}
	if r.Memory != nil {
		add(pick(v2("memory"), MemoryV2, memoryV1)(r.Memory))
	}
	if r.Pids != nil {
		add(pids(r.Pids))
	}
	if r.BlockIO != nil {
		if v2("io") {
			add(ioV2(r.BlockIO))
		} else {
			add(blkioV1(r.BlockIO))
		}
	}
	add(pick(v2("hugetlb"), hugetlbV2, hugetlbV1)(r.HugepageLimits))
	if r.Network != nil {
		add(networkV1(r.Network))
	}
	add(rdma(r.Rdma))
	return append(s, unifiedFiles(r.Unified)...)
}

func pick[T any](v2 bool, a, b T) T {
	if v2 {
		return a
	}
	return b
}

func itoa(v int64) string   { return strconv.FormatInt(v, 10) }
func utoa(v uint64) string  { return strconv.FormatUint(v, 10) }
func maxOr(v int64) string  { return pick(v < 0, "max", itoa(v)) }
func isSet(v *int64) bool   { return v != nil && *v != 0 }
func isSetU(v *uint64) bool { return v != nil && *v != 0 }

// cpuset settings are the same on v1 and v2.
func cpuset(c *specs.LinuxCPU) []Setting {
	var s []Setting
	if c.Cpus != "" {
		s = append(s, Setting{Controller: "cpuset", File: "cpuset.cpus", Value: c.Cpus})
	}
	if c.Mems != "" {
		s = append(s, Setting{Controller: "cpuset", File: "cpuset.mems", Value: c.Mems})
	}
	return s
}

// pids: a negative limit is none. 0 would let nothing start; runc and systemd make it 1.
func pids(p *specs.LinuxPids) []Setting {
	if p.Limit == nil {
		return nil
	}
	v := *p.Limit
	if v == 0 {
		v = 1
	}
	return []Setting{{Controller: "pids", File: "pids.max", Value: maxOr(v)}}
}

// rdma settings are the same on v1 and v2.
func rdma(devices map[string]specs.LinuxRdma) []Setting {
	var s []Setting
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		l, v := devices[name], name
		if l.HcaHandles != nil {
			v += " hca_handle=" + utoa(uint64(*l.HcaHandles))
		}
		if l.HcaObjects != nil {
			v += " hca_object=" + utoa(uint64(*l.HcaObjects))
		}
		s = append(s, Setting{Controller: "rdma", File: "rdma.max", Value: v})
	}
	return s
}
