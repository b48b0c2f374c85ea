package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/cgroup/systemd"
	"gourd/internal/container"
)

// Options say what group Create makes.
type Options struct {
	// Path counts from each hierarchy's mount point: "/gourd/ID". With Systemd it is
	// "slice:prefix:name", as --systemd-cgroup of OCI runtimes takes it.
	Path    string
	Systemd bool
	// Resources are the limits; nil: none. Check has seen them.
	Resources *specs.LinuxResources
	// Annotations named org.systemd.property.NAME become properties of the systemd unit.
	Annotations map[string]string
	// OwnerUID, if set, is the host id of the container's root, which gets the v2 group as its own
	// ("delegation", cgroups(7)): it may make groups below it, and can't change its own limits.
	OwnerUID *int
}

// Group is the control group of one container in every hierarchy.
type Group struct {
	path    string // relative to each hierarchy, "/gourd/ID"
	layout  *layout
	dirs    []dir
	unit    *systemd.Unit // with the systemd driver
	pending *Options      // with the systemd driver, from Create until Attach
	fd      *os.File      // the v2 directory
}

// dir is a group's directory in one hierarchy.
type dir struct {
	*hierarchy
	path string // absolute
}

// Create makes the group in every hierarchy and writes its limits. On error nothing is left. A
// directory that is there already is taken if no process is in it. With Systemd only the first half is
// done here: systemd makes no scope without a process, so limits and directories come with Attach.
// Errors: container.ErrInvalid for the path, ErrUnsupported for limits without a controller, ErrInUse
// for a group with processes or a frozen one.
func Create(o Options) (*Group, error) {
	g, err := Load(o.Path, o.Systemd)
	if err != nil {
		return nil, err
	}
	if g.unit != nil {
		return g, g.prepare(o)
	}
	made, err := g.make()
	if err == nil {
		err = g.fill(o)
	}
	if err != nil {
		for _, d := range made {
			os.Remove(d)
		}
		return nil, err
	}
	return g, nil
}

// Load gives the group of an existing container; managed says that systemd made it. Nothing is read but
// the machine's layout.
func Load(path string, managed bool) (*Group, error) {
	l, err := detect()
	if err != nil {
		return nil, err
	}
	g := &Group{path: path, layout: l}
	if managed {
		if g.unit, err = systemd.Parse(path); err != nil {
			return nil, err
		}
		g.path = g.unit.Path()
	}
	if err := checkPath(g.path); err != nil {
		return nil, err
	}
	g.path = filepath.Clean("/" + g.path)
	for i := range l.hierarchies {
		h := &l.hierarchies[i]
		g.dirs = append(g.dirs, dir{h, filepath.Join(h.mount, g.path)})
	}
	return g, nil
}

// checkPath refuses what isn't a path below the root of a hierarchy.
func checkPath(path string) error {
	refuse := func(why string) error {
		return container.Invalid("use cgroup", fmt.Sprintf("%q", path), errors.New(why), "give a path such as /gourd/NAME")
	}
	if strings.ContainsAny(path, "\x00\n") {
		return refuse("the path has a character that no cgroup can have")
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return refuse("the path leads upwards")
		}
	}
	if filepath.Clean("/"+path) == "/" {
		return refuse("that is the root, where the whole machine is")
	}
	return nil
}

// Path is where the group is in each hierarchy, relative to the mount point.
func (g *Group) Path() string { return g.path }

// Paths gives the absolute directory for each controller; "" stands for the v2 hierarchy.
func (g *Group) Paths() map[string]string {
	paths := make(map[string]string, len(g.dirs)+1)
	for _, d := range g.dirs {
		if d.unified {
			paths[""] = d.path
			continue
		}
		for _, c := range d.controllers {
			paths[c] = d.path
		}
	}
	return paths
}

// Exists says whether the group is there, in any hierarchy.
func (g *Group) Exists() bool {
	for _, d := range g.dirs {
		if unix.Access(d.path, unix.F_OK) == nil {
			return true
		}
	}
	return false
}

// dirOf is the group's directory in the hierarchy that holds the controller, nil if none does.
func (g *Group) dirOf(controller string) *dir {
	for i := range g.dirs {
		if g.dirs[i].has(controller) {
			return &g.dirs[i]
		}
	}
	return nil
}

// unifiedDir is the group's directory in the v2 hierarchy, nil if there is none.
func (g *Group) unifiedDir() *dir {
	if n := len(g.dirs); n > 0 && g.dirs[n-1].unified {
		return &g.dirs[n-1]
	}
	return nil
}

// make makes the directories and gives those that were not there before, the deepest first.
func (g *Group) make() (made []string, err error) {
	for _, d := range g.dirs {
		m, err := d.make(g.path)
		made = append(m, made...)
		if err != nil {
			return made, &container.Error{Verb: "make cgroup", Object: d.path, Cause: err}
		}
		if len(m) == 0 || m[0] != d.path {
			if err := d.checkUnused(); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// fill writes what a new group needs before a process may enter it.
func (g *Group) fill(o Options) error {
	r := o.Resources
	if r == nil {
		r = &specs.LinuxResources{}
	}
	if err := g.write(g.plan(r)); err != nil {
		return err
	}
	if err := g.setDevices(r.Devices, true); err != nil {
		return err
	}
	if o.OwnerUID != nil {
		return g.delegate(*o.OwnerUID)
	}
	return nil
}

// JoinFiles opens what a new process writes "0" to, itself, to enter the v1 hierarchies: `tasks` of
// each, cpu last, since from then on it runs under the container's own share. None on v2: there, and
// for the v2 part of hybrid, it is born in Dir; and none before Attach. The caller closes them.
func (g *Group) JoinFiles() ([]*os.File, error) {
	if g.NeedsAttach() {
		return nil, nil
	}
	var files []*os.File
	for _, last := range []bool{false, true} {
		for _, d := range g.dirs {
			if d.unified || d.has("cpu") != last {
				continue
			}
			f, err := open(d.path, "tasks", unix.O_WRONLY)
			if err != nil {
				closeAll(files)
				return nil, &container.Error{Verb: "open cgroup", Object: d.path, Cause: err}
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// Dir is the directory in the v2 hierarchy (v2 and hybrid) for CLONE_INTO_CGROUP (clone3, Linux 5.7),
// nil on v1 and before Attach. The group keeps it open until Close.
func (g *Group) Dir() *os.File {
	d := g.unifiedDir()
	if d == nil || g.NeedsAttach() {
		return nil
	}
	if g.fd == nil {
		fd, err := unix.Open(d.path, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		g.fd = os.NewFile(uintptr(fd), d.path)
	}
	return g.fd
}

// Close closes the descriptor that Dir keeps. The group itself stays.
func (g *Group) Close() error {
	if g.fd == nil {
		return nil
	}
	err := g.fd.Close()
	g.fd = nil
	return err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
