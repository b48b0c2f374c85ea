package seccomp

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// data is struct seccomp_data without the instruction pointer.
type data struct {
	nr   uint32
	arch uint32
	args [6]uint64
}

func (d *data) word(offset uint32) uint32 {
	switch {
	case offset == offNr:
		return d.nr
	case offset == offArch:
		return d.arch
	case offset < offArgs:
		return 0
	}
	arg := d.args[(offset-offArgs)/8]
	if offset%8 == 4 {
		return uint32(arg >> 32)
	}
	return uint32(arg)
}

// interpret runs a filter as the kernel would: classic BPF as far as seccomp allows it.
func interpret(filter []unix.SockFilter, d *data) (uint32, error) {
	var a, x uint32
	var mem [16]uint32
	for pc := 0; pc < len(filter); pc++ {
		in := filter[pc]
		operand := in.K
		if in.Code&unix.BPF_X != 0 {
			operand = x
		}
		switch in.Code & 0x7 {
		case unix.BPF_LD:
			switch in.Code {
			case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
				a = d.word(in.K)
			case unix.BPF_LD | unix.BPF_MEM:
				a = mem[in.K]
			case unix.BPF_LD | unix.BPF_IMM:
				a = in.K
			default:
				return 0, fmt.Errorf("load %#x at %d", in.Code, pc)
			}
		case unix.BPF_ST:
			mem[in.K] = a
		case unix.BPF_MISC:
			if in.Code&0xf8 == unix.BPF_TAX {
				x = a
			} else {
				a = x
			}
		case unix.BPF_ALU:
			if in.Code&0xf0 != unix.BPF_AND {
				return 0, fmt.Errorf("arithmetic %#x at %d", in.Code, pc)
			}
			a &= operand
		case unix.BPF_JMP:
			var yes bool
			switch in.Code & 0xf0 {
			case unix.BPF_JA:
				pc += int(in.K)
				continue
			case unix.BPF_JEQ:
				yes = a == operand
			case unix.BPF_JGT:
				yes = a > operand
			case unix.BPF_JGE:
				yes = a >= operand
			case unix.BPF_JSET:
				yes = a&operand != 0
			}
			if yes {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_RET:
			return in.K, nil
		default:
			return 0, fmt.Errorf("instruction %#x at %d", in.Code, pc)
		}
	}
	return 0, fmt.Errorf("ran off the end")
}

func mustRun(t *testing.T, filter []unix.SockFilter, d *data) uint32 {
	t.Helper()
	v, err := interpret(filter, d)
	if err != nil {
		t.Fatalf("interpret: %v", err)
	}
	return v
}
