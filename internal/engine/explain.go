package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// Explain reads how a running container was made and shows it from both sides. Errors: ErrNotFound;
// ErrNotRunning, since what isn't running has neither pids nor namespaces.
func (e *Engine) Explain(_ context.Context, ref string) (*Explanation, error) {
	r, err := e.running("explain container", ref)
	if err != nil {
		return nil, err
	}
	x := &Explanation{ID: r.ID, Name: r.Name}
	if x.Steps, err = e.steps(r.ID, r.State.Started); err != nil {
		return nil, err
	}
	if x.Views, err = e.views(r); err != nil {
		return nil, err
	}
	if x.Namespaces, err = namespacesOf(r.State.Process.Pid); err != nil {
		return nil, err
	}
	x.Cgroups, err = cgroupFiles(r)
	return x, err
}

// steps are what the monitor noted. Another runtime than gourd's notes none.
func (e *Engine) steps(id string, started time.Time) ([]container.Step, error) {
	path := filepath.Join(e.store.RunDir(id), "steps.json")
	b, err := os.ReadFile(path)
	// The monitor notes them right after it has said that the container runs.
	for range 50 {
		if !errors.Is(err, fs.ErrNotExist) || time.Since(started) > time.Second {
			break
		}
		time.Sleep(5 * time.Millisecond)
		b, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &container.Error{Verb: "read steps of container", Object: id, Cause: err}
	}
	var steps []container.Step
	if err := json.Unmarshal(b, &steps); err != nil {
		return nil, &container.Error{Verb: "read steps of container", Object: id, Kind: container.ErrCorrupt, Cause: err}
	}
	return steps, nil
}

// views are facts about pid 1 from both sides.
func (e *Engine) views(r *container.Record) ([]View, error) {
	pid := r.State.Process.Pid
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return nil, &container.Error{Verb: "explain container", Object: r.Name, Kind: container.ErrNotRunning, Cause: err}
	}
	names, err := e.loadNames(r.ID)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	inner := lastField(procField(string(status), "NSpid:"))
	list := []View{
		{"process id", strconv.Itoa(pid), inner},
		idView("user id", procField(string(status), "Uid:"), uidsOf(r)),
		idView("group id", procField(string(status), "Gid:"), gidsOf(r)),
		{"host name", host, cmpOr(names.Hostname, host)},
		{"cgroup", r.State.Cgroup, cgroupInside(r)},
	}
	root, err := e.rootView(r)
	return append(list, root...), err
}

func lastField(s string) string {
	f := strings.Fields(s)
	if len(f) == 0 {
		return ""
	}
	return f[len(f)-1]
}

// idMap turns a host id into the container's.
type idMap func(host uint32) string

func uidsOf(r *container.Record) idMap {
	if r.IDs == nil {
		return func(host uint32) string { return strconv.FormatUint(uint64(host), 10) }
	}
	maps := r.IDs.MapUIDs()
	return func(host uint32) string {
		for _, m := range maps {
			if host >= m.HostID && host-m.HostID < m.Size {
				return strconv.FormatUint(uint64(m.ContainerID+host-m.HostID), 10)
			}
		}
		return "nobody"
	}
}

func gidsOf(r *container.Record) idMap {
	if r.IDs == nil {
		return uidsOf(r)
	}
	swapped := *r.IDs
	swapped.UIDs = swapped.GIDs
	return uidsOf(&container.Record{IDs: &swapped})
}

func idView(what, field string, inside idMap) View {
	f := strings.Fields(field) // real, effective, saved, file system
	if len(f) < 2 {
		return View{What: what}
	}
	n, err := strconv.ParseUint(f[1], 10, 32)
	if err != nil {
		return View{What: what, Host: f[1]}
	}
	return View{what, f[1], inside(uint32(n))}
}

func cgroupInside(r *container.Record) string {
	if r.Modes.Cgroup == modeHost {
		return r.State.Cgroup
	}
	return "/"
}

// rootView says what the root file system is made of.
func (e *Engine) rootView(r *container.Record) ([]View, error) {
	if r.Driver == "" {
		dir, _ := splitRootfs(r.Rootfs)
		return []View{{"root", dir, "/"}}, nil
	}
	d, err := e.snapshots(r.Driver)
	if err != nil {
		return nil, err
	}
	root, err := d.Mount(r.ID)
	if err != nil {
		return nil, err
	}
	list := []View{{"root", "/proc/" + strconv.Itoa(r.State.Process.Pid) + "/root", "/"}}
	if root.Upper != "" {
		list = append(list, View{"what it writes", root.Upper, "/"})
	}
	for _, l := range root.Layers {
		list = append(list, View{"what it reads", cmpOr(l.Dir, l.Image), "/"})
	}
	return list, nil
}

// nsTypes are the eight kinds as /proc/PID/ns names them (namespaces(7)).
var nsTypes = []string{"mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"}

func namespacesOf(pid int) ([]NamespaceView, error) {
	var list []NamespaceView
	for _, kind := range nsTypes {
		inside, err := nsInode(strconv.Itoa(pid), kind)
		if errors.Is(err, fs.ErrNotExist) && exists("/proc/self") && !exists("/proc/self/ns/"+kind) {
			continue // this kernel has no such kind
		}
		if err != nil {
			return nil, &container.Error{Verb: "read namespace " + kind + " of process", Object: strconv.Itoa(pid), Cause: err}
		}
		host, err := nsInode("self", kind)
		if err != nil {
			return nil, &container.Error{Verb: "read namespace", Object: kind, Cause: err}
		}
		list = append(list, NamespaceView{Type: kind, Inode: inside, Host: host, Shared: inside == host})
	}
	return list, nil
}

func nsInode(pid, kind string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/"+pid+"/ns/"+kind, &st)
	return st.Ino, err
}

// limitFiles are the files of a cgroup that hold a limit or a state, by controller; "" is v2's.
var limitFiles = map[string][]string{
	"cpu":     {"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.shares"},
	"cpuset":  {"cpuset.cpus", "cpuset.mems"},
	"memory":  {"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swappiness", "memory.usage_in_bytes"},
	"pids":    {"pids.max", "pids.current"},
	"blkio":   {"blkio.weight", "blkio.bfq.weight", "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"},
	"freezer": {"freezer.state"},
	"devices": {"devices.list"},
	"": {
		"cpu.max", "cpu.weight", "cpuset.cpus", "cpuset.mems", "memory.max", "memory.low", "memory.swap.max", "memory.current",
		"pids.max", "pids.current", "io.max", "io.weight", "cgroup.freeze",
	},
}

// cgroupFiles reads the limits where the kernel keeps them.
func cgroupFiles(r *container.Record) ([]CgroupFile, error) {
	g, err := cgroup.Load(r.State.Cgroup, r.State.Systemd)
	if err != nil {
		return nil, err
	}
	paths := g.Paths()
	var list []CgroupFile
	var controllers []string
	for name := range paths {
		controllers = append(controllers, name)
	}
	slices.Sort(controllers)
	for _, name := range controllers {
		for _, file := range limitFiles[name] {
			path := filepath.Join(paths[name], file)
			b, err := os.ReadFile(path)
			if err != nil {
				continue // not in this kernel or not enabled here
			}
			value := strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "; ")
			if value != "" {
				list = append(list, CgroupFile{Controller: cmpOr(name, "unified"), Path: path, Value: value})
			}
		}
	}
	return list, nil
}
