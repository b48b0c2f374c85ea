package devices

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The v2 hierarchy has no device files: a BPF program attached to the directory (Linux 4.15) decides.

// insn is one eBPF instruction (struct bpf_insn; Documentation/bpf/standardization/instruction-set.rst).
type insn struct {
	code byte
	regs byte // destination in the low half, source in the high one
	off  int16
	imm  int32
}

const (
	loadWord = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
	andImm   = 0x07 | 0x50 // BPF_ALU64 | BPF_AND
	shiftImm = 0x07 | 0x70 // BPF_ALU64 | BPF_RSH
	moveReg  = 0x07 | 0xb0 | unix.BPF_X
	moveImm  = 0x07 | 0xb0
	jumpEq   = unix.BPF_JMP | 0x10
	jumpNe   = unix.BPF_JMP | 0x50
	exit     = unix.BPF_JMP | 0x90
)

// The registers of the program. R1 holds the context at first: access<<16|type, major, minor.
const (
	rResult = iota
	rContext
	rType
	rAccess
	rMajor
	rMinor
	rScratch
)

// deviceProgram compiles a list of rules. As in the v1 controller the last rule that fits decides, so
// the program asks in reverse order; behind an "every device" rule nothing older counts.
func deviceProgram(rules []Rule) []insn {
	p := []insn{
		{code: loadWord, regs: rType | rContext<<4},
		{code: moveReg, regs: rAccess | rType<<4},
		{code: andImm, regs: rType, imm: 0xffff},
		{code: shiftImm, regs: rAccess, imm: 16},
		{code: loadWord, regs: rMajor | rContext<<4, off: 4},
		{code: loadWord, regs: rMinor | rContext<<4, off: 8},
	}
	rules = merge(rules)
	for i := len(rules) - 1; i >= 0; i-- {
		block := rules[i].compile()
		p = append(p, block...)
		if len(block) == 2 { // no condition: the verifier refuses what can't be reached
			return p
		}
	}
	return append(p, verdict(false)...)
}

// merge joins neighbours that differ in their access only: "r" and "w" of one device allow opening it
// for both at once.
func merge(rules []Rule) []Rule {
	var merged []Rule
	for _, r := range rules {
		if n := len(merged); n > 0 {
			last := merged[n-1]
			last.Access |= r.Access
			if same := r; last.Kind == same.Kind && last.Major == same.Major && last.Minor == same.Minor && last.Allow == same.Allow {
				merged[n-1] = last
				continue
			}
		}
		merged = append(merged, r)
	}
	return merged
}

// compile gives the instructions of one rule: conditions that jump behind the block, then the verdict.
func (r Rule) compile() []insn {
	var p []insn
	switch r.Kind {
	case 'b':
		p = append(p, insn{code: jumpNe, regs: rType, imm: 1}) // BPF_DEVCG_DEV_BLOCK
	case 'c':
		p = append(p, insn{code: jumpNe, regs: rType, imm: 2}) // BPF_DEVCG_DEV_CHAR
	}
	if r.Kind != 0 && r.Major >= 0 {
		p = append(p, insn{code: jumpNe, regs: rMajor, imm: int32(r.Major)})
	}
	if r.Kind != 0 && r.Minor >= 0 {
		p = append(p, insn{code: jumpNe, regs: rMinor, imm: int32(r.Minor)})
	}
	if r.Access != anyAccess {
		// Allow: nothing beyond the rule may be asked for. Deny: anything of the rule is.
		mask, jump := r.Access, byte(jumpEq)
		if r.Allow {
			mask, jump = anyAccess&^r.Access, jumpNe
		}
		p = append(p, insn{code: moveReg, regs: rScratch | rAccess<<4},
			insn{code: andImm, regs: rScratch, imm: int32(mask)}, insn{code: jump, regs: rScratch})
	}
	for i := range p {
		if p[i].code == jumpEq || p[i].code == jumpNe {
			p[i].off = int16(len(p) + 2 - i - 1)
		}
	}
	return append(p, verdict(r.Allow)...)
}

func verdict(allow bool) []insn {
	imm := int32(0)
	if allow {
		imm = 1
	}
	return []insn{{code: moveImm, regs: rResult, imm: imm}, {code: exit}}
}

// programName marks our programs among others on a group (systemd attaches its own).
const programName = "gourd_devices"

// ApplyV2 attaches a program for the rules and takes an earlier one of ours away. All programs of
// a group must agree to an access, so there is no moment with more allowed than before and after.
func ApplyV2(path string, rules []Rule) error {
	dir, err := unix.Open(path, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(dir)
	old, err := attachedPrograms(dir)
	if err != nil {
		return err
	}
	defer func() {
		for _, fd := range old {
			unix.Close(fd)
		}
	}()
	program, err := loadProgram(deviceProgram(rules))
	if err != nil {
		return fmt.Errorf("load device program: %w", err)
	}
	defer unix.Close(program) // the group keeps it
	attr := attachAttr{target: uint32(dir), program: uint32(program), kind: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return fmt.Errorf("attach device program: %w", err)
	}
	for _, fd := range old {
		attr := attachAttr{target: uint32(dir), program: uint32(fd), kind: unix.BPF_CGROUP_DEVICE}
		if _, err := bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
			return fmt.Errorf("detach old device program: %w", err)
		}
	}
	return nil
}

// attachAttr is union bpf_attr of BPF_PROG_ATTACH and BPF_PROG_DETACH.
type attachAttr struct{ target, program, kind, flags, replace uint32 }

// bpf is bpf(2). The verifier may be interrupted by a signal and says EAGAIN (Linux 4.20).
func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	for try := 0; ; try++ {
		r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
		switch {
		case errno == 0:
			return int(r), nil
		case errno != unix.EAGAIN || try == 30:
			return -1, errno
		}
	}
}

// loadProgram is BPF_PROG_LOAD.
func loadProgram(p []insn) (int, error) {
	license := []byte("Apache-2.0\x00")
	attr := struct {
		kind, count        uint32
		insns, license     uint64
		logLevel, logSize  uint32
		log                uint64
		kernVersion, flags uint32
		name               [16]byte
	}{kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(p))}
	copy(attr.name[:], programName)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&p[0])
	pin.Pin(&license[0])
	attr.insns, attr.license = uint64(uintptr(unsafe.Pointer(&p[0]))), uint64(uintptr(unsafe.Pointer(&license[0])))
	return bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// attachedPrograms gives descriptors of our programs on a group.
func attachedPrograms(dir int) ([]int, error) {
	ids := make([]uint32, 64) // the kernel's own limit
	// Linux 6.17 and on write the field `revision` whatever size was given: leave room for it.
	attr := struct {
		target, kind, query, flags          uint32
		ids                                 uint64
		count, pad                          uint32
		progFlags, linkIDs, linkFlags, revs uint64
	}{target: uint32(dir), kind: unix.BPF_CGROUP_DEVICE, count: uint32(len(ids))}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&ids[0])
	attr.ids = uint64(uintptr(unsafe.Pointer(&ids[0])))
	if _, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return nil, fmt.Errorf("list device programs: %w", err)
	}
	var fds []int
	for _, id := range ids[:attr.count] {
		arg := struct{ id, next, flags uint32 }{id: id}
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&arg), unsafe.Sizeof(arg))
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT) {
			continue // someone else's, or gone since
		}
		if err != nil {
			return fds, fmt.Errorf("open device program %d: %w", id, err)
		}
		if !isOurs(fd) {
			unix.Close(fd)
			continue
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// isOurs reads the program's name (struct bpf_prog_info, offset 64).
func isOurs(fd int) bool {
	info := make([]byte, 80)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&info[0])
	arg := struct {
		fd, length uint32
		info       uint64
	}{uint32(fd), uint32(len(info)), uint64(uintptr(unsafe.Pointer(&info[0])))}
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&arg), unsafe.Sizeof(arg))
	name, _, _ := bytes.Cut(info[64:80], []byte{0})
	return err == nil && string(name) == programName
}
