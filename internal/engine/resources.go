package engine

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	minMemory = 6 << 20 // bytes; docker's: below it no program gets far enough to say why it fails
	cpuPeriod = 100000  // µs, what --cpus is a share of (sched-bwc: the kernel's default)
	minQuota  = 1000    // µs, the kernel's own lower bound (kernel/sched/core.c, min_cfs_quota_period)
)

// check refuses limits that contradict each other or that the kernel would not take. What this
// machine's controllers can't do is the cgroup package's to say.
func (r *Resources) check(m *machine) error {
	for _, step := range []func(*machine) error{r.checkMemory, r.checkCPU, r.checkCpuset, r.checkRest, r.checkThrottles} {
		if err := step(m); err != nil {
			return err
		}
	}
	return nil
}

func (r *Resources) checkMemory(*machine) error {
	const verb = "set memory limit"
	size := func(n int64) string { return strconv.FormatInt(n, 10) + " bytes" }
	switch {
	case r.Memory < 0, r.Memory > 0 && r.Memory < minMemory:
		return invalid(verb, size(r.Memory), "the smallest memory limit is 6MB", "")
	case r.MemorySwap < -1:
		return invalid("set swap limit", size(r.MemorySwap), "it is negative", "use -1 for unlimited swap")
	case r.MemorySwap > 0 && r.Memory == 0:
		return invalid("set swap limit", size(r.MemorySwap), "it is the limit of memory and swap together and needs a memory limit", "give --memory too")
	case r.MemorySwap > 0 && r.MemorySwap < r.Memory:
		return invalid("set swap limit", size(r.MemorySwap), "it is the limit of memory and swap together and is smaller than the memory limit", "raise --memory-swap or lower --memory")
	case r.MemoryReservation < 0, r.MemoryReservation > 0 && r.MemoryReservation < minMemory:
		return invalid("set memory reservation", size(r.MemoryReservation), "the smallest reservation is 6MB", "")
	case r.Memory > 0 && r.MemoryReservation > r.Memory:
		return invalid("set memory reservation", size(r.MemoryReservation), "it is larger than the memory limit", "")
	case r.MemorySwappiness != nil && (*r.MemorySwappiness < -1 || *r.MemorySwappiness > 100):
		return invalid("set memory swappiness", strconv.FormatInt(*r.MemorySwappiness, 10), "it is between 0 and 100", "")
	}
	return nil
}

func (r *Resources) checkCPU(m *machine) error {
	if r.CPUs != "" {
		if r.CPUQuota != 0 || r.CPUPeriod != 0 {
			return invalid("set --cpus", r.CPUs, "it can't be combined with --cpu-period or --cpu-quota", "give one or the other")
		}
		if _, err := parseCPUs(r.CPUs, m.CPUs); err != nil {
			return err
		}
	}
	switch {
	case r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1000000):
		return invalid("set cpu period", strconv.FormatInt(r.CPUPeriod, 10), "it is between 1000 and 1000000 µs", "")
	case r.CPUQuota != 0 && r.CPUQuota != -1 && r.CPUQuota < minQuota:
		return invalid("set cpu quota", strconv.FormatInt(r.CPUQuota, 10), "it is at least 1000 µs", "")
	case r.CPUShares < 0:
		return invalid("set cpu shares", strconv.FormatInt(r.CPUShares, 10), "they are between 2 and 262144", "")
	}
	return nil
}

// parseCPUs turns "1.5" into billionths of a CPU, exactly: 0.29 × 100,000 in floating point is 28,999.
// cpus is how many the machine has.
func parseCPUs(s string, cpus int) (nano int64, err error) {
	limits := fmt.Sprintf("it is at least 0.01 and at most %d.00, as this machine has %d CPUs", cpus, cpus)
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" {
		whole = "0"
	}
	if len(fraction) > 9 {
		return 0, invalid("set --cpus", s, "it has more than nine digits after the point", "")
	}
	n, err := strconv.ParseUint(whole, 10, 31)
	if err != nil {
		return 0, invalid("set --cpus", s, "it is not a decimal number", "for example 1.5")
	}
	var f uint64
	if fraction != "" {
		if f, err = strconv.ParseUint((fraction + "000000000")[:9], 10, 64); err != nil {
			return 0, invalid("set --cpus", s, "it is not a decimal number", "for example 1.5")
		}
	}
	nano = int64(n)*1e9 + int64(f)
	if nano/(1e9/cpuPeriod) < minQuota || nano > int64(cpus)*1e9 {
		return 0, invalid("set --cpus", s, limits, "")
	}
	return nano, nil
}

func (r *Resources) checkCpuset(m *machine) error {
	for _, set := range []struct{ flag, want, have string }{
		{"--cpuset-cpus", r.CpusetCPUs, m.Online}, {"--cpuset-mems", r.CpusetMems, m.MemNodes},
	} {
		if set.want == "" {
			continue
		}
		want, err := parseSet(set.want)
		if err != nil {
			return invalid("set "+set.flag, set.want, err.Error(), "for example 0-2,4")
		}
		have, err := parseSet(set.have)
		if err != nil {
			continue // the kernel says no later
		}
		for n := range want {
			if !have[n] {
				return invalid("set "+set.flag, set.want, fmt.Sprintf("%d is not there: this machine has %s", n, set.have), "")
			}
		}
	}
	return nil
}

// parseSet reads the kernel's list format (cpuset(7)): "0-2,4".
func parseSet(s string) (map[int]bool, error) {
	const most = 1 << 13 // more CPUs than any kernel is built for
	set := map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		a, err1 := strconv.ParseUint(low, 10, 16)
		b, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil || a > b || b >= most {
			return nil, fmt.Errorf("%q is not a number or a range", part)
		}
		for n := a; n <= b; n++ {
			set[int(n)] = true
		}
	}
	return set, nil
}

func (r *Resources) checkRest(m *machine) error {
	switch {
	case r.BlkioWeight != 0 && (r.BlkioWeight < 10 || r.BlkioWeight > 1000):
		return invalid("set block I/O weight", strconv.Itoa(int(r.BlkioWeight)), "it is between 10 and 1000", "0 switches it off")
	case r.OomScoreAdj < -1000 || r.OomScoreAdj > 1000:
		return invalid("set OOM score", strconv.Itoa(r.OomScoreAdj), "it is between -1000 and 1000", "")
	case r.OomScoreAdj < m.OomMin && !m.Resource:
		return unsupported("set OOM score", strconv.Itoa(r.OomScoreAdj), fmt.Sprintf("below %d it needs the capability SYS_RESOURCE, which gourd itself does not have here", m.OomMin), "")
	}
	return nil
}

func (r *Resources) checkThrottles(*machine) error {
	for flag, list := range r.throttles() {
		for _, t := range list {
			if _, _, err := blockDevice(t.Path); err != nil {
				return container.Invalid("set "+flag, t.Path, err, "")
			}
			if t.Rate == 0 {
				return invalid("set "+flag, t.Path, "the rate is zero", "")
			}
		}
	}
	return nil
}

func (r *Resources) throttles() map[string][]Throttle {
	return map[string][]Throttle{
		"--device-read-bps": r.DeviceReadBps, "--device-write-bps": r.DeviceWriteBps,
		"--device-read-iops": r.DeviceReadIOps, "--device-write-iops": r.DeviceWriteIOps,
	}
}

// blockDevice finds the numbers of a block device.
func blockDevice(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, errText("it is not a block device")
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}

// spec is the resources as the OCI spec says them. They have been checked.
func (r *Resources) spec() *specs.LinuxResources {
	return &specs.LinuxResources{Memory: r.memorySpec(), CPU: r.cpuSpec(), Pids: r.pidsSpec(), BlockIO: r.blockSpec()}
}

func (r *Resources) memorySpec() *specs.LinuxMemory {
	m := &specs.LinuxMemory{}
	if r.Memory > 0 {
		m.Limit = &r.Memory
		swap := r.MemorySwap
		if swap == 0 && r.Memory <= math.MaxInt64/2 {
			swap = 2 * r.Memory // docker: as much swap as memory
		}
		m.Swap = &swap
	}
	if r.MemoryReservation > 0 {
		m.Reservation = &r.MemoryReservation
	}
	if r.MemorySwappiness != nil && *r.MemorySwappiness >= 0 {
		n := uint64(*r.MemorySwappiness)
		m.Swappiness = &n
	}
	if r.OomKillDisable {
		m.DisableOOMKiller = &r.OomKillDisable
	}
	if *m == (specs.LinuxMemory{}) {
		return nil
	}
	return m
}

func (r *Resources) cpuSpec() *specs.LinuxCPU {
	c := &specs.LinuxCPU{Cpus: r.CpusetCPUs, Mems: r.CpusetMems}
	if r.CPUs != "" {
		nano, _ := parseCPUs(r.CPUs, math.MaxInt32) // checked against the machine before
		period, quota := uint64(cpuPeriod), nano/(1e9/cpuPeriod)
		c.Period, c.Quota = &period, &quota
	}
	if r.CPUPeriod > 0 {
		period := uint64(r.CPUPeriod)
		c.Period = &period
	}
	if r.CPUQuota != 0 {
		c.Quota = &r.CPUQuota
	}
	if r.CPUShares > 0 {
		// The kernel takes 2 to 262144 and quietly moves what is outside (sched_group_set_shares).
		shares := uint64(min(max(r.CPUShares, 2), 262144))
		c.Shares = &shares
	}
	if *c == (specs.LinuxCPU{}) {
		return nil
	}
	return c
}

func (r *Resources) pidsSpec() *specs.LinuxPids {
	if r.PidsLimit == nil || *r.PidsLimit <= 0 {
		return nil
	}
	return &specs.LinuxPids{Limit: r.PidsLimit}
}

func (r *Resources) blockSpec() *specs.LinuxBlockIO {
	b := &specs.LinuxBlockIO{
		ThrottleReadBpsDevice:   throttleSpec(r.DeviceReadBps),
		ThrottleWriteBpsDevice:  throttleSpec(r.DeviceWriteBps),
		ThrottleReadIOPSDevice:  throttleSpec(r.DeviceReadIOps),
		ThrottleWriteIOPSDevice: throttleSpec(r.DeviceWriteIOps),
	}
	if r.BlkioWeight > 0 {
		b.Weight = &r.BlkioWeight
	}
	if b.Weight == nil && b.ThrottleReadBpsDevice == nil && b.ThrottleWriteBpsDevice == nil && b.ThrottleReadIOPSDevice == nil && b.ThrottleWriteIOPSDevice == nil {
		return nil
	}
	return b
}

func throttleSpec(list []Throttle) []specs.LinuxThrottleDevice {
	var out []specs.LinuxThrottleDevice
	for _, t := range list {
		major, minor, err := blockDevice(t.Path)
		if err != nil {
			continue // checked before; a device that was pulled since has no limit to hold
		}
		d := specs.LinuxThrottleDevice{Rate: t.Rate}
		d.Major, d.Minor = major, minor
		out = append(out, d)
	}
	return out
}

// readInt reads a file that holds one number.
func readInt(path string, otherwise int64) int64 {
	n, err := strconv.ParseInt(readTrimmed(path), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// findProgram finds one of gourd's own programs: where the environment says (GOURD_MONITOR), beside the
// running one, in libexec below the same prefix, or in PATH. "" if there is none.
func findProgram(name, env string) string {
	if env != "" {
		return env
	}
	if self, err := os.Executable(); err == nil {
		dir := filepath.Dir(self)
		for _, p := range []string{filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "gourd", name)} {
			if isProgram(p) {
				return p
			}
		}
	}
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		if p := filepath.Join(dir, name); filepath.IsAbs(dir) && isProgram(p) {
			return p
		}
	}
	return ""
}

func isProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
