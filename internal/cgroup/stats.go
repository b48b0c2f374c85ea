package cgroup

import (
	"errors"
	"strconv"
	"strings"

	"gourd/internal/container"
)

// Stats is what a group has used. Times are in nanoseconds, sizes in bytes; a limit of 0 is none.
type Stats struct {
	CPU     CPUStats
	Memory  MemoryStats
	Pids    PidsStats
	IO      []DeviceIO
	Hugetlb map[string]HugetlbStats // by page size: "2MB"
}

type CPUStats struct {
	Usage, User, System        uint64
	PerCPU                     []uint64 // v1 only
	Periods, Throttled, Bursts uint64   // periods of the quota in all, those it stopped the group in, those it let it exceed
	ThrottledTime, BurstTime   uint64
	Pressure                   *Pressure
}

type MemoryStats struct {
	Usage, MaxUsage, Limit uint64 // MaxUsage on v2 from Linux 5.19
	Cache                  uint64 // of the usage: file pages
	InactiveFile           uint64 // of the cache: what goes first, so that usage minus this is what is needed
	Swap, SwapLimit        uint64 // swap alone, not memory+swap
	Kernel                 uint64
	Failures               uint64 // how often the limit was hit
	OOMKills               uint64
	Stat                   map[string]uint64 // memory.stat as it is
	Pressure               *Pressure
}

type PidsStats struct{ Current, Limit uint64 }

// DeviceIO is what went to and from one block device.
type DeviceIO struct {
	Major, Minor                         uint64
	ReadBytes, WriteBytes, Reads, Writes uint64
	DiscardBytes, Discards               uint64
}

type HugetlbStats struct{ Usage, MaxUsage, Failures uint64 }

// Pressure is the share of time that some, or all, processes waited for a resource
// (Documentation/accounting/psi.rst).
type Pressure struct{ Some, Full PressureLine }

// PressureLine has the averages in percent over 10, 60 and 300 seconds, and the sum in microseconds.
type PressureLine struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// Stats reads what the group has used. A value that this kernel doesn't have is 0.
// Errors: container.ErrNotFound if the group is gone.
func (g *Group) Stats() (*Stats, error) {
	if !g.Exists() {
		return nil, &container.Error{Verb: "read statistics of cgroup", Object: g.path, Kind: container.ErrNotFound}
	}
	s := &Stats{}
	r := reader{g: g}
	g.statCPU(&r, s)
	g.statMemory(&r, s)
	if d := g.dirOf("pids"); d != nil {
		s.Pids = PidsStats{Current: r.uint(d, "pids.current"), Limit: limit(r.uint(d, "pids.max"))}
	}
	g.statIO(&r, s)
	g.statHugetlb(&r, s)
	if r.err != nil {
		return nil, &container.Error{Verb: "read statistics of cgroup", Object: g.path, Cause: r.err}
	}
	return s, nil
}

// reader reads files and keeps the first error. Missing files are no error.
type reader struct {
	g   *Group
	err error
}

func (r *reader) text(d *dir, file string) string {
	s, err := readFile(d.path, file)
	if err != nil && !gone(err) && !isUnavailable(err) && r.err == nil {
		r.err = err
	}
	return s
}

func (r *reader) uint(d *dir, file string) uint64 {
	s := strings.TrimSpace(r.text(d, file))
	if s == "" {
		return 0
	}
	v, err := parseUint(s)
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

func (r *reader) keyed(d *dir, file string) map[string]uint64 {
	return parseKeyed([]byte(r.text(d, file)))
}

// limit makes "none" 0. v1 shows no memory limit as the greatest multiple of the page size.
func limit(v uint64) uint64 { return pick(v >= 1<<63-1<<16, 0, v) }

func (g *Group) statCPU(r *reader, s *Stats) {
	c := &s.CPU
	if d := g.dirOf("cpuacct"); d != nil {
		c.Usage, c.User, c.System = r.uint(d, "cpuacct.usage"), r.uint(d, "cpuacct.usage_user"), r.uint(d, "cpuacct.usage_sys")
		for f := range strings.FieldsSeq(r.text(d, "cpuacct.usage_percpu")) {
			v, _ := strconv.ParseUint(f, 10, 64)
			c.PerCPU = append(c.PerCPU, v)
		}
	}
	d := g.dirOf("cpu")
	if d == nil {
		d = g.unifiedDir() // cpu.stat has the times even without the controller
	}
	if d == nil {
		return
	}
	k := r.keyed(d, "cpu.stat")
	c.Periods, c.Throttled, c.Bursts = k["nr_periods"], k["nr_throttled"], k["nr_bursts"]
	if !d.unified {
		c.ThrottledTime, c.BurstTime = k["throttled_time"], k["burst_time"]
		return
	}
	c.Usage, c.User, c.System = k["usage_usec"]*1000, k["user_usec"]*1000, k["system_usec"]*1000
	c.ThrottledTime, c.BurstTime = k["throttled_usec"]*1000, k["burst_usec"]*1000
	c.Pressure = r.pressure(d, "cpu.pressure")
}

func (g *Group) statMemory(r *reader, s *Stats) {
	d := g.dirOf("memory")
	if d == nil {
		return
	}
	m := &s.Memory
	m.Stat = r.keyed(d, "memory.stat")
	if d.unified {
		m.Usage, m.MaxUsage, m.Limit = r.uint(d, "memory.current"), r.uint(d, "memory.peak"), limit(r.uint(d, "memory.max"))
		m.Cache, m.InactiveFile, m.Kernel = m.Stat["file"], m.Stat["inactive_file"], m.Stat["kernel"]
		m.Swap, m.SwapLimit = r.uint(d, "memory.swap.current"), limit(r.uint(d, "memory.swap.max"))
		events := r.keyed(d, "memory.events")
		m.Failures, m.OOMKills = events["max"], events["oom_kill"]
		m.Pressure = r.pressure(d, "memory.pressure")
		return
	}
	m.Usage, m.MaxUsage = r.uint(d, "memory.usage_in_bytes"), r.uint(d, "memory.max_usage_in_bytes")
	m.Limit = limit(r.uint(d, "memory.limit_in_bytes"))
	// Where memory+swap has the same limit as memory, it is the former that is hit.
	m.Failures = max(r.uint(d, "memory.failcnt"), r.uint(d, "memory.memsw.failcnt"))
	m.Cache, m.InactiveFile, m.Kernel = m.Stat["total_cache"], m.Stat["total_inactive_file"], r.uint(d, "memory.kmem.usage_in_bytes")
	m.Swap = m.Stat["total_swap"]
	if both := limit(r.uint(d, "memory.memsw.limit_in_bytes")); both > m.Limit && m.Limit > 0 {
		m.SwapLimit = both - m.Limit
	}
	m.OOMKills = r.keyed(d, "memory.oom_control")["oom_kill"]
}

func (g *Group) statIO(r *reader, s *Stats) {
	if d := g.dirOf("io"); d != nil {
		s.IO = parseIOStat([]byte(r.text(d, "io.stat")))
		return
	}
	d := g.dirOf("blkio")
	if d == nil {
		return
	}
	bytes, requests := r.text(d, "blkio.throttle.io_service_bytes_recursive"), r.text(d, "blkio.throttle.io_serviced_recursive")
	if requests == "" {
		bytes, requests = r.text(d, "blkio.throttle.io_service_bytes"), r.text(d, "blkio.throttle.io_serviced")
	}
	s.IO = parseBlkio([]byte(bytes), []byte(requests))
}

// parseIOStat reads io.stat: "8:0 rbytes=1 wbytes=2 rios=3 …" a line.
func parseIOStat(b []byte) []DeviceIO {
	var all []DeviceIO
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		var d DeviceIO
		var ok bool
		if d.Major, d.Minor, ok = parseDevice(f[0]); !ok {
			continue
		}
		fields := map[string]*uint64{
			"rbytes": &d.ReadBytes, "wbytes": &d.WriteBytes, "rios": &d.Reads, "wios": &d.Writes,
			"dbytes": &d.DiscardBytes, "dios": &d.Discards,
		}
		for _, kv := range f[1:] {
			key, value, _ := strings.Cut(kv, "=")
			if p := fields[key]; p != nil {
				*p, _ = strconv.ParseUint(value, 10, 64)
			}
		}
		all = append(all, d)
	}
	return all
}

// parseBlkio joins two v1 files of lines "8:0 Read 512" into one list.
func parseBlkio(bytes, requests []byte) []DeviceIO {
	var all []DeviceIO
	at := map[[2]uint64]int{}
	scan := func(b []byte, store func(d *DeviceIO, op string, v uint64)) {
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue // "Total N"
			}
			major, minor, ok := parseDevice(f[0])
			v, err := strconv.ParseUint(f[2], 10, 64)
			if !ok || err != nil {
				continue
			}
			i, known := at[[2]uint64{major, minor}]
			if !known {
				i = len(all)
				at[[2]uint64{major, minor}] = i
				all = append(all, DeviceIO{Major: major, Minor: minor})
			}
			store(&all[i], f[1], v)
		}
	}
	scan(bytes, func(d *DeviceIO, op string, v uint64) {
		switch op {
		case "Read":
			d.ReadBytes = v
		case "Write":
			d.WriteBytes = v
		case "Discard":
			d.DiscardBytes = v
		}
	})
	scan(requests, func(d *DeviceIO, op string, v uint64) {
		switch op {
		case "Read":
			d.Reads = v
		case "Write":
			d.Writes = v
		case "Discard":
			d.Discards = v
		}
	})
	return all
}

// parseDevice reads "8:0".
func parseDevice(s string) (major, minor uint64, ok bool) {
	a, b, found := strings.Cut(s, ":")
	major, err1 := strconv.ParseUint(a, 10, 32)
	minor, err2 := strconv.ParseUint(b, 10, 32)
	return major, minor, found && err1 == nil && err2 == nil
}

func (g *Group) statHugetlb(r *reader, s *Stats) {
	d := g.dirOf("hugetlb")
	if d == nil {
		return
	}
	s.Hugetlb = map[string]HugetlbStats{}
	for _, size := range hugepageSizes() {
		name := "hugetlb." + size
		if d.unified {
			s.Hugetlb[size] = HugetlbStats{Usage: r.uint(d, name+".current"), Failures: r.keyed(d, name+".events")["max"]}
			continue
		}
		s.Hugetlb[size] = HugetlbStats{
			Usage: r.uint(d, name+".usage_in_bytes"), MaxUsage: r.uint(d, name+".max_usage_in_bytes"),
			Failures: r.uint(d, name+".failcnt"),
		}
	}
}

// pressure reads a PSI file, nil where the kernel has none.
func (r *reader) pressure(d *dir, file string) *Pressure {
	return parsePressure([]byte(r.text(d, file)))
}

// parsePressure reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same for "full".
func parsePressure(b []byte) *Pressure {
	if len(b) == 0 {
		return nil
	}
	p := &Pressure{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		l := &p.Some
		if f[0] == "full" {
			l = &p.Full
		}
		averages := map[string]*float64{"avg10": &l.Avg10, "avg60": &l.Avg60, "avg300": &l.Avg300}
		for _, kv := range f[1:] {
			key, value, _ := strings.Cut(kv, "=")
			if a := averages[key]; a != nil {
				*a, _ = strconv.ParseFloat(value, 64)
			} else if key == "total" {
				l.Total, _ = strconv.ParseUint(value, 10, 64)
			}
		}
	}
	return p
}

// OOMKills counts the processes that the kernel killed because the group was at its memory limit,
// groups below it included where the kernel counts them (v2).
func (g *Group) OOMKills() (uint64, error) {
	d := g.dirOf("memory")
	if d == nil {
		return 0, unsupported("OOM kill count", "this machine has no memory controller", "")
	}
	k, err := readKeyed(d.path, pick(d.unified, "memory.events", "memory.oom_control"))
	if err != nil {
		return 0, &container.Error{Verb: "count OOM kills of", Object: g.path, Cause: err}
	}
	n, ok := k["oom_kill"]
	if !ok {
		return 0, &container.Error{Verb: "count OOM kills of", Object: g.path, Kind: container.ErrUnsupported, Cause: errors.New("this kernel does not count them (Linux 4.13)")}
	}
	return n, nil
}
