package systemd

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/cgroup/devices"
	"gourd/internal/cgroup/limits"
	"gourd/internal/container"
)

func invalid(what, value string, cause error) error {
	return container.Invalid("use "+what, value, cause, "")
}

// properties collects the properties of a unit (systemd.resource-control(5),
// org.freedesktop.systemd1(5)).
type properties struct {
	v2      bool
	version int // of systemd
	list    []sd.Property
}

func (p *properties) add(name string, value any) {
	p.list = append(p.list, sd.Property{Name: name, Value: dbus.MakeVariant(value)})
}

// accounting makes systemd keep every controller on, limits or not.
func (p *properties) accounting() {
	for _, name := range []string{"CPUAccounting", "MemoryAccounting", "TasksAccounting"} {
		p.add(name, true)
	}
	if p.v2 {
		p.add("IOAccounting", true)
	} else {
		p.add("BlockIOAccounting", true)
	}
}

// limits adds what systemd has a property for. The rest is only written to the files.
func (p *properties) limits(r *specs.LinuxResources) error {
	if r.CPU != nil {
		if err := p.cpu(r.CPU); err != nil {
			return err
		}
	}
	if m := r.Memory; m != nil {
		p.memory(m)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		limit := *r.Pids.Limit
		if limit == 0 {
			limit = 1 // systemd takes no 0
		}
		p.add("TasksMax", infinite(limit))
	}
	if b := r.BlockIO; b != nil && b.Weight != nil && *b.Weight != 0 {
		if p.v2 {
			p.add("IOWeight", limits.IOWeight(*b.Weight))
		} else {
			p.add("BlockIOWeight", uint64(*b.Weight))
		}
	}
	return p.unified(r.Unified)
}

// infinite turns a negative limit into systemd's "infinity".
func infinite(v int64) uint64 {
	if v < 0 {
		return math.MaxUint64
	}
	return uint64(v)
}

// number reads a number of a v2 file, where "max" is systemd's infinity.
func number(s string) (uint64, error) {
	if s == "max" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// set says that a limit is given: 0 means unset in the specification.
func set[T int64 | uint64](v *T) bool { return v != nil && *v != 0 }

func (p *properties) cpu(c *specs.LinuxCPU) error {
	idle := c.Idle != nil && *c.Idle == 1 && p.v2 && p.version >= 252
	switch {
	case idle:
		p.add("CPUWeight", uint64(0)) // how systemd spells SCHED_IDLE
	case set(c.Shares) && p.v2:
		p.add("CPUWeight", limits.Weight(*c.Shares))
	case set(c.Shares):
		p.add("CPUShares", *c.Shares)
	}
	if set(c.Quota) || set(c.Period) {
		p.quota(c.Quota, c.Period)
	}
	for name, list := range map[string]string{"AllowedCPUs": c.Cpus, "AllowedMemoryNodes": c.Mems} {
		if list == "" || p.version < 244 || !p.v2 {
			continue
		}
		if err := p.numbers(name, list); err != nil {
			return err
		}
	}
	return nil
}

// quota: systemd has CPU time per second. It keeps the number in steps of 10 ms and would write a
// smaller one to the file, so it is rounded up; the exact one is written after.
func (p *properties) quota(quota *int64, period *uint64) {
	usec := uint64(100000)
	if set(period) {
		usec = *period
		if p.version >= 242 {
			p.add("CPUQuotaPeriodUSec", usec)
		}
	}
	if !set(quota) {
		return
	}
	perSecond := uint64(math.MaxUint64)
	if *quota > 0 {
		perSecond = uint64(*quota) * 1000000 / usec
		if rest := perSecond % 10000; rest != 0 {
			perSecond += 10000 - rest
		}
	}
	p.add("CPUQuotaPerSecUSec", perSecond)
}

// numbers adds a list of CPUs or nodes as the bit array that systemd takes, lowest first.
func (p *properties) numbers(name, list string) error {
	l, err := limits.ParseNumbers(list)
	if err != nil {
		return invalid(name, list, err)
	}
	var bits []byte
	for n := range l.Set() {
		for len(bits) <= n/8 {
			bits = append(bits, 0)
		}
		bits[n/8] |= 1 << (n % 8)
	}
	p.add(name, bits)
	return nil
}

func (p *properties) memory(m *specs.LinuxMemory) {
	if !p.v2 {
		if set(m.Limit) {
			p.add("MemoryLimit", infinite(*m.Limit))
		}
		return
	}
	for _, s := range limits.MemoryV2(m) {
		// A sum without a memory limit is for the file alone: the limit must be read from there.
		if v, err := number(s.Value); err == nil && !strings.HasPrefix(s.Value, "+") {
			p.add(unifiedNames[s.File], v)
		}
	}
}

// unifiedNames are the v2 files with a property that takes the same number.
var unifiedNames = map[string]string{
	"memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin", "memory.max": "MemoryMax",
	"memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight",
}

// unified adds the files that systemd has a property for.
func (p *properties) unified(files map[string]string) error {
	for _, file := range slices.Sorted(maps.Keys(files)) {
		value := strings.TrimSpace(files[file])
		name, known := unifiedNames[file]
		switch {
		case known:
			v, err := number(value)
			if err != nil {
				return invalid(file, value, err)
			}
			p.add(name, v)
		case file == "cpuset.cpus":
			if err := p.numbers("AllowedCPUs", value); err != nil {
				return err
			}
		case file == "cpuset.mems":
			if err := p.numbers("AllowedMemoryNodes", value); err != nil {
				return err
			}
		case file == "cpu.max":
			quota, period, err := parseCPUMax(value)
			if err != nil {
				return invalid(file, value, err)
			}
			p.quota(&quota, &period)
		}
	}
	return nil
}

// parseCPUMax reads "QUOTA [PERIOD]"; a quota of "max" is -1.
func parseCPUMax(value string) (quota int64, period uint64, err error) {
	q, rest, _ := strings.Cut(value, " ")
	quota, period = -1, 100000
	if q != "max" {
		if quota, err = strconv.ParseInt(q, 10, 64); err != nil {
			return 0, 0, err
		}
	}
	if rest != "" {
		period, err = strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
	}
	return quota, period, err
}

// devices adds the list for v1, where systemd writes the same files as we do and would open everything
// at a reload. It knows no deny rules: those are only written.
func (p *properties) devices(r *specs.LinuxResources) error {
	var list []specs.LinuxDeviceCgroup
	if r != nil {
		list = r.Devices
	}
	rules, err := devices.Parse(list)
	if err != nil {
		return err
	}
	if devices.AllowsAll(rules) {
		p.add("DevicePolicy", "auto")
		return nil
	}
	type entry struct{ Path, Access string }
	var allow []entry
	groups, _ := os.ReadFile("/proc/devices")
	for _, r := range append(rules, devices.Defaults...) {
		if path := node(r, groups); r.Allow && path != "" {
			_, access, _ := strings.Cut(r.String()[2:], " ")
			allow = append(allow, entry{path, access})
		}
	}
	p.add("DevicePolicy", "strict")
	p.add("DeviceAllow", allow)
	return nil
}

// node names what a rule is about as systemd does: a device by its number, all of a driver by the
// driver's name in /proc/devices, all by a star. "" if it can't be named.
func node(r devices.Rule, procDevices []byte) string {
	kind := map[byte]string{'b': "block", 'c': "char"}[r.Kind]
	switch {
	case kind == "":
		return ""
	case r.Major < 0:
		return kind + "-*"
	case r.Minor >= 0:
		return fmt.Sprintf("/dev/%s/%d:%d", kind, r.Major, r.Minor)
	}
	section := ""
	for line := range strings.Lines(string(procDevices)) {
		f := strings.Fields(line)
		switch {
		case strings.HasSuffix(line, "devices:\n"):
			section = strings.ToLower(strings.TrimSuffix(f[0], "acter"))
		case len(f) == 2 && section == kind && f[0] == strconv.FormatInt(r.Major, 10):
			return kind + "-" + f[1]
		}
	}
	return ""
}

// Properties reads the annotations named org.systemd.property.NAME. The value is in the text
// form of D-Bus ("uint64 5", "'text'"); a NAME that ends in Sec takes seconds where systemd has USec.
func Properties(annotations map[string]string) ([]sd.Property, error) {
	var list []sd.Property
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, "org.systemd.property.")
		if !ok {
			continue
		}
		letter := func(r rune) bool { return r < 'A' || r > 'z' || r > 'Z' && r < 'a' }
		if len(name) < 3 || strings.ContainsFunc(name, letter) {
			//lint:ignore ST1005 runc's words, which its users look for
			return nil, container.Invalid("use annotation", key, fmt.Errorf("Annotation %s name incorrect: %s", key, name), "")
		}
		value, err := dbus.ParseVariant(annotations[key], dbus.Signature{})
		if err != nil {
			//lint:ignore ST1005 runc's words, which its users look for
			return nil, container.Invalid("use annotation", key, fmt.Errorf("Annotation %s=%s value parse error: %w", key, annotations[key], err), "")
		}
		if base, ok := strings.CutSuffix(name, "Sec"); ok && !strings.HasSuffix(name, "USec") {
			if value, err = seconds(value); err != nil {
				//lint:ignore ST1005 runc's words, which its users look for
				return nil, container.Invalid("use annotation", key, fmt.Errorf("Annotation %s=%s value parse error: %w", key, annotations[key], err), "")
			}
			name = base + "USec"
		}
		list = append(list, sd.Property{Name: name, Value: value})
	}
	return list, nil
}

// seconds turns a number of seconds of any D-Bus type into microseconds.
func seconds(v dbus.Variant) (dbus.Variant, error) {
	var s float64
	switch n := v.Value().(type) {
	case uint8:
		s = float64(n)
	case int16:
		s = float64(n)
	case uint16:
		s = float64(n)
	case int32:
		s = float64(n)
	case uint32:
		s = float64(n)
	case int64:
		s = float64(n)
	case uint64:
		s = float64(n)
	case float64:
		s = n
	default:
		return v, fmt.Errorf("%v is not a number", v)
	}
	if s < 0 {
		return v, fmt.Errorf("%v is below zero", v)
	}
	return dbus.MakeVariant(uint64(s * 1e6)), nil
}
