package runtime

import (
	"fmt"
	"math/bits"
	"strings"
	"unsafe"

	"gourd/internal/linux"
	"gourd/internal/runtime/child"
	"gourd/internal/runtime/seccomp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// writeMainTable writes everything the child does between its release and the user's program, and has the parent
// prepare what that needs.
func (b *build) writeMainTable() error {
	for _, write := range []func() error{
		b.makeConsole, b.stdioFiles, // by the parent
		b.writeTree,
		b.writeSystem,
		b.writeProcess,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// writeTree writes the steps that make the container's file tree.
func (b *build) writeTree() error {
	b.p.Call(unix.SYS_UMASK, child.N(0o022))
	b.becomeRoot()
	b.enterCgroup2Namespace()
	b.p.Step("leave the host's mounts", "nothing that is mounted here shows on the host, nor the other way")
	b.p.Call(unix.SYS_MOUNT, child.N(0), b.p.Str("/"), child.N(0), child.N(unix.MS_PRIVATE|unix.MS_REC), child.N(0))
	b.placeKit()
	b.writeRoot()
	if err := b.writeMounts(); err != nil {
		return err
	}
	b.finishDev()
	b.bindConsole()
	b.makeWorkdir()
	b.sysctlsWithoutProc()
	b.writeReadonlyPaths()
	b.writeMaskedPaths()
	b.joinLastCgroup()
	b.writePivot()
	return nil
}

// writeSystem writes the steps that change the new namespaces themselves.
func (b *build) writeSystem() error {
	p, s := b.p, b.spec
	if s.Hostname != "" {
		p.Step("set hostname", "the container's own name")
		p.Call(unix.SYS_SETHOSTNAME, p.Str(s.Hostname), child.N(len(s.Hostname)))
	}
	if s.Domainname != "" {
		p.Step("set domainname", "the container's own NIS domain")
		p.Call(unix.SYS_SETDOMAINNAME, p.Str(s.Domainname), child.N(len(s.Domainname)))
	}
	if b.ns.fresh&unix.CLONE_NEWNET != 0 {
		b.raiseLoopback()
	}
	if !b.c.NoNewKeyring {
		p.Step("new session keyring", "the caller's keys stay the caller's")
		p.Call(unix.SYS_KEYCTL, child.N(unix.KEYCTL_JOIN_SESSION_KEYRING), p.Str("_ses."+b.c.ID)).Tolerate(unix.ENOSYS)
	}
	if s.Linux.Personality != nil {
		return b.writePersonality()
	}
	return nil
}

func (b *build) writePersonality() error {
	domain := 0
	switch b.spec.Linux.Personality.Domain {
	case specs.PerLinux:
	case specs.PerLinux32:
		domain = 8 // PER_LINUX32
	default:
		return b.invalid("linux.personality", fmt.Errorf("%q is no execution domain", b.spec.Linux.Personality.Domain))
	}
	if len(b.spec.Linux.Personality.Flags) > 0 {
		return unsupported("linux.personality.flags")
	}
	b.p.Step("set personality", "what uname says of the machine")
	b.p.Call(unix.SYS_PERSONALITY, child.N(domain))
	return nil
}

// raiseLoopback sets lo up: 127.0.0.1 works in every container.
func (b *build) raiseLoopback() {
	p, fd := b.p, b.p.NewSlot()
	p.Step("raise loopback", "127.0.0.1 is the container itself")
	p.Call(unix.SYS_SOCKET, child.N(unix.AF_INET), child.N(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), child.N(0)).Into(fd)
	var ifreq struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(ifreq.name[:], "lo")
	ifreq.flags = unix.IFF_UP | unix.IFF_RUNNING
	p.Call(unix.SYS_IOCTL, fd.Value(), child.N(unix.SIOCSIFFLAGS), child.Struct(p, ifreq))
	p.Call(unix.SYS_CLOSE, fd.Value())
}

// joinLastCgroup joins the cpu controller's cgroup, now that most is done, and makes what is above invisible.
func (b *build) joinLastCgroup() {
	if !b.joinsLate {
		return
	}
	b.p.Step("join cpu cgroup", "from here on its share and quota count")
	b.p.Call(unix.SYS_WRITE, b.lastCgroup.Value(), b.p.Str("0"), child.N(1))
	b.unshareCgroup()
}

// enterCgroup2Namespace is for containers that are born in their cgroup, or have none of their own.
func (b *build) enterCgroup2Namespace() {
	if !b.joinsLate {
		b.unshareCgroup()
	}
}

func (b *build) unshareCgroup() {
	if b.ns.fresh&unix.CLONE_NEWCGROUP != 0 {
		b.p.Step("unshare cgroup namespace", "the container's cgroup is the root of what it sees")
		b.p.Call(unix.SYS_UNSHARE, child.N(unix.CLONE_NEWCGROUP))
	}
}

// makeWorkdir makes a working directory that is missing. It belongs to the user who shall work there.
func (b *build) makeWorkdir() {
	if b.spec.Process == nil || b.spec.Process.Cwd == "/" {
		return
	}
	p, u := b.p, b.spec.Process.User
	rel := strings.TrimPrefix(cleanAbs(b.spec.Process.Cwd), "/")
	if rel == "" {
		return
	}
	p.Step("make working directory", "where it is missing")
	fd, missing, done := p.NewSlot(), p.NewLabel(), p.NewLabel()
	p.Call(unix.SYS_OPENAT2, b.root.Value(), p.Str(rel), b.inRoot(unix.O_PATH), child.N(openHowSize)).Into(fd).OnError(missing, unix.ENOENT)
	p.Goto(done)
	p.Place(missing)
	b.makePlace(rel, false, &owner{u.UID, u.GID})
	p.Place(done)
	p.Call(unix.SYS_CLOSE, fd.Value()).Tolerate(unix.EBADF)
}

// writeProcess writes what turns the child into the user's process.
func (b *build) writeProcess() error {
	proc := b.spec.Process
	if proc == nil {
		return b.writeIdle()
	}
	if err := b.setHome(proc); err != nil {
		return err
	}
	b.writeStdio()
	if len(proc.Rlimits) > 0 { // some are set from outside
		if err := b.meetChild(); err != nil {
			return err
		}
	}
	limits, err := effectiveLimits(b.pid, proc.Rlimits, b.notice)
	if err != nil {
		return err
	}
	filter, err := seccomp.Compile(b.c.Seccomp, b.seccompCache())
	if err != nil {
		return err
	}
	b.notices = append(b.notices, filter.Warnings...)
	x := &execution{
		track: &b.track, proc: proc, limits: limits, filter: filter, notice: b.notice, userNS: b.ids.active,
		parentDeath: b.c.ParentDeath, preserve: b.c.PreserveFDs, wait: b.writeWait,
	}
	if b.c.ExecFIFO != "" {
		if err := b.openFIFO(); err != nil {
			return err
		}
		x.onFail = func() { b.writeResult(b.fifo[1]) }
	}
	return x.write()
}

// writeIdle is for a container without a process (runtime-spec: config.json's process is optional for create).
func (b *build) writeIdle() error {
	return b.invalid("process", fmt.Errorf("it is missing"))
}

func (b *build) seccompCache() string {
	if b.c.StateDir == "" {
		return ""
	}
	return b.c.StateDir + "/seccomp"
}

// writeWait makes the child tell that it is ready, and wait for its start.
func (b *build) writeWait() {
	p := b.p
	p.Step("wait for start", "created; the program begins with start")
	p.Report(reportReady)
	if b.c.ExecFIFO == "" {
		p.Await()
		return
	}
	p.Call(unix.SYS_READ, b.fifo[0].Value(), p.Buffer(8).Addr(), child.N(1))
}

// openFIFO opens both FIFOs so that no open waits, and none sees an end while the child lives.
func (b *build) openFIFO() error {
	for i, name := range []string{b.c.ExecFIFO, b.c.ExecFIFO + resultSuffix} {
		fd := -1
		if !b.plan {
			var err error
			if fd, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
				return fmt.Errorf("open %s: %w", name, err)
			}
		}
		b.fifo[i] = b.p.FD(b.own(fd))
	}
	return nil
}

// setFromOutside sets what a process in a user namespace couldn't.
func (b *build) setFromOutside() error {
	if b.spec.Process == nil || b.spec.Process.OOMScoreAdj == nil {
		return nil
	}
	value := fmt.Sprint(*b.spec.Process.OOMScoreAdj)
	return b.parent("set oom score", "who goes first when memory runs out", func() []string { return []string{"write(oom_score_adj, " + value + ")"} }, func() error {
		return linux.WriteProc(b.pid, "oom_score_adj", value)
	})
}

// execution writes the last steps of a process, of a container's first one or of exec.
type execution struct {
	track       *track
	proc        *specs.Process
	limits      []rlimit
	filter      *seccomp.Program
	notice      func(string, ...any)
	userNS      bool
	parentDeath unix.Signal
	preserve    int
	wait        func() // written before the program begins
	onFail      func() // written for when it can't
	path        child.Slot
}

func (x *execution) write() error {
	p, proc := x.track.p, x.proc
	if x.filter.ListenerNeeded {
		return unsupported("seccomp action SCMP_ACT_NOTIFY")
	}
	if proc.IOPriority != nil {
		prio, err := ioPriority(proc.IOPriority)
		if err != nil {
			return err
		}
		p.Step("set i/o priority", "whose disk access goes first")
		p.Call(unix.SYS_IOPRIO_SET, child.N(1), child.N(0), child.N(prio))
	}
	x.path, x.track.name = p.NewSlot(), proc.Args[0]
	caps := x.capabilities()
	x.writeBounding(caps.bounding)
	moved := p.NewSlot()
	x.writeChdir(moved)
	x.writeUser()
	x.writeChdirAgain(moved)
	// Without no_new_privs a filter may be installed with CAP_SYS_ADMIN only, so it is kept until then.
	early := len(x.filter.Filter) > 0 && !proc.NoNewPrivileges
	if early {
		x.writeCapabilities(capabilities{effective: caps.effective | 1<<unix.CAP_SYS_ADMIN, permitted: caps.permitted | 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SETPCAP})
	} else {
		x.writeCapabilities(caps)
	}
	if proc.NoNewPrivileges {
		p.Step("forbid new privileges", "set-user-id programs stay what they are")
		p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_NO_NEW_PRIVS), child.N(1), child.N(0), child.N(0), child.N(0))
	}
	x.writeFind()
	x.writeParentDeath()
	if x.wait != nil {
		x.wait()
	}
	p.Step("close descriptors", "nothing of the host stays open in the container")
	writeLimits(p, x.limits)
	p.Call(unix.SYS_CLOSE_RANGE, child.N(3+x.preserve), child.N(uint32(1<<31-1)), child.N(unix.CLOSE_RANGE_CLOEXEC))
	x.writeFilter()
	if early {
		x.writeCapabilities(caps)
	}
	x.writeExec()
	return nil
}

// writeBounding takes away what neither the program nor any set-user-id file shall ever have.
func (x *execution) writeBounding(bounding uint64) {
	p := x.track.p
	p.Step("drop capabilities", "of root's forty rights, the container keeps a few")
	last := lastCapability()
	for c := 0; c <= last; c++ {
		if bounding&(1<<c) == 0 {
			p.Call(unix.SYS_PRCTL, child.N(unix.PR_CAPBSET_DROP), child.N(c), child.N(0), child.N(0), child.N(0))
		}
	}
}

// writeChdir enters the working directory as root, who may enter most; the user tries again later.
func (x *execution) writeChdir(moved child.Slot) {
	p, failed := x.track.p, x.track.p.NewLabel()
	p.Step("enter working directory", "")
	p.Call(unix.SYS_CHDIR, p.Str(x.proc.Cwd)).OnError(failed, unix.EACCES, unix.EPERM)
	p.Store(moved, child.N(1))
	p.Place(failed)
}

// writeChdirAgain checks that the working directory lies inside the root: a descriptor of the host's that is open by mistake
// could lead out (CVE-2024-21626). getcwd(2) begins with "(unreachable)" then.
func (x *execution) writeChdirAgain(moved child.Slot) {
	p, there, inside := x.track.p, x.track.p.NewLabel(), x.track.p.NewLabel()
	p.Step("check working directory", "it lies inside the container")
	p.Compare(moved.Value(), ^uint32(0), ^uint32(0), there)
	p.Call(unix.SYS_CHDIR, p.Str(x.proc.Cwd))
	p.Place(there)
	cwd, outside := p.Buffer(4096), p.NewLabel()
	p.Call(unix.SYS_GETCWD, cwd.Addr(), child.N(4096))
	p.Compare(child.Slot(cwd).Value(), 0xff, '/', outside)
	p.Goto(inside)
	p.Place(outside)
	p.Fail(unix.EXDEV)
	p.Place(inside)
}

// writeUser becomes the user. Capabilities stay permitted meanwhile; the sets are final later.
func (x *execution) writeUser() {
	p, u := x.track.p, x.proc.User
	p.Step("become user", "")
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_KEEPCAPS), child.N(1), child.N(0), child.N(0), child.N(0))
	groups := make([]byte, 0, 4*len(u.AdditionalGids))
	for _, g := range u.AdditionalGids {
		groups = append(groups, byte(g), byte(g>>8), byte(g>>16), byte(g>>24))
	}
	p.Call(unix.SYS_SETGROUPS, child.N(len(u.AdditionalGids)), p.Bytes(groups))
	p.Call(unix.SYS_SETRESGID, child.N(u.GID), child.N(u.GID), child.N(u.GID))
	p.Call(unix.SYS_SETRESUID, child.N(u.UID), child.N(u.UID), child.N(u.UID))
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_KEEPCAPS), child.N(0), child.N(0), child.N(0), child.N(0))
	// Changing ids makes the process dumpable or not by a rule of its own (PR_SET_DUMPABLE in prctl(2)).
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_DUMPABLE), child.N(0))
	umask := uint32(0o022)
	if u.Umask != nil {
		umask = *u.Umask
	}
	p.Call(unix.SYS_UMASK, child.N(umask))
}

// capabilities are the sets of a process.
type capabilities struct{ bounding, effective, permitted, inheritable, ambient uint64 }

// capabilities clamps the wanted sets to what can be given: in the host's user namespace, what this process
// has; a right that is missing costs a notice, not the container. The inheritable set is empty
// (CVE-2022-24769) but for what ambient capabilities need there.
func (x *execution) capabilities() capabilities {
	c := x.proc.Capabilities
	if c == nil {
		return capabilities{}
	}
	w := capabilities{
		bounding: capabilitySet(c.Bounding, x.notice), effective: capabilitySet(c.Effective, func(string, ...any) {}),
		permitted: capabilitySet(c.Permitted, func(string, ...any) {}), ambient: capabilitySet(c.Ambient, func(string, ...any) {}),
	}
	have := uint64(1)<<(lastCapability()+1) - 1
	if !x.userNS {
		have &= boundingSet()
	}
	if missing := (w.bounding | w.permitted) &^ have; missing != 0 {
		x.notice("capabilities that this process doesn't have itself are left out: %s", capabilityList(missing))
	}
	w.bounding &= have
	w.permitted &= have
	w.effective &= w.permitted
	w.ambient &= w.permitted
	w.inheritable = w.ambient
	return w
}

func capabilityList(set uint64) string {
	var names []string
	for ; set != 0; set &= set - 1 {
		n := bits.TrailingZeros64(set)
		name := fmt.Sprint(n)
		if n < len(capabilityNames) {
			name = "CAP_" + capabilityNames[n]
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func (x *execution) writeCapabilities(c capabilities) {
	p := x.track.p
	p.Step("set capabilities", "")
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: uint32(c.effective), Permitted: uint32(c.permitted), Inheritable: uint32(c.inheritable)},
		{Effective: uint32(c.effective >> 32), Permitted: uint32(c.permitted >> 32), Inheritable: uint32(c.inheritable >> 32)},
	}
	p.Call(unix.SYS_CAPSET, child.Struct(p, hdr), child.Struct(p, data))
	for set := c.ambient; set != 0; set &= set - 1 {
		p.Call(unix.SYS_PRCTL, child.N(unix.PR_CAP_AMBIENT), child.N(unix.PR_CAP_AMBIENT_RAISE), child.N(bits.TrailingZeros64(set)), child.N(0), child.N(0))
	}
}

// writeFilter installs the seccomp filter; from then on only what it allows can be done.
func (x *execution) writeFilter() {
	if len(x.filter.Filter) == 0 {
		return
	}
	p := x.track.p
	p.Step("install system call filter", "what the program may ask the kernel")
	code := p.Bytes(unsafe.Slice((*byte)(unsafe.Pointer(&x.filter.Filter[0])), len(x.filter.Filter)*int(unsafe.Sizeof(unix.SockFilter{}))))
	prog := p.Prog(len(x.filter.Filter), code)
	p.Call(unix.SYS_SECCOMP, child.N(unix.SECCOMP_SET_MODE_FILTER), child.N(x.filter.Flags), prog)
}

// writeParentDeath sets the parent-death signal again, which changing ids has cleared.
func (x *execution) writeParentDeath() {
	if x.parentDeath == 0 {
		return
	}
	p := x.track.p
	p.Step("tie to parent", "a container doesn't outlive its monitor")
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_PDEATHSIG), child.N(x.parentDeath), child.N(0), child.N(0), child.N(0))
	p.CheckParent()
}
