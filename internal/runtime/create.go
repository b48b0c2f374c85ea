package runtime

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"gourd/internal/container"
	"gourd/internal/runtime/child"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Reports of the child on its way.
const (
	reportTime  = 1 // the time namespace waits for its offsets
	reportReady = 2 // all is done but the user's program
)

// build is a container in the making.
type build struct {
	c    *Config
	spec *specs.Spec
	track
	plan bool // only the steps are wanted: nothing may be done

	ns     namespaces
	ids    idMap
	fds    []int // ours, closed when the making ends
	first  int   // pid of the first stage, 0 if there is one stage only
	pid    int
	pidfd  int
	userNS int

	rootMount      int        // the root tree, detached
	root           child.Slot // the same, in the child
	kit            child.Slot // the tmpfs with our device nodes
	kitMount       int
	console        *console
	ptsMount       int // the devpts with the terminal
	ptsMade        bool
	staged         bool       // a first stage is under way
	born           chan birth // a start under way in the background
	cloneStep      int
	targetFD       int // exec: the container's first process
	joinFlags      uintptr
	lastCgroup     child.Slot // `tasks` of the cpu controller
	joinsLate      bool
	stdio          [3]child.Slot
	fifo           [2]child.Slot
	notices        []string
	sysctlsWritten bool
}

// Create makes a container up to, not including, the user's program, which Start begins. On an error nothing is
// left behind. The error names the step that failed.
func Create(c *Config) (*Container, error) { return create(c, false) }

// Run is Create and Start in one, without the pause between them.
func Run(c *Config) (*Container, error) {
	k, err := create(c, true)
	if err != nil {
		return nil, err
	}
	if err := k.started(); err != nil {
		k.Wait()
		k.Close()
		return nil, err
	}
	return k, nil
}

func create(c *Config, run bool) (_ *Container, err error) {
	b := &build{c: c, spec: c.Spec, pidfd: -1, userNS: -1, rootMount: -1, kitMount: -1, ptsMount: -1}
	defer b.closeAll()
	if err := b.check(); err != nil {
		return nil, err
	}
	b.ids = b.knownIDs()
	if b.p, err = child.New(); err != nil {
		return nil, err
	}
	b.p.DieAt(c.dieAt)
	defer func() {
		if err != nil {
			b.undo()
		}
	}()
	if err := b.make(); err != nil {
		return nil, b.blame(err)
	}
	k := b.container()
	if run {
		return k, b.p.Go()
	}
	return k, k.awaitReady()
}

// make is the way of a container, as the parent sees it. The kernel takes most of a millisecond for the new namespaces;
// meanwhile this side prepares what it can. Where the child's pid is needed, meetChild waits for it.
func (b *build) make() error {
	for _, stage := range b.story() {
		if err := stage(); err != nil {
			return err
		}
	}
	return b.p.Release()
}

func (b *build) story() []func() error {
	nodes, maps := b.makeKit, b.mapIDs
	if b.ns.joins(unix.CLONE_NEWUSER) { // only its mappings tell the nodes' owners
		nodes, maps = maps, nodes
	}
	return []func() error{
		b.writeEarlyTable, // the child joins its cgroups, and waits
		b.startChild,      // clone3 into the new namespaces
		b.attachCgroup,    // with systemd
		nodes, maps,
		b.mountRoot,
		b.askOnRoot,
		b.writeMainTable, // and prepare the mounts and files that it uses
		b.meetChild,
		b.setFromOutside,
		b.askOnNamespaces,
		b.runHostHooks,
	}
}

// Plan lists the steps that Create and Start would take, in order, and does nothing.
func Plan(c *Config) ([]container.Step, error) {
	b := &build{c: c, spec: c.Spec, plan: true, track: track{p: child.NewPlan()}, pidfd: -1, userNS: -1, rootMount: -1, kitMount: -1, ptsMount: -1}
	if err := b.check(); err != nil {
		return nil, err
	}
	b.ids = b.knownIDs()
	for _, stage := range b.story() {
		if err := stage(); err != nil {
			return nil, err
		}
	}
	return b.p.Steps(), nil
}

// parent does one step on the host's side.
func (b *build) parent(name, why string, calls func() []string, do func() error) error {
	if !b.plan {
		if err := do(); err != nil {
			return stepError(name, err)
		}
	}
	b.p.ParentStep(name, why, calls)
	return nil
}

// own remembers a descriptor to close when the making ends.
func (b *build) own(fd int) int {
	if fd >= 0 {
		b.fds = append(b.fds, fd)
	}
	return fd
}

func (b *build) closeAll() {
	for _, fd := range b.fds {
		unix.Close(fd)
	}
	b.fds = nil
}

// writeEarlyTable writes what the child does at once, beside the parent's own work.
func (b *build) writeEarlyTable() error {
	p := b.p
	var joins []child.Slot
	for _, j := range b.ns.join {
		fd := -1
		if !b.plan {
			var err error
			if fd, err = openNamespace(j); err != nil {
				return err
			}
		}
		joins = append(joins, p.EarlyFD(b.own(fd)))
	}
	tasks, err := b.cgroupFiles()
	if err != nil {
		return err
	}
	p.Step("begin", "a process of our own, in new namespaces, that waits for the rest")
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_DUMPABLE), child.N(0))
	b.armParentDeath()
	p.Early(b.c.PreserveFDs)
	if len(tasks) > 0 {
		p.Step("join cgroups", "limits hold for whatever the container starts")
		for _, t := range tasks {
			p.Call(unix.SYS_WRITE, t.Value(), p.Str("0"), child.N(1))
		}
	}
	if b.ns.twoStages() {
		b.stages(b.ns.join, joins, b.ns.fresh)
	}
	p.Step("new session", "the terminal, if any, is the container's own")
	p.Call(unix.SYS_SETSID).Tolerate(unix.EPERM)
	p.Step("wait for the parent", "which writes id maps and prepares the mounts")
	p.Main()
	return nil
}

// armParentDeath makes the kernel kill the child when this process dies; before anything that might wait.
func (b *build) armParentDeath() {
	if b.c.ParentDeath != 0 {
		b.p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_PDEATHSIG), child.N(b.c.ParentDeath))
	}
}

func openNamespace(j join) (int, error) {
	fd, err := unix.Open(j.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, invalidSpec("linux.namespaces", fmt.Errorf("open %s: %w", j.path, err))
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || uintptr(kind) != j.flag {
		unix.Close(fd)
		return -1, invalidSpec("linux.namespaces", fmt.Errorf("%s is not a %s namespace", j.path, flagName(j.flag)))
	}
	return fd, nil
}

// cgroupFiles opens what the child writes its pid's stand-in, "0", to. A thread that moves itself doesn't wait for an
// RCU grace period as one that is moved does. The last one (cpu) is joined late: from then on the work runs
// under the container's own share and quota.
func (b *build) cgroupFiles() ([]child.Slot, error) {
	if b.c.Cgroup == nil {
		return nil, nil
	}
	files, err := b.c.Cgroup.JoinFiles()
	if err != nil {
		return nil, err
	}
	var slots []child.Slot
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		f.Close()
		if err != nil {
			return nil, err
		}
		slots = append(slots, b.p.EarlyFD(b.own(fd)))
	}
	if len(slots) > 0 {
		b.lastCgroup, b.joinsLate = slots[len(slots)-1], true
		slots = slots[:len(slots)-1]
	}
	return slots, nil
}

// attachCgroup has systemd make the container's scope around the child, which waits. Only then are its directories there
// for the rest of the work.
func (b *build) attachCgroup() error {
	if b.c.Cgroup == nil || !b.c.Cgroup.NeedsAttach() {
		return nil
	}
	if err := b.meetChild(); err != nil {
		return err
	}
	return b.parent("start scope", "systemd owns the cgroups of this machine: it makes the container's, with its limits", func() []string { return []string{"StartTransientUnit"} },
		func() error { return b.c.Cgroup.Attach(b.pid) })
}

// startChild starts the child. With a parent-death signal it must be born of a thread that doesn't end before
// the process does.
func (b *build) startChild() error {
	s := child.Spawn{Flags: b.ns.cloneFlags(), Cgroup: -1}
	if b.ns.twoStages() {
		s.Flags = 0
	}
	if b.c.Cgroup != nil {
		if dir := b.c.Cgroup.Dir(); dir != nil {
			s.Cgroup = int(dir.Fd())
		}
	}
	b.cloneStep = b.p.ParentStep("clone", "a process is born into new namespaces: another view of the machine",
		func() []string { return []string{"clone3(" + flagNames(s.Flags) + ")", "execveat(the sealed stub)"} })
	if b.plan {
		return nil
	}
	return b.spawn(s)
}

// birth is what a start in the background has come to.
type birth struct {
	pid, pidfd int
	err        error
	at         time.Time
}

// spawn starts the stub in the background.
func (b *build) spawn(s child.Spawn) error {
	begin, err := b.p.Prepare(s)
	if err != nil {
		return err
	}
	b.born = make(chan birth, 1)
	start := func() {
		pid, pidfd, err := begin()
		b.born <- birth{pid, pidfd, err, time.Now()}
	}
	if b.c.ParentDeath != 0 {
		keeper() <- start
	} else {
		go start()
	}
	return b.p.SendEarly()
}

// meetChild waits for the child: from then on pid and pidfd are the final ones.
func (b *build) meetChild() error {
	if err := b.takeBirth(); err != nil || !b.staged || b.plan {
		return err
	}
	b.staged = false
	return b.takeSecondStage()
}

// takeBirth waits for the end of spawn's work.
func (b *build) takeBirth() error {
	if b.born == nil {
		return nil
	}
	n := <-b.born
	b.born = nil
	b.pid, b.pidfd = n.pid, n.pidfd
	b.p.StepDone(b.cloneStep, n.at)
	if n.err != nil {
		return stepError("clone", n.err)
	}
	return nil
}

// takeSecondStage waits until the first process has handed over to the second.
func (b *build) takeSecondStage() error {
	b.first, b.pid = b.pid, 0
	unix.Close(b.pidfd)
	b.pidfd = -1
	if len(b.spec.Linux.TimeOffsets) > 0 {
		if err := b.writeTimeOffsets(); err != nil {
			return err
		}
	}
	if _, err := reap(b.first); err != nil {
		return err
	}
	b.first = 0
	b.pid = b.p.Cloned()
	if b.pid == 0 {
		return errChild
	}
	var err error
	b.pidfd, err = unix.PidfdOpen(b.pid, 0)
	return err
}

func (b *build) writeTimeOffsets() error {
	code, ok, err := b.p.Wait()
	if err != nil {
		return err
	}
	if !ok || code != reportTime {
		return errChild
	}
	if err := writeTimeOffsets(b.first, b.spec.Linux.TimeOffsets); err != nil {
		return err
	}
	return b.p.Go()
}

// errChild stands for what the child reports itself.
var errChild = errors.New("the child ended")

// keeper is a thread that lives as long as the process; functions sent to it run there.
var keeper = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go keep(work)
	return work
})

// askOnRoot lets the caller look into the root tree, and change the process accordingly.
func (b *build) askOnRoot() error {
	if b.c.OnRoot == nil || b.plan {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(b.rootMount), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	root := os.NewFile(uintptr(fd), "/")
	defer root.Close()
	if err := b.c.OnRoot(root, b.spec); err != nil {
		return err
	}
	if b.spec.Process == nil {
		return nil
	}
	return checkProcess(b.spec.Process)
}

func (b *build) askOnNamespaces() error {
	if b.c.OnNamespaces == nil || b.plan {
		return nil
	}
	return b.c.OnNamespaces(b.pid)
}

// undo ends a child that isn't finished.
func (b *build) undo() {
	b.takeBirth()
	for _, pid := range []int{b.first, b.pid} {
		if pid > 0 {
			unix.Kill(pid, unix.SIGKILL) // not reaped yet, so it is still ours
			reap(pid)
		}
	}
	if b.pidfd >= 0 {
		unix.Close(b.pidfd)
	}
	if b.console != nil {
		b.console.close()
	}
	b.p.Close()
}
