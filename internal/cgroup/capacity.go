package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Capacity is what the engine's validation needs to know of the machine.
type Capacity struct {
	Mode        Mode
	CPUs        int    // that containers may use
	CPUList     string // the same as a list: "0-3"
	MemList     string // memory nodes: "0"
	Memory      uint64 // bytes of RAM
	Controllers []string
	// What limits the kernel has.
	SwapLimit, OOMKillDisable, Swappiness, CPUQuota, CPURealtime, CPUIdle bool
}

// Measure gives the machine's capacity.
func Measure() (*Capacity, error) {
	l, err := detect()
	if err != nil {
		return nil, err
	}
	c := &Capacity{Mode: l.mode, CPUList: l.cpusetList("cpuset.cpus"), MemList: l.cpusetList("cpuset.mems"), SwapLimit: l.swapAccounting()}
	for _, h := range l.hierarchies {
		c.Controllers = append(c.Controllers, h.controllers...)
	}
	if c.CPUList == "" {
		b, _ := os.ReadFile("/sys/devices/system/cpu/online")
		c.CPUList = strings.TrimSpace(string(b))
	}
	cpus, err := ParseList(c.CPUList)
	if err != nil {
		return nil, fmt.Errorf("read the list of CPUs: %w", err)
	}
	c.CPUs = cpus.count()
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, os.NewSyscallError("sysinfo", err)
	}
	c.Memory = uint64(info.Totalram) * uint64(info.Unit)
	v1 := func(controller, file string) bool {
		h := l.find(controller)
		return h != nil && !h.unified && unix.Access(h.mount+"/"+file, unix.F_OK) == nil
	}
	c.OOMKillDisable = v1("memory", "memory.oom_control")
	c.Swappiness = v1("memory", "memory.swappiness")
	c.CPURealtime = v1("cpu", "cpu.rt_runtime_us")
	h := l.find("cpu")
	c.CPUQuota = h != nil && (h.unified || v1("cpu", "cpu.cfs_quota_us"))
	c.CPUIdle = h != nil && (h.unified || v1("cpu", "cpu.idle"))
	return c, nil
}

// NumberList is a set of small numbers as cpuset files spell it: "0-2,7".
type NumberList [][2]int // first and last of each range

// maxNumber is more than any CPU or memory node has (CONFIG_NR_CPUS is at most 8192).
const maxNumber = 1 << 16

// ParseList reads a list of CPUs or memory nodes.
func ParseList(s string) (NumberList, error) {
	var l NumberList
	for part := range strings.SplitSeq(strings.TrimSpace(s), ",") {
		if part == "" {
			continue // the kernel takes "0,,1" too
		}
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", from)
		}
		last := first
		if isRange {
			if last, err = strconv.ParseUint(to, 10, 31); err != nil {
				return nil, fmt.Errorf("%q is not a number", to)
			}
		}
		if last < first || last >= maxNumber {
			return nil, fmt.Errorf("%q is not a range", part)
		}
		l = append(l, [2]int{int(first), int(last)})
	}
	if len(l) == 0 && strings.TrimSpace(s) != "" {
		return nil, errors.New("the list is empty")
	}
	return l, nil
}

// set gives the numbers one by one.
func (l NumberList) set() map[int]bool {
	m := map[int]bool{}
	for _, r := range l {
		for n := r[0]; n <= r[1]; n++ {
			m[n] = true
		}
	}
	return m
}

func (l NumberList) count() int { return len(l.set()) }

// contains says whether every number of the other list is in this one.
func (l NumberList) contains(other NumberList) bool {
	have := l.set()
	for n := range other.set() {
		if !have[n] {
			return false
		}
	}
	return true
}

// hugepageSizes lists the kernel's huge page sizes as the hugetlb controller spells them: "2MB".
func hugepageSizes() []string {
	entries, _ := os.ReadDir("/sys/kernel/mm/hugepages")
	var sizes []string
	for _, e := range entries {
		n := strings.TrimSuffix(strings.TrimPrefix(e.Name(), "hugepages-"), "kB")
		kb, err := strconv.ParseUint(n, 10, 64)
		switch {
		case err != nil:
		case kb >= 1<<20:
			sizes = append(sizes, utoa(kb>>20)+"GB")
		case kb >= 1<<10:
			sizes = append(sizes, utoa(kb>>10)+"MB")
		default:
			sizes = append(sizes, utoa(kb)+"KB")
		}
	}
	return sizes
}
