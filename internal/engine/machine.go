package engine

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// machine is what the checks and the spec depend on of the kernel and the host, read once per Create so
// that both can be tested with other machines than this one.
type machine struct {
	CPUs     int    // that the engine may use
	Online   string // cpu list of the whole machine, for --cpuset-cpus
	MemNodes string // memory node list
	Hostname string
	V2       bool // the unified cgroup hierarchy holds the controllers
	Systemd  bool // systemd runs as the host's first process
	AppArmor bool
	SELinux  bool
	Bounding uint64 // capabilities that the engine can hand on
	LastCap  int    // the highest capability that the kernel knows
	Time     bool   // time namespaces (Linux 5.6)
	OomMin   int    // oom_score_adj of the engine: without SYS_RESOURCE nothing can go below it
	OpenMax  uint64 // fs.nr_open, the most that nofile can be
	Limit    func(resource int) unix.Rlimit
	Thermal  []string // paths below /sys that show the CPUs' throttling
	Resource bool     // the engine has CAP_SYS_RESOURCE
}

// thisMachine reads the facts. Each is one small file or system call.
func thisMachine() machine {
	m := machine{
		CPUs:     runtime.NumCPU(),
		Online:   readTrimmed("/sys/devices/system/cpu/online"),
		MemNodes: readTrimmed("/sys/devices/system/node/online"),
		V2:       isUnified("/sys/fs/cgroup"),
		Systemd:  exists("/run/systemd/system"),
		AppArmor: readTrimmed("/sys/module/apparmor/parameters/enabled") == "Y",
		SELinux:  exists("/sys/fs/selinux/enforce"),
		Time:     exists("/proc/self/ns/time"),
		OomMin:   int(readInt("/proc/self/oom_score_adj", 0)),
		OpenMax:  uint64(readInt("/proc/sys/fs/nr_open", 1<<20)),
		Limit:    rlimit,
	}
	m.Hostname, _ = os.Hostname()
	m.Bounding, m.LastCap, m.Resource = boundingSet()
	if m.MemNodes == "" {
		m.MemNodes = "0" // a kernel without NUMA has one node and no such file
	}
	if cpus, err := parseSet(m.Online); err == nil {
		for _, n := range slices.Sorted(maps.Keys(cpus)) {
			if p := fmt.Sprintf("/sys/devices/system/cpu/cpu%d/thermal_throttle", n); exists(p) {
				m.Thermal = append(m.Thermal, p)
			}
		}
	}
	return m
}

// isUnified says whether the mount point is cgroup v2 (cgroups(7): a v1 mount is a tmpfs here).
func isUnified(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

func rlimit(resource int) unix.Rlimit {
	var l unix.Rlimit
	if unix.Getrlimit(resource, &l) != nil {
		return unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	}
	return l
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func readTrimmed(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// unsupported says that this machine or this version of gourd can't do what was asked.
func unsupported(verb, object, why, hint string) error {
	return &container.Error{Verb: verb, Object: object, Kind: container.ErrUnsupported, Cause: errText(why), Hint: hint}
}

// errText is a reason without further structure.
type errText string

func (e errText) Error() string { return string(e) }

// invalid refuses a value with a reason.
func invalid(verb, object, why, hint string) error {
	return container.Invalid(verb, object, errText(why), hint)
}
