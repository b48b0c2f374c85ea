package child

import (
	"encoding/binary"
	"fmt"
	"time"
	"unsafe"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// header is the start of the region. The stub knows the offsets of the first five fields.
type header struct {
	start   uint64 // first operation
	current uint64 // the one that runs
	failed  uint64 // the one that failed, with errno
	errno   int32
	_       int32
	onFail  uint64 // where to go on after a failure, once; 0: exit
	main    uint32 // first operation of the main part; 0 until Release
	pid     int32  // what a clone operation returned
}

// operation is one line of the table as the stub reads it (offsets in stub_GOARCH.s).
type operation struct {
	nr       int64
	args     [6]uint64
	indirect uint64 // bit i: args[i] is the address of a 32-bit value
	save     uint64 // where to keep the result's low 32 bits; 0: nowhere
	errs     [2]int32
	onErr    uint64 // next operation after one of errs; errs[0] == -1 stands for any
	next     uint64
	onZero   uint64 // next operation after result 0; 0: as any other result
	step     uint32
	_        uint32
}

const operationSize = unsafe.Sizeof(operation{})

// Numbers below zero are no system calls.
const (
	opCompare = -1 // go to next if args[0] & args[1] == args[2], else to onErr
	opStore   = -2 // store args[1] (32 bits) at address args[0]
	opJump    = -3 // go to address args[0]
	opFail    = -4 // fail with errno args[1]
)

// AnyError stands for every error number.
const AnyError = ^unix.Errno(0)

// Op is an operation while the program is built. Its methods say what the stub shall do with the result.
type Op struct {
	nr     int
	args   [6]Arg
	save   Ref
	errs   [2]int32
	onErr  *Label // nil: the operation that follows
	next   *Label // nil: the operation that follows
	onZero *Label
	step   int
}

// Ref is an address in the region as the child sees it.
type Ref uint32

// Arg is an argument of an operation: a number, an address, or the value at an address.
type Arg struct {
	value    uint64
	indirect bool
}

// Slot is a place for a value that the child learns only when it runs: a descriptor, usually.
type Slot Ref

// N makes an argument of a number.
func N[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr](n T) Arg {
	return Arg{value: uint64(n)}
}

// Value is the argument that has whatever the slot holds when the operation runs.
func (s Slot) Value() Arg { return Arg{value: uint64(s), indirect: true} }

// Addr makes an argument of an address.
func (r Ref) Addr() Arg { return Arg{value: uint64(r)} }

// Label is a place in the table to go to.
type Label struct{ op int }

// Program is the table of a child and the region it lies in. It has an early part, which runs as soon as
// the stub has started, and a main part, which runs once Release has sent the descriptors it needs.
// The builder's methods may be called before and after Start.
type Program struct {
	fd   int    // the region's file, -1 in a plan
	mem  []byte // the region
	used int

	ops         []Op
	where       []Ref // the addresses of those ops that are in the region already
	steps       []container.Step
	parentCalls []parentCalls
	stamps      []Ref // when each child's step ended
	step        int
	err         error
	begin       time.Time

	sock, childSock int  // childSock is closed when the child has it
	sockValue       Slot // the child's end, and its neighbours
	belowSock       Slot
	aboveSock       Slot
	early           *batch   // what the first message brings, nil if there is none
	batches         []*batch // what Release brings
	mainStart       int      // first operation of the main part
	exit            *Label
	dieAt           string
	onFail          *Label
}

// parentCalls tells the system calls of a step of the parent's.
type parentCalls struct {
	step  int
	calls func() []string
}

// populate is how much of the region a container's table takes.
const populate = 96 << 10

// New makes a program in a region of shared memory.
func New() (*Program, error) {
	fd, err := unix.MemfdCreate("gourd-region", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // MFD_NOEXEC_SEAL came with Linux 6.3
		fd, err = unix.MemfdCreate("gourd-region", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	p := &Program{fd: fd, sock: -1, childSock: -1}
	if err := unix.Ftruncate(fd, regionSize); err != nil {
		p.Close()
		return nil, fmt.Errorf("make shared memory: %w", err)
	}
	p.mem, err = unix.Mmap(fd, 0, regionSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("map shared memory: %w", err)
	}
	// The pages that every table needs, at once instead of by a fault each (Linux 5.14; else by faults).
	unix.Madvise(p.mem[:populate], unix.MADV_POPULATE_WRITE)
	p.begin = time.Now()
	p.init()
	return p, nil
}

// NewPlan makes a program that can be looked at, but not started.
func NewPlan() *Program {
	p := &Program{fd: -1, sock: -1, childSock: -1, mem: make([]byte, 1<<20)}
	p.init()
	return p
}

func (p *Program) init() {
	p.ops = make([]Op, 0, 512)
	p.steps, p.stamps = make([]container.Step, 0, 64), make([]Ref, 0, 64)
	p.used = int(unsafe.Sizeof(header{}))
	p.sockValue, p.belowSock, p.aboveSock = p.NewSlot(), p.NewSlot(), p.NewSlot()
	p.exit = p.NewLabel()
}

// Close gives back everything but the child itself.
func (p *Program) Close() {
	p.Disconnect()
	if p.mem != nil && p.begin != (time.Time{}) {
		unix.Munmap(p.mem)
	}
	p.mem = nil
}

// Disconnect gives back all descriptors. What the table tells about the child stays readable.
func (p *Program) Disconnect() {
	for _, fd := range []*int{&p.fd, &p.sock} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

func (p *Program) header() *header { return (*header)(unsafe.Pointer(&p.mem[0])) }

// alloc reserves n bytes at a multiple of align. A region that is full is an error of the whole program.
func (p *Program) alloc(n, align int) (Ref, []byte) {
	at := (p.used + align - 1) &^ (align - 1)
	if at+n > len(p.mem) {
		if p.err == nil {
			p.err = &container.Error{
				Verb: "build the table of steps", Kind: container.ErrInvalid, Cause: unix.E2BIG,
				Hint: "arguments, environment and mounts need more than 16 MiB",
			}
		}
		return regionBase, make([]byte, n)
	}
	p.used = at + n
	return Ref(regionBase + at), p.mem[at : at+n : at+n]
}

// Str puts a string with its final zero in the region.
func (p *Program) Str(s string) Arg {
	r, b := p.alloc(len(s)+1, 1)
	copy(b, s)
	b[len(s)] = 0
	return r.Addr()
}

// Bytes puts a structure or a value in the region.
func (p *Program) Bytes(b []byte) Arg {
	r, to := p.alloc(len(b), 8)
	copy(to, b)
	return r.Addr()
}

// Buffer reserves n bytes for a result.
func (p *Program) Buffer(n int) Ref {
	r, b := p.alloc(n, 8)
	clear(b)
	return r
}

// Pointers puts a zero-terminated array of pointers to strings in the region, for execve.
func (p *Program) Pointers(list []string) Arg {
	r, b := p.alloc(8*(len(list)+1), 8)
	for i, s := range list {
		binary.NativeEndian.PutUint64(b[8*i:], p.Str(s).value)
	}
	binary.NativeEndian.PutUint64(b[8*len(list):], 0)
	return r.Addr()
}

// Struct puts the memory of v, which must hold no pointers of this process, in the region.
func Struct[T any](p *Program, v T) Arg {
	return p.Bytes(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)))
}

// NewSlot makes a slot. It holds -1, which is no descriptor.
func (p *Program) NewSlot() Slot {
	r, b := p.alloc(4, 4)
	binary.NativeEndian.PutUint32(b, ^uint32(0))
	return Slot(r)
}

// Read gives what a slot holds now.
func (p *Program) Read(s Slot) int32 {
	return int32(binary.NativeEndian.Uint32(p.mem[s-regionBase:]))
}

// At gives n bytes of the region.
func (p *Program) At(r Ref, n int) []byte { return p.mem[r-regionBase:][:n] }

// Step begins a named step: all operations until the next one belong to it. where is "parent" or "child".
func (p *Program) Step(name, why string) {
	p.endStep()
	p.steps = append(p.steps, container.Step{Name: name, Where: "child", Why: why})
	r, b := p.alloc(16, 8)
	clear(b)
	p.stamps = append(p.stamps, r)
	p.step = len(p.steps) - 1
	if name == p.dieAt && name != "" {
		p.Call(unix.SYS_EXIT_GROUP, N(137))
	}
}

// DieAt ends the child at the beginning of a step, as if it had been killed there: for tests of what is left then.
func (p *Program) DieAt(step string) { p.dieAt = step }

// ParentStep records a step that the parent has done now (or, in a plan, would do). calls tells its system calls,
// when somebody asks.
func (p *Program) ParentStep(name, why string, calls func() []string) (step int) {
	s := container.Step{Name: name, Where: "parent", Why: why}
	if p.fd >= 0 {
		s.At = time.Since(p.begin)
	}
	p.steps = append(p.steps, s)
	p.stamps = append(p.stamps, 0)
	p.parentCalls = append(p.parentCalls, parentCalls{len(p.steps) - 1, calls})
	return len(p.steps) - 1
}

// StepDone says when a step of the parent's ended that was recorded when it began.
func (p *Program) StepDone(step int, at time.Time) { p.steps[step].At = at.Sub(p.begin) }

// endStep stamps the end of the child's step with CLOCK_REALTIME, which no time namespace shifts.
func (p *Program) endStep() {
	if len(p.ops) == 0 || len(p.stamps) == 0 || p.stamps[p.step] == 0 {
		return
	}
	p.Call(unix.SYS_CLOCK_GETTIME, N(unix.CLOCK_REALTIME), Ref(p.stamps[p.step]).Addr()).Tolerate(AnyError)
}

// Call adds a system call.
func (p *Program) Call(nr int, args ...Arg) *Op {
	p.ops = append(p.ops, Op{nr: nr, step: p.step})
	o := &p.ops[len(p.ops)-1]
	copy(o.args[:], args)
	return o
}

// Compare goes on with the next operation if value & mask == want, else to other.
func (p *Program) Compare(value Arg, mask, want uint32, other *Label) {
	p.Call(opCompare, value, N(mask), N(want)).onErr = other
}

// Store puts a number or an address in a slot.
func (p *Program) Store(s Slot, v Arg) { p.Call(opStore, Ref(s).Addr(), v) }

// Goto goes on at a label.
func (p *Program) Goto(l *Label) { p.Call(opJump).next = l }

// Fail ends the program as if a system call had failed.
func (p *Program) Fail(errno unix.Errno) { p.Call(opFail, N(0), N(int(errno))) }

// NewLabel makes a label that Place puts somewhere later.
func (p *Program) NewLabel() *Label { return &Label{op: -1} }

// Place puts the label in front of the next operation.
func (p *Program) Place(l *Label) { l.op = len(p.ops) }

// Into keeps the result (a descriptor, usually) in a slot.
func (o *Op) Into(s Slot) *Op { o.save = Ref(s); return o }

// Tolerate goes on with the next operation after this error (AnyError: any).
func (o *Op) Tolerate(errno unix.Errno) *Op { return o.OnError(nil, errno) }

// OnError goes to l (nil: to the next operation) after one of at most two errors.
func (o *Op) OnError(l *Label, errnos ...unix.Errno) *Op {
	o.onErr = l
	for i, e := range errnos[:min(2, len(errnos))] {
		o.errs[i] = int32(e)
	}
	return o
}

// OnZero goes to l when the call returns 0.
func (o *Op) OnZero(l *Label) *Op { o.onZero = l; return o }

// OnFailure is where the child goes after an operation failed; without it the child ends.
func (p *Program) OnFailure(l *Label) { p.onFail = l }

// Prog makes struct sock_fprog (seccomp(2)).
func (p *Program) Prog(n int, code Arg) Arg {
	var b [16]byte
	binary.NativeEndian.PutUint16(b[:], uint16(n))
	binary.NativeEndian.PutUint64(b[8:], code.value)
	return p.Bytes(b[:])
}
