package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// Program is a compiled filter, ready for seccomp(SECCOMP_SET_MODE_FILTER, Flags, …).
type Program struct {
	Filter []unix.SockFilter // empty: the configuration asks for no filter
	Flags  uint              // SECCOMP_FILTER_FLAG_*, NEW_LISTENER among them where ListenerNeeded
	// ListenerNeeded: a rule notifies, so the descriptor that seccomp(2) returns goes to linux.seccomp.listenerPath.
	ListenerNeeded bool
	// Warnings are things asked for that have no effect here.
	Warnings []string
	// LeftOut are names and architectures that are not known here. Profiles are written for many machines and
	// kernels, so this is usual, and nothing to bother a user with.
	LeftOut []string
}

// maxLength is the kernel's limit for one filter (BPF_MAXINSNS).
const maxLength = 4096

// Compile turns the text of linux.seccomp into a program. cacheDir keeps compiled programs by the digest of
// the text ("" keeps none); it is made if missing and belongs to root alone. A cache that can't be used costs time,
// never an error. Errors: container.ErrInvalid.
func Compile(raw json.RawMessage, cacheDir string) (*Program, error) {
	if text := bytes.TrimSpace(raw); len(text) == 0 || bytes.Equal(text, []byte("null")) {
		return &Program{}, nil
	}
	var c *cache
	if cacheDir != "" {
		c = openCache(cacheDir, raw)
		if p := c.load(); p != nil {
			return p, nil
		}
	}
	sc := new(specs.LinuxSeccomp)
	if err := json.Unmarshal(raw, sc); err != nil {
		return nil, invalid(err)
	}
	p, err := compile(sc, native)
	if err != nil {
		return nil, err
	}
	if c != nil {
		c.store(p)
	}
	return p, nil
}

// compile makes the program for a kind of machine.
func compile(sc *specs.LinuxSeccomp, m machine) (*Program, error) {
	if sc.DefaultAction == "" && len(sc.Syscalls) == 0 {
		return &Program{}, nil
	}
	pol, err := newPolicy(sc, m)
	if err != nil {
		return nil, invalid(err)
	}
	return pol.program()
}

func (p *policy) program() (*Program, error) {
	filter := []unix.SockFilter(p.build())
	if err := verify(filter); err != nil {
		return nil, invalid(err)
	}
	return &Program{Filter: filter, Flags: p.flags, ListenerNeeded: p.notify, Warnings: p.warn, LeftOut: p.leftOut}, nil
}

func invalid(cause error) error {
	return container.Invalid("compile", "linux.seccomp", cause, "")
}

// verify checks what the kernel checks before it accepts a program (net/core/filter.c bpf_check_classic,
// kernel/seccomp.c seccomp_check_filter), for the instructions used here.
func verify(filter []unix.SockFilter) error {
	if len(filter) == 0 || len(filter) > maxLength {
		return fmt.Errorf("the filter has %d instructions, the kernel takes 1 to %d", len(filter), maxLength)
	}
	for i, in := range filter {
		left := uint32(len(filter) - i - 1)
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if in.K%4 != 0 || in.K >= offArgs+8*maxArgs {
				return fmt.Errorf("instruction %d loads offset %d", i, in.K)
			}
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, unix.BPF_RET | unix.BPF_K:
		case unix.BPF_JMP | unix.BPF_JA:
			if in.K >= left {
				return fmt.Errorf("instruction %d jumps out of the filter", i)
			}
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			if uint32(in.Jt) >= left || uint32(in.Jf) >= left {
				return fmt.Errorf("instruction %d jumps out of the filter", i)
			}
		default:
			return fmt.Errorf("instruction %d has code %#x", i, in.Code)
		}
	}
	if filter[len(filter)-1].Code != unix.BPF_RET|unix.BPF_K {
		return errors.New("the filter does not end in a return")
	}
	return nil
}
