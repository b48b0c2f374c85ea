package seccomp

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// call is one line of a table of system calls.
type call struct {
	name string
	nr   uint32
}

// arch is one system call ABI.
type arch struct {
	name  specs.Arch
	audit uint32 // seccomp_data.arch; x32 shares x86_64's
	wide  bool   // arguments are compared with 64 bits
	calls []call // sorted by name
	muxed bool   // has socketcall(2) and ipc(2)
}

// x32Bit marks the numbers of the x32 ABI (__X32_SYSCALL_BIT).
const x32Bit = 0x40000000

var (
	x86_64  = &arch{name: specs.ArchX86_64, audit: unix.AUDIT_ARCH_X86_64, wide: true, calls: callsX86_64}
	x32     = &arch{name: specs.ArchX32, audit: unix.AUDIT_ARCH_X86_64, calls: callsX32}
	x86     = &arch{name: specs.ArchX86, audit: unix.AUDIT_ARCH_I386, calls: callsX86, muxed: true}
	aarch64 = &arch{name: specs.ArchAARCH64, audit: unix.AUDIT_ARCH_AARCH64, wide: true, calls: callsAARCH64}
	arm     = &arch{name: specs.ArchARM, audit: unix.AUDIT_ARCH_ARM, calls: callsARM}
)

// machine is a kind of computer: the ABIs its kernel can report, the native one first.
type machine []*arch

var (
	amd64Machine = machine{x86_64, x86, x32}
	arm64Machine = machine{aarch64, arm}
)

// foreign are the architectures of the OCI specification that no machine of gourd's runs.
var foreign = []specs.Arch{
	specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32,
	specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64,
	specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
}

func knownArch(name specs.Arch) bool {
	return amd64Machine.find(name) != nil || arm64Machine.find(name) != nil || slices.Contains(foreign, name)
}

func (m machine) find(name specs.Arch) *arch {
	for _, a := range m {
		if a.name == name {
			return a
		}
	}
	return nil
}

// number finds a system call by name.
func (a *arch) number(name string) (uint32, bool) {
	i, ok := slices.BinarySearchFunc(a.calls, name, func(c call, name string) int { return strings.Compare(c.name, name) })
	if !ok {
		return 0, false
	}
	return a.calls[i].nr, true
}

// knownName says whether any architecture has a system call of this name.
func knownName(name string) bool {
	for _, a := range []*arch{x86_64, x86, x32, aarch64, arm} {
		if _, ok := a.number(name); ok {
			return true
		}
	}
	_, _, muxed := muxNumber(name)
	return muxed
}

// mux is a call that x86 can also make through socketcall(2) or ipc(2), whose first argument chooses the call
// (linux/net.h SYS_*, linux/ipc.h). Both ways exist for most of them, for some only this one.
type mux struct {
	name   string
	choice uint32
}

var socketcalls = []mux{
	{"socket", 1},
	{"bind", 2},
	{"connect", 3},
	{"listen", 4},
	{"accept", 5},
	{"getsockname", 6},
	{"getpeername", 7},
	{"socketpair", 8},
	{"send", 9},
	{"recv", 10},
	{"sendto", 11},
	{"recvfrom", 12},
	{"shutdown", 13},
	{"setsockopt", 14},
	{"getsockopt", 15},
	{"sendmsg", 16},
	{"recvmsg", 17},
	{"accept4", 18},
	{"recvmmsg", 19},
	{"sendmmsg", 20},
}

var ipcs = []mux{
	{"semop", 1},
	{"semget", 2},
	{"semctl", 3},
	{"semtimedop", 4},
	{"msgsnd", 11},
	{"msgrcv", 12},
	{"msgget", 13},
	{"msgctl", 14},
	{"shmat", 21},
	{"shmdt", 22},
	{"shmget", 23},
	{"shmctl", 24},
}

// muxNumber gives the multiplexer's number on x86 and its first argument for a call.
func muxNumber(name string) (nr, choice uint32, ok bool) {
	for _, group := range []struct {
		nr    uint32
		calls []mux
	}{{102, socketcalls}, {117, ipcs}} {
		for _, m := range group.calls {
			if m.name == name {
				return group.nr, m.choice, true
			}
		}
	}
	return 0, 0, false
}
