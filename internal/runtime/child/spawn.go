package child

import (
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"
)

// The hooks that package syscall itself uses around a fork; it keeps them reachable for others (gVisor
// uses them, too). They block signals and keep the scheduler from moving this thread meanwhile.
//
//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

//go:linkname runtimeAfterForkInChild syscall.runtime_AfterForkInChild
func runtimeAfterForkInChild()

// vforkClone3 is clone3 with CLONE_VM and CLONE_VFORK.
func vforkClone3(args *cloneArgs, size uintptr) (pid, errno uintptr)

// cloneArgs is struct clone_args of clone3(2), Linux 5.7 with CLONE_INTO_CGROUP.
type cloneArgs struct {
	//lint:ignore U1000 the kernel's layout
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// Spawn says how the stub is started.
type Spawn struct {
	Flags  uintptr // CLONE_NEW…
	Cgroup int     // directory of a v2 cgroup to be born in, -1 for none
}

// launch is everything the new process touches before it is the stub.
type launch struct {
	args      cloneArgs
	pidfd     int32
	stub      uintptr
	sock      uintptr
	region    uintptr
	empty     *byte
	argv      [3]*byte
	envp      [1]*byte
	execErrno *int32
}

// Start starts the stub on the program's early operations and returns its pid and a pidfd.
func (p *Program) Start(s Spawn) (pid, pidfd int, err error) {
	begin, err := p.Prepare(s)
	if err != nil {
		return 0, -1, err
	}
	return begin()
}

// Prepare prepares the start of the stub; begin does it, and must be called. Most of begin's time is spent in the kernel, so
// it may run on another thread while this one goes on building the program's main part; nothing is
// forked meanwhile. The stub's parent-death signal follows begin's thread (prctl(2), PR_SET_PDEATHSIG): with
// one, it must be a thread that lives as long as the process.
func (p *Program) Prepare(s Spawn) (begin func() (pid, pidfd int, err error), err error) {
	file, err := stubFile()
	if err != nil {
		return nil, err
	}
	// Nothing else may be forked while both ends of the socket are open here: a copy of the child's end
	// in another process would hide that the child is gone.
	syscall.ForkLock.Lock()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		syscall.ForkLock.Unlock()
		unix.Close(file)
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	p.sock, p.childSock = pair[0], pair[1]
	p.seal()
	l := &launch{
		args: cloneArgs{flags: uint64(s.Flags) | unix.CLONE_PIDFD, exitSignal: uint64(unix.SIGCHLD)},
		stub: uintptr(file), sock: uintptr(p.childSock), region: uintptr(p.fd),
		empty: cstring(""), argv: [3]*byte{cstring("gourd-init"), cstring(strconv.Itoa(p.fd))},
		execErrno: &p.header().errno,
	}
	if s.Cgroup >= 0 {
		l.args.flags |= unix.CLONE_INTO_CGROUP
		l.args.cgroup = uint64(s.Cgroup)
	}
	return func() (pid, pidfd int, err error) {
		defer syscall.ForkLock.Unlock()
		n, errno := fork(l)
		runtime.KeepAlive(l)
		unix.Close(pair[1])
		unix.Close(file)
		if errno != 0 {
			return 0, -1, fmt.Errorf("clone: %w", errno)
		}
		return int(n), int(l.pidfd), nil
	}, nil
}

// fork starts a process and turns it into the stub. The child borrows this process's memory until its
// execve, which saves the copy of the page tables; meanwhile this thread waits. What runs in the child is this function alone: it
// must not grow the stack, allocate, or be instrumented.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func fork(l *launch) (pid uintptr, errno syscall.Errno) {
	l.args.pidfd = uint64(uintptr(unsafe.Pointer(&l.pidfd)))
	l.args.flags |= unix.CLONE_VM | unix.CLONE_VFORK
	runtimeBeforeFork()
	pid, e := vforkClone3(&l.args, unsafe.Sizeof(l.args))
	errno = syscall.Errno(e)
	if errno != 0 || pid != 0 {
		runtimeAfterFork()
		return pid, errno
	}
	runtimeAfterForkInChild()
	syscall.RawSyscall(unix.SYS_FCNTL, l.sock, unix.F_SETFD, 0)
	syscall.RawSyscall(unix.SYS_FCNTL, l.region, unix.F_SETFD, 0)
	_, _, errno = syscall.RawSyscall6(unix.SYS_EXECVEAT, l.stub, uintptr(unsafe.Pointer(l.empty)),
		uintptr(unsafe.Pointer(&l.argv)), uintptr(unsafe.Pointer(&l.envp)), unix.AT_EMPTY_PATH, 0)
	*l.execErrno = int32(errno)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 255, 0, 0)
	}
}

func cstring(s string) *byte { return &append([]byte(s), 0)[0] }
