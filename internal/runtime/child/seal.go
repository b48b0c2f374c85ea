package child

import (
	"encoding/binary"
	"time"
	"unsafe"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// seal writes the operations that are not in the region yet. Their labels must be placed by now.
func (p *Program) seal() {
	first := len(p.where)
	base, mem := p.alloc(int(operationSize)*(len(p.ops)-first), 8)
	for i := first; i < len(p.ops); i++ {
		p.where = append(p.where, base+Ref(int(operationSize)*(i-first)))
	}
	if p.err != nil {
		return
	}
	for i := first; i < len(p.ops); i++ {
		at := int(operationSize) * (i - first)
		p.encode(&p.ops[i], i, (*operation)(unsafe.Pointer(&mem[at])))
	}
	h := p.header()
	if first == 0 {
		h.start = uint64(p.where[0])
		for slot, value := range map[Slot]int{p.sockValue: p.childSock, p.belowSock: p.childSock - 1, p.aboveSock: p.childSock + 1} {
			binary.NativeEndian.PutUint32(p.At(Ref(slot), 4), uint32(value))
		}
	}
	if p.onFail != nil && p.onFail.op >= 0 {
		h.onFail = uint64(p.where[p.onFail.op])
	}
}

func (p *Program) encode(o *Op, i int, w *operation) {
	*w = operation{nr: int64(o.nr), save: uint64(o.save), errs: o.errs, step: uint32(o.step)}
	for j, a := range o.args {
		w.args[j] = a.value
		if a.indirect {
			w.indirect |= 1 << j
		}
	}
	follow := min(i+1, len(p.ops)-1)
	w.next, w.onErr = p.target(o.next, follow), p.target(o.onErr, follow)
	if o.onZero != nil {
		w.onZero = p.target(o.onZero, follow)
	}
	if o.nr == opJump && o.next != nil {
		w.args[0] = w.next
	}
}

func (p *Program) target(l *Label, follow int) uint64 {
	if l != nil {
		follow = l.op
	}
	return uint64(p.where[follow])
}

// Failure is an operation that failed in the child.
type Failure struct {
	Step  string
	Op    int // index, for Text
	Errno unix.Errno
}

// Failure tells which operation failed, nil if none did.
func (p *Program) Failure() *Failure {
	h := p.header()
	if h.errno == 0 {
		return nil
	}
	f := &Failure{Op: -1, Errno: unix.Errno(h.errno)}
	for i, at := range p.where {
		if uint64(at) == h.failed {
			f.Op = i
			f.Step = p.stepName(p.ops[i].step)
		}
	}
	return f
}

// Current is the name of the step that the child is in and the number of its system call.
func (p *Program) Current() (step string, nr int) {
	at := p.header().current
	for i, w := range p.where {
		if uint64(w) == at {
			return p.stepName(p.ops[i].step), p.ops[i].nr
		}
	}
	return "", 0
}

func (p *Program) stepName(i int) string {
	if i >= len(p.steps) {
		return "start"
	}
	return p.steps[i].Name
}

// Cloned is the pid that the child's clone operation (SaveClone) returned.
func (p *Program) Cloned() int { return int(p.header().pid) }

// PidSlot is where a clone operation keeps the new process's pid.
func (p *Program) PidSlot() Slot { return Slot(regionBase + Ref(unsafe.Offsetof(header{}.pid))) }

// Steps gives all steps so far, the child's with the times it has stamped and with their system calls.
func (p *Program) Steps() []container.Step {
	list := make([]container.Step, len(p.steps))
	copy(list, p.steps)
	for _, c := range p.parentCalls {
		if c.calls != nil {
			list[c.step].Calls = c.calls()
		}
	}
	for i := range list {
		if list[i].Where != "child" {
			continue
		}
		list[i].Calls = p.calls(i)
		b := p.At(p.stamps[i], 16)
		sec, nsec := int64(binary.NativeEndian.Uint64(b)), int64(binary.NativeEndian.Uint64(b[8:]))
		if sec != 0 {
			list[i].At = time.Unix(sec, nsec).Sub(p.begin.Round(0))
		}
	}
	return list
}

// ErrnoAddr is where the error number of the failed operation is.
func (p *Program) ErrnoAddr() Arg {
	return Ref(regionBase + Ref(unsafe.Offsetof(header{}.errno))).Addr()
}
