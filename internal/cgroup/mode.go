package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// Mode is the layout of the control groups of a machine.
type Mode int

const (
	V1     Mode = iota + 1 // v1 hierarchies only
	Hybrid                 // v1 hierarchies and the v2 one beside them
	V2                     // the v2 hierarchy alone
)

// String gives "v1", "hybrid" or "v2".
func (m Mode) String() string {
	switch m {
	case V1:
		return "v1"
	case Hybrid:
		return "hybrid"
	case V2:
		return "v2"
	}
	return "unknown"
}

const root = "/sys/fs/cgroup"

// hierarchy is one mounted tree of control groups.
type hierarchy struct {
	mount       string   // where it is mounted
	unified     bool     // the v2 hierarchy
	controllers []string // "cpu", "name=systemd"; of the v2 hierarchy what its root offers
}

// has says whether the hierarchy holds the controller.
func (h *hierarchy) has(controller string) bool { return slices.Contains(h.controllers, controller) }

// layout is what is mounted on this machine.
type layout struct {
	mode        Mode
	hierarchies []hierarchy // v1 in the order of /proc/self/cgroup, the unified one last
}

// find gives the hierarchy that holds a controller, nil if none does.
func (l *layout) find(controller string) *hierarchy {
	for i := range l.hierarchies {
		if l.hierarchies[i].has(controller) {
			return &l.hierarchies[i]
		}
	}
	return nil
}

// unified gives the v2 hierarchy, nil if there is none.
func (l *layout) unified() *hierarchy {
	if n := len(l.hierarchies); n > 0 && l.hierarchies[n-1].unified {
		return &l.hierarchies[n-1]
	}
	return nil
}

// Detect says how control groups are mounted. It looks once per process.
// Errors: container.ErrUnsupported if none are.
func Detect() (Mode, error) {
	l, err := detect()
	if err != nil {
		return 0, err
	}
	return l.mode, nil
}

// detect is the machine's layout, looked up once: mounts of control groups don't change under a
// running system.
var detect = sync.OnceValues(func() (*layout, error) {
	var fs unix.Statfs_t
	if unix.Statfs(root, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return newLayout([]hierarchy{{mount: root, unified: true}})
	}
	if found := usualMounts(); found != nil {
		return newLayout(found)
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, &container.Error{Verb: "find control groups", Cause: err, Hint: "mount /proc"}
	}
	return newLayout(parseMountinfo(b))
})

// newLayout completes what was found: the mode and the controllers of the v2 hierarchy.
func newLayout(found []hierarchy) (*layout, error) {
	if len(found) == 0 {
		return nil, &container.Error{
			Verb: "find control groups", Kind: container.ErrUnsupported, Cause: errors.New("none are mounted"),
			Hint: "mount them: mount -t cgroup2 none " + root,
		}
	}
	l := &layout{mode: V1, hierarchies: found}
	u := l.unified()
	if u == nil {
		return l, nil
	}
	b, err := os.ReadFile(filepath.Join(u.mount, "cgroup.controllers"))
	if err != nil {
		return nil, &container.Error{Verb: "find control groups", Cause: err}
	}
	u.controllers = strings.Fields(string(b))
	if l.mode = V2; len(found) > 1 {
		l.mode = Hybrid
	}
	return l, nil
}

// usualMounts finds the hierarchies of /proc/self/cgroup where distributions mount them:
// /sys/fs/cgroup/CONTROLLERS, without their "name=", and /sys/fs/cgroup/unified. It gives nil if one is
// mounted elsewhere: only the long list of all mounts knows then.
func usualMounts() []hierarchy {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	var found []hierarchy
	for _, m := range parseProcCgroup(b) {
		h := hierarchy{controllers: m.controllers, mount: filepath.Join(root, strings.TrimPrefix(strings.Join(m.controllers, ","), "name="))}
		kind := int64(unix.CGROUP_SUPER_MAGIC)
		if len(m.controllers) == 0 {
			// "0::" stands there even if the v2 hierarchy is mounted nowhere.
			h, kind = hierarchy{unified: true, mount: filepath.Join(root, "unified")}, unix.CGROUP2_SUPER_MAGIC
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(h.mount, &fs); err != nil || int64(fs.Type) != kind {
			if h.unified {
				continue
			}
			return nil
		}
		found = append(found, h)
	}
	return unifiedLast(found)
}

// unifiedLast puts the v2 hierarchy behind the others.
func unifiedLast(h []hierarchy) []hierarchy {
	slices.SortStableFunc(h, func(a, b hierarchy) int {
		switch {
		case a.unified == b.unified:
			return 0
		case a.unified:
			return 1
		}
		return -1
	})
	return h
}

// membership is one line of /proc/PID/cgroup: where a process is in one hierarchy.
type membership struct {
	controllers []string // none for the v2 hierarchy
	path        string
}

// parseProcCgroup reads /proc/PID/cgroup (cgroups(7)): "ID:CONTROLLERS:PATH" a line. Lines of another
// shape are left out.
func parseProcCgroup(b []byte) []membership {
	var all []membership
	for line := range strings.Lines(string(b)) {
		id, rest, ok1 := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		names, path, ok2 := strings.Cut(rest, ":")
		if !ok1 || !ok2 || id == "" || !strings.HasPrefix(path, "/") {
			continue
		}
		m := membership{path: path}
		if names != "" {
			m.controllers = strings.Split(names, ",")
		}
		all = append(all, m)
	}
	return all
}

// notControllers are the super options of a v1 cgroup mount that don't name a controller.
var notControllers = []string{"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "nosuid", "nodev", "noexec", "relatime", "all", "none"}

// parseMountinfo finds the cgroup mounts in /proc/self/mountinfo (proc_pid_mountinfo(5)). Of several
// mounts of one hierarchy the first counts.
func parseMountinfo(b []byte) []hierarchy {
	var found []hierarchy
	for line := range strings.Lines(string(b)) {
		before, after, ok := strings.Cut(line, " - ")
		f, t := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(t) < 3 || (t[0] != "cgroup" && t[0] != "cgroup2") {
			continue
		}
		h := hierarchy{mount: unescape(f[4]), unified: t[0] == "cgroup2"}
		if !h.unified {
			h.controllers = slices.DeleteFunc(strings.Split(t[2], ","), func(o string) bool {
				return o == "" || slices.Contains(notControllers, o) || strings.HasPrefix(o, "release_agent=")
			})
		}
		if len(h.controllers) == 0 && !h.unified || known(found, h) {
			continue
		}
		found = append(found, h)
	}
	return unifiedLast(found)
}

// known says whether another mount of the same hierarchy was found already.
func known(found []hierarchy, h hierarchy) bool {
	return slices.ContainsFunc(found, func(o hierarchy) bool {
		return o.unified == h.unified && slices.Equal(o.controllers, h.controllers)
	})
}

// unescape undoes the octal escapes of mountinfo: "\040" is a blank.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		var c byte
		if s[i] == '\\' && i+3 < len(s) {
			if _, err := fmt.Sscanf(s[i+1:i+4], "%03o", &c); err == nil {
				b.WriteByte(c)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
