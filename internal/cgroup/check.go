package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/cgroup/devices"
	"gourd/internal/cgroup/limits"
	"gourd/internal/container"
)

// Check looks at limits before anything is made. An error is a value that no kernel takes, or one that
// this machine can't hold (container.ErrInvalid, ErrUnsupported); the strings are warnings for what
// will have no effect here. Docker's own rules (at least 6 MB, …) are the engine's, with Capacity.
func Check(r *specs.LinuxResources) ([]string, error) {
	if r == nil {
		return nil, nil
	}
	l, err := detect()
	if err != nil {
		return nil, err
	}
	return l.check(r)
}

func (l *layout) check(r *specs.LinuxResources) ([]string, error) {
	for _, check := range []func(*specs.LinuxResources) error{
		l.checkCPU, l.checkCpuset, l.checkMemory, l.checkBlockIO, l.checkHugetlb, l.checkUnified, l.checkControllers,
	} {
		if err := check(r); err != nil {
			return nil, err
		}
	}
	if _, err := devices.Parse(r.Devices); err != nil {
		return nil, err
	}
	return l.warnings(r), nil
}

// invalid is the error for a limit with a value that can't be.
func invalid(limit string, value any, why string, arg ...any) error {
	return container.Invalid("use "+limit, fmt.Sprint(value), fmt.Errorf(why, arg...), "")
}

// unsupported is the error for a limit that this machine can't hold.
func unsupported(limit, why, hint string) error {
	return &container.Error{Verb: "use " + limit, Kind: container.ErrUnsupported, Cause: errors.New(why), Hint: hint}
}

func (l *layout) checkCPU(r *specs.LinuxResources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	if given(c.Period) && (*c.Period < 1000 || *c.Period > 1000000) {
		return invalid("cpu period", *c.Period, "the kernel takes 1000 to 1000000 µs")
	}
	if given(c.Quota) && *c.Quota != -1 && *c.Quota < 1000 {
		return invalid("cpu quota", *c.Quota, "the kernel takes no quota below 1000 µs; -1 is no quota")
	}
	if given(c.Burst) && given(c.Quota) && *c.Quota > 0 && *c.Burst > uint64(*c.Quota) {
		return invalid("cpu burst", *c.Burst, "it is more than the quota, %d", *c.Quota)
	}
	if c.Idle != nil && *c.Idle != 0 && *c.Idle != 1 {
		return invalid("cpu idle", *c.Idle, "it is 0 or 1")
	}
	if given(c.RealtimeRuntime) || given(c.RealtimePeriod) {
		h := l.find("cpu")
		if h == nil || h.unified || unix.Access(h.mount+"/cpu.rt_runtime_us", unix.F_OK) != nil {
			return unsupported("realtime cpu limits", "only cgroup v1 on a kernel with CONFIG_RT_GROUP_SCHED has them", "leave them out")
		}
	}
	return nil
}

func (l *layout) checkCpuset(r *specs.LinuxResources) error {
	if r.CPU == nil {
		return nil
	}
	for _, c := range []struct{ limit, value, file string }{
		{"cpuset cpus", r.CPU.Cpus, "cpuset.cpus"}, {"cpuset mems", r.CPU.Mems, "cpuset.mems"},
	} {
		if c.value == "" {
			continue
		}
		want, err := limits.ParseNumbers(c.value)
		if err != nil {
			return invalid(c.limit, strconv.Quote(c.value), "%w", err)
		}
		have := l.cpusetList(c.file)
		allowed, err := limits.ParseNumbers(have)
		if err != nil || have == "" {
			continue // the controller is missing: checkControllers says so
		}
		if !allowed.Contains(want) {
			return invalid(c.limit, c.value, "this machine has %s", have)
		}
	}
	return nil
}

// cpusetList is what the root cpuset may use: "0-3".
func (l *layout) cpusetList(file string) string {
	h := l.find("cpuset")
	if h == nil {
		return ""
	}
	v, _ := readFile(h.mount, pick(h.unified, file+".effective", file))
	return strings.TrimSpace(v)
}

func (l *layout) checkMemory(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil {
		return nil
	}
	for _, c := range []struct {
		limit string
		value *int64
	}{{"memory limit", m.Limit}, {"memory reservation", m.Reservation}, {"memory+swap limit", m.Swap}} {
		if c.value != nil && *c.value < -1 {
			return invalid(c.limit, *c.value, "it is a number of bytes, or -1 for none")
		}
	}
	if given(m.Limit) && given(m.Swap) && *m.Swap > 0 && *m.Limit > *m.Swap {
		return invalid("memory+swap limit", *m.Swap, "memory+swap limit should be >= memory limit, %d", *m.Limit)
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		return invalid("memory swappiness", *m.Swappiness, "it is 0 to 100")
	}
	if given(m.Swap) && *m.Swap > 0 && !l.swapAccounting() {
		return unsupported("memory+swap limit", "this kernel does not account swap", "boot with swapaccount=1, or leave the limit out")
	}
	return nil
}

// swapAccounting: v1 kernels may have it switched off at boot; v2 always accounts.
func (l *layout) swapAccounting() bool {
	h := l.find("memory")
	return h != nil && (h.unified || unix.Access(h.mount+"/memory.memsw.limit_in_bytes", unix.F_OK) == nil)
}

func (l *layout) checkBlockIO(r *specs.LinuxResources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	weights := []*uint16{b.Weight}
	leaf := b.LeafWeight != nil && *b.LeafWeight != 0
	var devices []specs.LinuxBlockIODevice
	for _, w := range b.WeightDevice {
		weights = append(weights, w.Weight)
		leaf = leaf || w.LeafWeight != nil && *w.LeafWeight != 0
		devices = append(devices, w.LinuxBlockIODevice)
	}
	for _, w := range weights {
		if w != nil && *w != 0 && (*w < 10 || *w > 1000) {
			return invalid("block I/O weight", *w, "it is 10 to 1000")
		}
	}
	if leaf {
		return unsupported("block I/O leaf weight", "it went from Linux with the CFQ scheduler (5.0)", "leave it out")
	}
	for _, t := range limits.Throttles(b) {
		for _, d := range t.Devices {
			devices = append(devices, d.LinuxBlockIODevice)
		}
	}
	for _, d := range devices {
		if err := checkBlockDevice(d); err != nil {
			return err
		}
	}
	return nil
}

// checkBlockDevice: I/O is scheduled on whole disks, so the kernel takes no partition.
func checkBlockDevice(d specs.LinuxBlockIODevice) error {
	number := fmt.Sprintf("%d:%d", d.Major, d.Minor)
	dir := "/sys/dev/block/" + number
	if unix.Access(dir, unix.F_OK) != nil {
		return invalid("block I/O limit for device", number, "this machine has no such block device")
	}
	if b, err := os.ReadFile(dir + "/../dev"); err == nil && unix.Access(dir+"/partition", unix.F_OK) == nil {
		return invalid("block I/O limit for device", number, "it is a partition: limit its disk, %s", strings.TrimSpace(string(b)))
	}
	return nil
}

func (l *layout) checkHugetlb(r *specs.LinuxResources) error {
	for _, h := range r.HugepageLimits {
		if strings.ContainsAny(h.Pagesize, "/\n ") || h.Pagesize == "" {
			return invalid("huge page limit", strconv.Quote(h.Pagesize), "it is a page size such as 2MB")
		}
		// The kernel's directories are named in kB.
		kb, err := hugepageKB(h.Pagesize)
		if err != nil || unix.Access(fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB", kb), unix.F_OK) != nil {
			return invalid("huge page limit", strconv.Quote(h.Pagesize), "this machine has no huge pages of that size")
		}
	}
	return nil
}

// hugepageKB reads the kernel's spelling of page sizes: "64KB", "2MB", "1GB".
func hugepageKB(size string) (uint64, error) {
	for unit, shift := range map[string]int{"KB": 0, "MB": 10, "GB": 20} {
		if n, ok := strings.CutSuffix(size, unit); ok {
			v, err := strconv.ParseUint(n, 10, 32)
			return v << shift, err
		}
	}
	return 0, errors.New("no unit")
}

// checkUnified: the keys are names of v2 files, so their controller must be in the v2 hierarchy.
func (l *layout) checkUnified(r *specs.LinuxResources) error {
	if len(r.Unified) == 0 {
		return nil
	}
	u := l.unified()
	if u == nil {
		return unsupported("unified resources", "invalid configuration: cannot use unified on cgroup v1", "use the other fields")
	}
	for key := range r.Unified {
		controller, _, ok := strings.Cut(key, ".")
		switch {
		case strings.Contains(key, "/"):
			return invalid("unified resource", strconv.Quote(key), "it must be a file name (no slashes)")
		case !ok || controller == "":
			return invalid("unified resource", strconv.Quote(key), "it must be in the form CONTROLLER.PARAMETER")
		case controller != "cgroup" && !u.has(controller):
			return unsupported("unified resource "+strconv.Quote(key), fmt.Sprintf("it can't be set: controller %q not available", controller), "")
		}
	}
	return nil
}

// checkControllers: every limit needs a hierarchy that has its controller.
func (l *layout) checkControllers(r *specs.LinuxResources) error {
	g := &Group{layout: l}
	for i := range l.hierarchies {
		g.dirs = append(g.dirs, dir{hierarchy: &l.hierarchies[i]})
	}
	for _, s := range g.plan(r) {
		if g.place(s.Controller) == nil {
			return g.explain(s, errNoController)
		}
	}
	return nil
}

// warnings names what is asked for and does nothing here.
func (l *layout) warnings(r *specs.LinuxResources) []string {
	m := r.Memory
	if m == nil {
		return nil
	}
	var w []string
	if h := l.find("memory"); h != nil && h.unified {
		if m.Swappiness != nil {
			w = append(w, "memory swappiness has no effect on cgroup v2")
		}
		if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
			w = append(w, "the OOM killer can't be disabled on cgroup v2")
		}
	}
	//lint:ignore SA1019 what is given and can't be obeyed is said
	if given(m.Kernel) || given(m.KernelTCP) {
		w = append(w, "kernel memory has no limit of its own any more (Linux 5.4): it counts as memory")
	}
	return w
}

// given says that a limit is set: 0 means unset in the specification.
func given[T int64 | uint64](v *T) bool { return v != nil && *v != 0 }
