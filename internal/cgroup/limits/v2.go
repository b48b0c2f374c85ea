package limits

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The files of the v2 controllers: Documentation/admin-guide/cgroup-v2.rst of the kernel.

func cpuV2(c *specs.LinuxCPU) []Setting {
	var s []Setting
	add := func(file, value string) { s = append(s, Setting{Controller: "cpu", File: file, Value: value}) }
	if c.Idle != nil && *c.Idle == 0 {
		add("cpu.idle", "0")
	}
	if isSetU(c.Shares) {
		add("cpu.weight", utoa(Weight(*c.Shares)))
	}
	if c.Idle != nil && *c.Idle != 0 {
		add("cpu.idle", itoa(*c.Idle))
	}
	if isSet(c.Quota) || isSetU(c.Period) {
		quota, period := "", ""
		if isSet(c.Quota) {
			quota = maxOr(*c.Quota)
		}
		if isSetU(c.Period) {
			period = utoa(*c.Period)
		}
		add("cpu.max", quota+" "+period)
	}
	if c.Burst != nil {
		add("cpu.max.burst", utoa(*c.Burst))
	}
	return s
}

// MergeCPUMax completes "QUOTA PERIOD", either of which may be missing, from what cpu.max holds.
func MergeCPUMax(value, old string) string {
	quota, period, _ := strings.Cut(value, " ")
	oldQuota, oldPeriod, _ := strings.Cut(strings.TrimSpace(old), " ")
	if quota == "" {
		quota = oldQuota
	}
	if period == "" {
		period = oldPeriod
	}
	return strings.TrimSpace(quota + " " + period)
}

// Weight turns v1 shares (2–262144, default 1024) into a v2 weight (1–10000, default 100) on the curve
// through both ends and both defaults that the field agreed on in 2025 (a linear scale made the
// default 39).
func Weight(shares uint64) uint64 {
	switch {
	case shares == 0:
		return 0
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// MemoryV2: swappiness has no v2 file, and the OOM killer can't be turned off (Check warns).
func MemoryV2(m *specs.LinuxMemory) []Setting {
	var s []Setting
	add := func(file, value string) { s = append(s, Setting{Controller: "memory", File: file, Value: value}) }
	if isSet(m.Limit) {
		add("memory.max", maxOr(*m.Limit))
	}
	if isSet(m.Reservation) {
		add("memory.low", maxOr(*m.Reservation))
	}
	switch {
	case isSet(m.Swap) && *m.Swap < 0:
		add("memory.swap.max", "max")
	case isSet(m.Swap) && isSet(m.Limit) && *m.Limit > 0:
		add("memory.swap.max", itoa(*m.Swap-*m.Limit))
	case isSet(m.Swap) && isSet(m.Limit):
		add("memory.swap.max", itoa(*m.Swap))
	case isSet(m.Swap):
		// The specification's number is memory and swap together, and the memory limit stays as it is.
		add("memory.swap.max", "+"+itoa(*m.Swap))
	case isSet(m.Limit) && *m.Limit == -1:
		add("memory.swap.max", "max")
	}
	return s
}

// SwapAbove turns "+TOTAL" into what memory.swap.max takes: the part above the memory limit.
func SwapAbove(total string, memory uint64) (string, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(total, "+"), 10, 64)
	if err != nil {
		return "", err
	}
	switch {
	case memory == math.MaxUint64:
		return "", errors.New("unable to set swap limit without memory limit")
	case n < memory:
		return "", errors.New("memory+swap limit should be >= memory limit")
	}
	return utoa(n - memory), nil
}

func ioV2(b *specs.LinuxBlockIO) []Setting {
	var s []Setting
	if b.Weight != nil && *b.Weight != 0 {
		s = append(s, ioWeight("", *b.Weight))
	}
	for _, w := range b.WeightDevice {
		if w.Weight != nil && *w.Weight != 0 {
			s = append(s, ioWeight(fmt.Sprintf("%d:%d ", w.Major, w.Minor), *w.Weight))
		}
	}
	for _, t := range Throttles(b) {
		for _, d := range t.Devices {
			// Rate 0 takes the limit away, as on v1.
			rate := pick(d.Rate == 0, "max", utoa(d.Rate))
			s = append(s, Setting{Controller: "io", File: "io.max", Value: fmt.Sprintf("%d:%d %s=%s", d.Major, d.Minor, t.V2, rate)})
		}
	}
	return s
}

// ioWeight: where BFQ schedules, io.bfq.weight takes the specification's number (10–1000) as it is;
// elsewhere io.weight has a range of its own.
func ioWeight(device string, weight uint16) Setting {
	return Setting{
		Controller: "io", File: "io.bfq.weight", Value: device + utoa(uint64(weight)),
		Other: "io.weight", OtherValue: device + utoa(IOWeight(weight)),
	}
}

// IOWeight stretches a blkio weight (10–1000) over the range of io.weight (1–10000), linearly.
func IOWeight(weight uint16) uint64 {
	if weight < 10 {
		return uint64(min(weight, 1))
	}
	return 1 + (uint64(weight)-10)*9999/990
}

func hugetlbV2(limits []specs.LinuxHugepageLimit) []Setting {
	var s []Setting
	for _, l := range limits {
		s = append(s,
			Setting{Controller: "hugetlb", File: "hugetlb." + l.Pagesize + ".max", Value: utoa(l.Limit)},
			Setting{Controller: "hugetlb", File: "hugetlb." + l.Pagesize + ".rsvd.max", Other: "hugetlb." + l.Pagesize + ".max", Value: utoa(l.Limit)})
	}
	return s
}

// unifiedFiles: these settings name their files themselves. They come last and win over what the other fields say.
func unifiedFiles(files map[string]string) []Setting {
	var s []Setting
	for _, file := range slices.Sorted(maps.Keys(files)) {
		s = append(s, Setting{File: file, Value: strings.TrimSpace(files[file])})
	}
	return s
}
