package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"gourd/internal/container"
	"gourd/internal/linux"
	"gourd/internal/runtime/child"
	"gourd/internal/runtime/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Target is a running container.
type Target struct {
	ID      string
	Process container.Process // its first process
	Cgroup  Cgroup            // nil: the caller's own cgroups
}

// ExecOptions say how another process is started in a container.
type ExecOptions struct {
	Stdio         [3]*os.File // see Config
	PreserveFDs   int
	ConsoleSocket *os.File
	PlainLines    bool // see Config
	ParentDeath   unix.Signal
	Seccomp       json.RawMessage // the container's own filter
	StateDir      string
	NoNewKeyring  bool
}

// entry is a process on its way into a container.
type entry struct {
	build
	o      ExecOptions
	target Target
	proc   *specs.Process
	root   int // the container's root directory
}

// Exec starts a process in all namespaces and cgroups of a running container and returns when its program has
// begun. Errors are those of Create and Start, and container.ErrNotRunning.
func Exec(target Target, p *specs.Process, o ExecOptions) (_ *Process, err error) {
	if err := checkProcess(p); err != nil {
		return nil, err
	}
	proc := *p // HOME may be added
	e := &entry{target: target, proc: &proc, o: o}
	e.pidfd, e.userNS, e.ptsMount, e.kitMount, e.rootMount = -1, -1, -1, -1, -1
	e.c = &Config{
		Stdio: o.Stdio, ParentDeath: o.ParentDeath, Cgroup: target.Cgroup, PreserveFDs: o.PreserveFDs, ConsoleSocket: o.ConsoleSocket,
		PlainLines: o.PlainLines,
	}
	e.spec = &specs.Spec{Process: &proc, Linux: &specs.Linux{}}
	defer e.closeAll()
	if e.p, err = child.New(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			e.undo()
		}
	}()
	if err := e.enter(); err != nil {
		return nil, e.blame(err)
	}
	k := &e.container().Process
	return k, k.started()
}

// enter is the way into a container.
func (e *entry) enter() error {
	for _, stage := range []func() error{
		e.openTarget,
		e.writeEntry,
		e.startEntry,
		e.prepare,
		e.writeProgram,
		e.p.Release,
	} {
		if err := stage(); err != nil {
			return err
		}
	}
	return nil
}

// openTarget opens what tells about the container; all of it is checked to be the same process.
func (e *entry) openTarget() error {
	pid := e.target.Process.Pid
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil || !e.target.Process.Alive() {
		if err == nil {
			unix.Close(fd)
		}
		return &container.Error{Verb: "enter container", Object: e.target.ID, Kind: container.ErrNotRunning, Cause: errors.New("container not running")}
	}
	e.targetFD = e.own(fd)
	if e.root, err = linux.OpenProc(strconv.Itoa(pid)+"/root", unix.O_PATH|unix.O_DIRECTORY); err != nil {
		return stepError("enter container", err)
	}
	e.own(e.root)
	if e.joinFlags, err = differing(pid); err != nil {
		return stepError("enter container", err)
	}
	if e.joinFlags&unix.CLONE_NEWUSER == 0 {
		return nil
	}
	e.ids.active = true
	for name, list := range map[string]*[]specs.LinuxIDMapping{"uid_map": &e.ids.uids, "gid_map": &e.ids.gids} {
		text, err := linux.ReadProc(pid, name)
		if err != nil {
			return stepError("enter container", err)
		}
		if *list, err = parseMap(text); err != nil {
			return stepError("enter container", err)
		}
	}
	return nil
}

// nsFiles are the files of /proc/PID/ns by clone flag.
var nsFiles = []struct {
	flag uintptr
	name string
}{
	{unix.CLONE_NEWUSER, "user"},
	{unix.CLONE_NEWNS, "mnt"},
	{unix.CLONE_NEWPID, "pid"},
	{unix.CLONE_NEWNET, "net"},
	{unix.CLONE_NEWIPC, "ipc"},
	{unix.CLONE_NEWUTS, "uts"},
	{unix.CLONE_NEWCGROUP, "cgroup"},
	{unix.CLONE_NEWTIME, "time"},
}

// differing says in which namespaces a process is and this one is not. Entering one's own user namespace is an
// error (setns(2)), and the others need no entering.
func differing(pid int) (flags uintptr, err error) {
	proc := strconv.Itoa(pid)
	for _, n := range nsFiles {
		var theirs, ours unix.Stat_t
		if err := unix.Stat("/proc/"+proc+"/ns/"+n.name, &theirs); err != nil {
			if n.flag == unix.CLONE_NEWTIME && errors.Is(err, unix.ENOENT) {
				continue // a kernel without time namespaces
			}
			return 0, fmt.Errorf("look at the %s namespace of process %d: %w", n.name, pid, err)
		}
		if err := unix.Stat("/proc/self/ns/"+n.name, &ours); err != nil {
			return 0, err
		}
		if theirs.Ino != ours.Ino || theirs.Dev != ours.Dev {
			flags |= n.flag
		}
	}
	return flags, nil
}

// writeEntry writes the first process's way into the cgroups and namespaces: all namespaces in one call, which a
// single-threaded process may do. It can't be traced from there, and holds nothing of the host
// (CVE-2016-9962).
func (e *entry) writeEntry() error {
	p := e.p
	target := p.EarlyFD(e.targetFD)
	tasks, err := e.cgroupFiles()
	if err != nil {
		return err
	}
	if e.joinsLate {
		tasks = append(tasks, e.lastCgroup)
	}
	p.Step("begin", "a process of our own")
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_DUMPABLE), child.N(0))
	e.armParentDeath()
	p.Early(e.c.PreserveFDs)
	p.Step("join cgroups", "the container's limits hold for this process, too")
	for _, t := range tasks {
		p.Call(unix.SYS_WRITE, t.Value(), p.Str("0"), child.N(1))
	}
	if e.joinFlags != 0 {
		p.Step("join namespaces", "it sees what the container sees")
		p.Call(unix.SYS_SETNS, target.Value(), child.N(e.joinFlags))
	}
	e.secondStage(0)
	p.Step("new session", "")
	p.Call(unix.SYS_SETSID).Tolerate(unix.EPERM)
	p.Main()
	return nil
}

func (e *entry) startEntry() error {
	e.cloneStep = e.p.ParentStep("clone", "a process of our own", nil)
	s := child.Spawn{Cgroup: -1}
	if e.c.Cgroup != nil {
		if dir := e.c.Cgroup.Dir(); dir != nil {
			s.Cgroup = int(dir.Fd())
		}
	}
	return e.spawn(s)
}

// prepare makes the standard streams while the child enters.
func (e *entry) prepare() error {
	if e.proc.Terminal {
		pts, err := linux.OpenInRootFD(e.root, "dev/pts", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return stepError("open terminal", fmt.Errorf("the container's /dev/pts: %w", err))
		}
		e.own(pts)
		if err := e.takeConsole(pts); err != nil {
			return stepError("open terminal", err)
		}
	}
	if !hasHome(e.proc.Env) {
		e.proc.Env = append(e.proc.Env[:len(e.proc.Env):len(e.proc.Env)], "HOME="+homeOf(e.root, e.proc.User.UID))
	}
	return e.stdioFiles()
}

func hasHome(env []string) bool {
	for _, v := range env {
		if strings.HasPrefix(v, "HOME=") {
			return true
		}
	}
	return false
}

// writeProgram writes what makes the child the wanted process.
func (e *entry) writeProgram() error {
	if err := e.meetChild(); err != nil {
		return err
	}
	if err := e.copyOOMScore(); err != nil {
		return err
	}
	p := e.p
	e.becomeRoot()
	if !e.o.NoNewKeyring {
		p.Step("new session keyring", "the caller's keys stay the caller's")
		p.Call(unix.SYS_KEYCTL, child.N(unix.KEYCTL_JOIN_SESSION_KEYRING), p.Str("_ses."+e.target.ID)).Tolerate(unix.ENOSYS)
	}
	p.Step("take standard streams", "")
	writeStdio(p, e.stdio, e.proc.Terminal)
	limits, err := effectiveLimits(e.pid, e.proc.Rlimits, e.notice)
	if err != nil {
		return err
	}
	cache := e.o.StateDir
	if cache != "" {
		cache += "/seccomp"
	}
	filter, err := seccomp.Compile(e.o.Seccomp, cache)
	if err != nil {
		return err
	}
	x := &execution{
		track: &e.track, proc: e.proc, limits: limits, filter: filter, notice: e.notice, userNS: e.ids.active,
		parentDeath: e.o.ParentDeath, preserve: e.o.PreserveFDs,
	}
	return x.write()
}

// copyOOMScore gives the process the score of the container's first one, not this program's.
func (e *entry) copyOOMScore() error {
	value := ""
	if e.proc.OOMScoreAdj != nil {
		value = strconv.Itoa(*e.proc.OOMScoreAdj)
	} else {
		theirs, err := linux.ReadProc(e.target.Process.Pid, "oom_score_adj")
		if err != nil {
			return stepError("set oom score", err)
		}
		value = strings.TrimSpace(string(theirs))
	}
	ours, err := linux.ReadProc(e.pid, "oom_score_adj")
	if err != nil || strings.TrimSpace(string(ours)) == value {
		return err
	}
	if err := linux.WriteProc(e.pid, "oom_score_adj", value); err != nil {
		return stepError("set oom score", err)
	}
	return nil
}
