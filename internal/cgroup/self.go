package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// JoinSelf puts this process, all its threads, into the group at path in every hierarchy, making it
// where it is missing. Where it is already (StartIn gave birth to it there) that is one read of
// /proc/self/cgroup; else the kernel may take 12 ms.
func JoinSelf(path string) error {
	g, err := Load(path, false)
	if err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return &container.Error{Verb: "join cgroup", Object: path, Cause: err}
	}
	members := parseProcCgroup(b)
	for _, d := range g.dirs {
		if slices.ContainsFunc(members, func(m membership) bool { return d.isMember(m) && m.path == g.path }) {
			continue
		}
		if err := d.joinSelf(g.path); err != nil {
			return &container.Error{Verb: "join cgroup", Object: d.path, Cause: err}
		}
	}
	return nil
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

// StartIn starts a command as a process that is in the group at path from its first moment, without
// the wait that moving a running one costs: on v1 a thread of this process enters the group, starts it
// (a child is born where the thread that forks it is) and comes back; on v2 clone3 does it.
func StartIn(path string, cmd *exec.Cmd) error {
	g, err := Load(path, false)
	if err != nil {
		return err
	}
	defer g.Close()
	var files []*os.File
	for range 3 { // an empty group may be taken away at any moment
		if files, err = g.door(); !gone(err) {
			break
		}
	}
	if err != nil {
		return err
	}
	defer closeAll(files)
	if dir := g.Dir(); dir != nil {
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	if len(files) == 0 {
		return cmd.Start()
	}
	return g.startOnThread(cmd, files)
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

// startOnThread enters the v1 groups with one thread, starts the command on it, and brings the thread
// back, so that no thread of ours is in the group when somebody freezes or kills it.
func (g *Group) startOnThread(cmd *exec.Cmd, files []*os.File) (err error) {
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
	return cmd.Start()
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
