package cgroup

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gourd/internal/cgroup/limits"
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
	cpus, err := limits.ParseNumbers(c.CPUList)
	if err != nil {
		return nil, fmt.Errorf("read the list of CPUs: %w", err)
	}
	c.CPUs = cpus.Count()
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
			sizes = append(sizes, strconv.FormatUint(kb>>20, 10)+"GB")
		case kb >= 1<<10:
			sizes = append(sizes, strconv.FormatUint(kb>>10, 10)+"MB")
		default:
			sizes = append(sizes, strconv.FormatUint(kb, 10)+"KB")
		}
	}
	return sizes
}
