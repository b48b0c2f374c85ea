package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// Pids lists the processes of the group as the host sees them, with recursive also those of groups
// below it. A group that is gone has none.
func (g *Group) Pids(recursive bool) ([]int, error) {
	var all []int
	for _, d := range g.processDirs() {
		dirs := []string{d.path}
		if recursive {
			dirs = subtree(d.path)
		}
		for _, at := range dirs {
			pids, err := readPids(at)
			if err != nil && !gone(err) && !errors.Is(err, unix.EOPNOTSUPP) { // EOPNOTSUPP: a threaded group
				return nil, &container.Error{Verb: "list processes of", Object: g.path, Cause: err}
			}
			all = append(all, pids...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// processDirs are the directories to look for processes in: of v1 one hierarchy is enough, since all
// are joined together, and the v2 one.
func (g *Group) processDirs() []dir {
	var dirs []dir
	for _, name := range []string{"freezer", "pids", "devices", "memory", "name=systemd"} {
		if d := g.dirOf(name); d != nil && !d.unified {
			dirs = append(dirs, *d)
			break
		}
	}
	if d := g.unifiedDir(); d != nil {
		dirs = append(dirs, *d)
	}
	return dirs
}

// subtree lists a directory and all below it, the deepest last.
func subtree(at string) []string {
	dirs := []string{at}
	for i := 0; i < len(dirs); i++ {
		entries, err := os.ReadDir(dirs[i])
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.IsDir() {
				dirs = append(dirs, dirs[i]+"/"+e.Name())
			}
		}
	}
	return dirs
}

// gone says that a group's directory was removed, before or after its file was opened.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// Kill sends a signal to every process of the group and of groups below it, and to those that they
// fork meanwhile. SIGKILL also wakes a frozen group, since what stands still can't die. It does not
// wait for them to end: Delete does.
func (g *Group) Kill(sig unix.Signal) error {
	if sig != unix.SIGKILL {
		return g.signalFrozen(sig)
	}
	if d := g.unifiedDir(); d != nil {
		// Linux 5.14: all at once, forks included.
		if err := writeFile(d.path, "cgroup.kill", "1"); err != nil && !gone(err) {
			return &container.Error{Verb: "kill", Object: g.path, Cause: err}
		}
		if err := g.thawIfFrozen(); err != nil {
			return err
		}
	}
	// Without cgroup.kill, and for processes that entered the v1 hierarchies only.
	for try := 0; try < 100; try++ {
		pids, err := g.living()
		if err != nil || len(pids) == 0 {
			return err
		}
		if err := g.signalFrozen(sig); err != nil {
			return err
		}
	}
	return nil
}

// living lists the processes of the group that no SIGKILL is under way to.
func (g *Group) living() ([]int, error) {
	pids, err := g.Pids(true)
	return slices.DeleteFunc(pids, func(pid int) bool { return dying(pid) || !g.Holds(pid) }), err
}

// dying says that the process has ended or has a SIGKILL pending.
func dying(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "State":
			if value[0] == 'Z' || value[0] == 'X' {
				return true
			}
		case "SigPnd", "ShdPnd":
			if m, err := strconv.ParseUint(value, 16, 64); err == nil && m&(1<<(unix.SIGKILL-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// signalFrozen freezes the group, so that nothing forks or ends and no number changes its owner
// meanwhile, signals every process and lets them run again (unless they were frozen before and the
// signal is not SIGKILL). Where freezing fails it goes on: each process is held by a pidfd while it is
// asked for its group and signalled.
func (g *Group) signalFrozen(sig unix.Signal) error {
	before, _ := g.Frozen()
	_ = g.Freeze()
	pids, err := g.Pids(true)
	for _, pid := range pids {
		if e := g.signal(pid, sig); e != nil && err == nil {
			err = &container.Error{Verb: "kill", Object: "process " + strconv.Itoa(pid), Cause: e}
		}
	}
	if !before || sig == unix.SIGKILL {
		if e := g.thawIfFrozen(); err == nil {
			err = e
		}
	}
	return err
}

func (g *Group) signal(pid int, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: no thread group leader, a thread alone
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	// v1 also lists a process that has but one thread in the group: an engine that is just starting
	// something there. Only what belongs to the group as a whole is ours to signal.
	if !g.Holds(pid) {
		return nil
	}
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Holds says whether a process is in the group or in one below it.
func (g *Group) Holds(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return false
	}
	for _, m := range parseProcCgroup(b) {
		if m.path == g.path || strings.HasPrefix(m.path, g.path+"/") {
			return true
		}
	}
	return false
}

// thawIfFrozen thaws in every hierarchy that may hold the group still.
func (g *Group) thawIfFrozen() error {
	for _, d := range g.dirs {
		frozen, err := d.frozen()
		if gone(err) || err == nil && !frozen {
			continue
		}
		if err == nil {
			err = d.setFrozen(false)
		}
		if err != nil && !gone(err) {
			return &container.Error{Verb: "thaw", Object: g.path, Cause: err}
		}
	}
	return nil
}
