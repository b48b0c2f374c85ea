package child

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxFDs is SCM_MAX_FD of the kernel: descriptors in one message.
const maxFDs = 253

// batch is one message with descriptors: the msghdr that the child receives it with, and the descriptors
// that the parent sends. The child's slots are the numbers in the control message itself.
type batch struct {
	msghdr Ref
	slots  Ref // first descriptor in the control buffer
	fds    []int
}

// newBatch lays out struct msghdr, iovec and control buffer (recvmsg(2), cmsg(3)) for a 64-bit kernel.
func (p *Program) newBatch() *batch {
	const controlSize = unix.SizeofCmsghdr + 4*maxFDs
	data, _ := p.alloc(1, 8)
	control, c := p.alloc(controlSize, 8)
	for i := range c {
		c[i] = 0xff
	}
	iov, v := p.alloc(16, 8)
	binary.NativeEndian.PutUint64(v, uint64(data))
	binary.NativeEndian.PutUint64(v[8:], 1)
	m := unix.Msghdr{Iovlen: 1, Controllen: controlSize}
	hdr, h := p.alloc(int(unsafe.Sizeof(m)), 8)
	copy(h, unsafe.Slice((*byte)(unsafe.Pointer(&m)), unsafe.Sizeof(m)))
	binary.NativeEndian.PutUint64(h[unsafe.Offsetof(m.Iov):], uint64(iov))
	binary.NativeEndian.PutUint64(h[unsafe.Offsetof(m.Control):], uint64(control))
	return &batch{msghdr: hdr, slots: control + unix.SizeofCmsghdr}
}

func (b *batch) add(fd int) Slot {
	b.fds = append(b.fds, fd)
	return Slot(b.slots + Ref(4*(len(b.fds)-1)))
}

// receive adds the operation that takes the batch's message. When the parent is gone there is none, and
// the child ends.
func (p *Program) receive(b *batch) *Op {
	return p.Call(unix.SYS_RECVMSG, p.sockValue.Value(), b.msghdr.Addr(), N(unix.MSG_CMSG_CLOEXEC)).OnZero(p.exit)
}

// EarlyFD makes a slot for a descriptor that the early part needs. All of them come before Early.
func (p *Program) EarlyFD(fd int) Slot {
	if p.early == nil {
		p.early = p.newBatch()
	}
	return p.early.add(fd)
}

// Early begins the early part: what the child does at once, while the parent prepares the rest. Of what
// the parent had open without close-on-exec, the child keeps 0, 1, 2 and the next keep descriptors:
// a container that waits for its start must not hold others' files open.
func (p *Program) Early(keep int) {
	p.Call(unix.SYS_FCNTL, p.sockValue.Value(), N(unix.F_SETFD), N(unix.FD_CLOEXEC))
	p.Call(unix.SYS_CLOSE_RANGE, N(3+keep), p.belowSock.Value(), N(0)).Tolerate(AnyError)
	p.Call(unix.SYS_CLOSE_RANGE, p.aboveSock.Value(), N(uint32(math.MaxInt32)), N(0)).Tolerate(AnyError)
	if p.early != nil {
		p.receive(p.early)
	}
}

// SendEarly hands over the descriptors of the early part.
func (p *Program) SendEarly() error {
	if p.early == nil {
		return nil
	}
	return p.send(p.early)
}

// Main ends the early part: the child waits for Release.
func (p *Program) Main() {
	p.batches = append(p.batches, p.newBatch())
	p.receive(p.batches[0])
	p.Call(opJump, Slot(regionBase+Ref(unsafe.Offsetof(header{}.main))).Value())
	// What everything jumps to that has to end the child.
	p.Place(p.exit)
	p.Call(unix.SYS_EXIT_GROUP, N(255))
	p.mainStart = len(p.ops)
}

// FD makes a slot for a descriptor that Release hands over.
func (p *Program) FD(fd int) Slot {
	last := p.batches[len(p.batches)-1]
	if len(last.fds) == maxFDs {
		last = p.newBatch()
		p.batches = append(p.batches, last)
	}
	return last.add(fd)
}

// Release hands the main part and its descriptors to the child. The caller keeps (and closes) its own.
func (p *Program) Release() error {
	first := &Label{op: p.mainStart}
	prologue := p.NewLabel()
	p.Place(prologue)
	for _, b := range p.batches[1:] {
		p.receive(b)
	}
	p.Goto(first)
	p.seal()
	if p.err != nil {
		return p.err
	}
	p.header().main = uint32(p.where[prologue.op])
	for _, b := range p.batches {
		if err := p.send(b); err != nil {
			return err
		}
	}
	return nil
}

func (p *Program) send(b *batch) error {
	var rights []byte
	if len(b.fds) > 0 {
		rights = unix.UnixRights(b.fds...)
	}
	for {
		err := unix.Sendmsg(p.sock, []byte{1}, rights, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return nil // The child has ended: its own report says why.
		}
		if err != nil {
			return fmt.Errorf("send %d descriptors to the child: %w", len(b.fds), err)
		}
		return nil
	}
}

// Await makes the child wait for Go. It ends if the parent does.
func (p *Program) Await() {
	p.Call(unix.SYS_RECVFROM, p.sockValue.Value(), p.Buffer(8).Addr(), N(1), N(0), N(0), N(0)).OnZero(p.exit)
}

// Report makes the child tell the parent that it has come this far: the parent's Wait returns code.
func (p *Program) Report(code byte) {
	p.Call(unix.SYS_SENDTO, p.sockValue.Value(), p.Bytes([]byte{code}), N(1), N(unix.MSG_NOSIGNAL), N(0), N(0)).Tolerate(AnyError)
}

// CheckParent ends the child if the parent is gone: for after a parent-death signal was set again.
func (p *Program) CheckParent() {
	p.Call(unix.SYS_RECVFROM, p.sockValue.Value(), p.Buffer(8).Addr(), N(1), N(unix.MSG_DONTWAIT|unix.MSG_PEEK), N(0), N(0)).
		Tolerate(unix.EAGAIN).OnZero(p.exit)
}

// Go lets a child that waits in Await continue.
func (p *Program) Go() error { return p.send(&batch{}) }

// Wait waits for the child's next report. ok is false when the child has closed its end: its execve
// succeeded, an operation failed, or it was killed; Result tells.
func (p *Program) Wait() (code byte, ok bool, err error) {
	var b [1]byte
	for {
		n, _, err := unix.Recvfrom(p.sock, b[:], 0)
		switch {
		case err == unix.EINTR:
		case errors.Is(err, unix.ECONNRESET): // It ended with a message of ours unread.
			return 0, false, nil
		case err != nil:
			return 0, false, fmt.Errorf("wait for the child: %w", err)
		default:
			return b[0], n > 0, nil
		}
	}
}
