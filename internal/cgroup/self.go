package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// JoinSelf takes this process, all its threads, out of whatever groups its starter was in and puts it
// into the group at path, making that where it is missing. In hierarchies whose root it is in it stays:
// nothing there limits it or dies with anybody. Where StartApart gave birth to it there is nothing to
// do but to read /proc/self/cgroup; else the kernel may take 12 ms.
func JoinSelf(path string) error {
	g, err := apart(path)
	if err != nil {
		return err
	}
	for _, d := range g.dirs {
		if err := d.joinSelf(g.path); err != nil {
			return &container.Error{Verb: "join cgroup", Object: d.path, Cause: err}
		}
	}
	return nil
}

// apart is the group at path in those hierarchies only where this process is neither in the root nor
// in the group.
func apart(path string) (*Group, error) {
	g, err := Load(path, false)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, &container.Error{Verb: "find own cgroup", Cause: err}
	}
	members := parseProcCgroup(b)
	g.dirs = slices.DeleteFunc(g.dirs, func(d dir) bool {
		return slices.ContainsFunc(members, func(m membership) bool { return d.isMember(m) && (m.path == "/" || m.path == g.path) })
	})
	return g, nil
}

// isMember says whether a line of /proc/PID/cgroup is about this hierarchy.
func (d dir) isMember(m membership) bool {
	if d.unified {
		return len(m.controllers) == 0
	}
	return slices.Equal(m.controllers, d.controllers)
}

// joinSelf makes the directory and enters it. Another process may take an empty group away at any
// moment (RemoveParents), hence the repetition.
func (d dir) joinSelf(path string) error {
	var err error
	for range 3 {
		if _, err = d.make(path); err == nil {
			err = writeFile(d.path, "cgroup.procs", "0")
		}
		if !gone(err) {
			return err
		}
	}
	return err
}

// StartApart has start start a process that shares no group with this one, from its first moment: a
// monitor must not die with the service that somebody ran gourd in, nor count as part of it. It is in
// the group at path in every hierarchy where this process is not in the root. Moving a running process
// costs up to 12 ms; this does not.
//
// start may be called again if it failed because the group was just taken away. It must use attr.
func StartApart(path string, attr *syscall.SysProcAttr, start func() error) error {
	g, err := apart(path)
	if err != nil {
		return err
	}
	return g.Start(attr, start)
}

// Start has start start a process that is born in the group: on v1 a thread of this process enters the
// group, runs start (a child is born where the thread that forks it is) and comes back; on v2 clone3
// does it, by what is set in attr. As for start, see StartApart.
func (g *Group) Start(attr *syscall.SysProcAttr, start func() error) error {
	var err error
	for range 3 { // an empty group may be taken away at any moment
		if err = g.startOnce(attr, start); !gone(err) {
			break
		}
	}
	return err
}

func (g *Group) startOnce(attr *syscall.SysProcAttr, start func() error) error {
	files, err := g.door()
	if err != nil {
		return err
	}
	defer closeAll(files)
	if dir := g.Dir(); dir != nil {
		defer g.Close()
		attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	}
	if len(files) == 0 {
		return start()
	}
	return g.startOnThread(files, start)
}

// door makes the directories and opens what there is to join.
func (g *Group) door() ([]*os.File, error) {
	for _, d := range g.dirs {
		if _, err := d.make(g.path); err != nil {
			return nil, &container.Error{Verb: "make cgroup", Object: d.path, Cause: err}
		}
	}
	return g.JoinFiles()
}

// startOnThread enters the v1 groups with one thread, calls start on it, and brings the thread back, so that no thread of ours is in the group when somebody freezes or kills it.
func (g *Group) startOnThread(files []*os.File, start func() error) (err error) {
	runtime.LockOSThread()
	home, err := g.home()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer closeAll(home)
	defer func() {
		if e := enter(home); e != nil {
			// Stay locked: nothing else may run on this thread. It ends with its goroutine.
			err = errors.Join(err, e)
			return
		}
		runtime.UnlockOSThread()
	}()
	if err := enter(files); err != nil {
		return err
	}
	return start()
}

// enter moves the calling thread.
func enter(files []*os.File) error {
	for _, f := range files {
		if _, err := f.WriteString("0"); err != nil {
			return &container.Error{Verb: "join cgroup", Object: filepath.Dir(f.Name()), Cause: err}
		}
	}
	return nil
}

// home opens `tasks` of the v1 groups that the calling thread is in.
func (g *Group) home() ([]*os.File, error) {
	b, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, &container.Error{Verb: "find own cgroup", Cause: err}
	}
	var files []*os.File
	for _, m := range parseProcCgroup(b) {
		for _, d := range g.dirs {
			if d.unified || !d.isMember(m) {
				continue
			}
			f, err := open(filepath.Join(d.mount, m.path), "tasks", unix.O_WRONLY)
			if err != nil {
				closeAll(files)
				return nil, &container.Error{Verb: "open own cgroup", Object: m.path, Cause: err}
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// Own gives the path of this process's own group for a controller ("" the v2 hierarchy), "/" if none.
func Own(controller string) string {
	b, _ := os.ReadFile("/proc/self/cgroup")
	for _, m := range parseProcCgroup(b) {
		if controller == "" && len(m.controllers) == 0 || slices.Contains(m.controllers, controller) {
			return strings.TrimSuffix(m.path, " (deleted)")
		}
	}
	return "/"
}
