package child

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// syscalls says how the system calls of the tables are shown: the name, and for each argument s a string,
// d a number, n a number that constants has a name for, x one in hexadecimal, f a descriptor, p memory that isn't shown.
var syscalls = map[int]struct{ name, args string }{
	unix.SYS_CLOCK_GETTIME: {"clock_gettime", "dp"}, unix.SYS_FCNTL: {"fcntl", "fdd"}, unix.SYS_RECVMSG: {"recvmsg", "fpx"},
	unix.SYS_RECVFROM: {"recvfrom", "fpdx"}, unix.SYS_SENDTO: {"sendto", "fpdx"}, unix.SYS_EXIT_GROUP: {"exit_group", "d"},
	unix.SYS_PRCTL: {"prctl", "ndd"}, unix.SYS_WRITE: {"write", "fsd"}, unix.SYS_READ: {"read", "fpd"}, unix.SYS_CLOSE: {"close", "f"},
	unix.SYS_UNSHARE: {"unshare", "x"}, unix.SYS_SETNS: {"setns", "fx"}, unix.SYS_CLONE3: {"clone3", "pd"}, unix.SYS_SETSID: {"setsid", ""},
	unix.SYS_MOUNT: {"mount", "sssxp"}, unix.SYS_UMOUNT2: {"umount2", "sx"}, unix.SYS_PIVOT_ROOT: {"pivot_root", "ss"},
	unix.SYS_CHROOT: {"chroot", "s"}, unix.SYS_CHDIR: {"chdir", "s"}, unix.SYS_FCHDIR: {"fchdir", "f"},
	unix.SYS_OPENAT2: {"openat2", "fsp"}, unix.SYS_OPENAT: {"openat", "fsx"}, unix.SYS_MKDIRAT: {"mkdirat", "fsx"}, unix.SYS_MKNODAT: {"mknodat", "fsx"},
	unix.SYS_SYMLINKAT: {"symlinkat", "sfs"}, unix.SYS_FCHOWNAT: {"fchownat", "fsdd"}, unix.SYS_FCHMOD: {"fchmod", "fx"},
	unix.SYS_FSOPEN: {"fsopen", "sx"}, unix.SYS_FSCONFIG: {"fsconfig", "fdss"}, unix.SYS_FSMOUNT: {"fsmount", "fxx"},
	unix.SYS_MOVE_MOUNT: {"move_mount", "fsfsx"}, unix.SYS_OPEN_TREE: {"open_tree", "fsx"}, unix.SYS_MOUNT_SETATTR: {"mount_setattr", "fsxp"},
	unix.SYS_SETHOSTNAME: {"sethostname", "sd"}, unix.SYS_SETDOMAINNAME: {"setdomainname", "sd"},
	unix.SYS_SOCKET: {"socket", "n"}, unix.SYS_IOCTL: {"ioctl", "fnp"}, unix.SYS_DUP3: {"dup3", "fdd"},
	unix.SYS_PRLIMIT64: {"prlimit64", "dnp"}, unix.SYS_UMASK: {"umask", "x"}, unix.SYS_KEYCTL: {"keyctl", "ns"},
	unix.SYS_CAPSET: {"capset", "pp"}, unix.SYS_SETGROUPS: {"setgroups", "dp"}, unix.SYS_SETRESUID: {"setresuid", "ddd"}, unix.SYS_SETRESGID: {"setresgid", "ddd"},
	unix.SYS_GETCWD: {"getcwd", "pd"}, unix.SYS_CLOSE_RANGE: {"close_range", "ddn"}, unix.SYS_SECCOMP: {"seccomp", "n"},
	sysFstatat: {"fstatat", "fspx"}, unix.SYS_FACCESSAT2: {"faccessat2", "fsdx"}, unix.SYS_EXECVE: {"execve", "spp"},
	unix.SYS_PERSONALITY: {"personality", "x"}, unix.SYS_IOPRIO_SET: {"ioprio_set", "ddx"}, unix.SYS_SCHED_SETATTR: {"sched_setattr", "dpd"},
	unix.SYS_STATX: {"statx", "fsxxp"}, unix.SYS_SET_MEMPOLICY: {"set_mempolicy", "dpd"}, unix.SYS_EXECVEAT: {"execveat", "fsppx"}, unix.SYS_FCHOWN: {"fchown", "fdd"},
}

// constants are the names of numbers that arguments of kind n have, by system call.
var constants = map[int]map[uint64]string{
	unix.SYS_PRCTL: {
		unix.PR_SET_PDEATHSIG: "PR_SET_PDEATHSIG", unix.PR_SET_DUMPABLE: "PR_SET_DUMPABLE", unix.PR_SET_KEEPCAPS: "PR_SET_KEEPCAPS",
		unix.PR_CAPBSET_DROP: "PR_CAPBSET_DROP", unix.PR_SET_NO_NEW_PRIVS: "PR_SET_NO_NEW_PRIVS", unix.PR_CAP_AMBIENT: "PR_CAP_AMBIENT",
		unix.PR_SET_NAME: "PR_SET_NAME",
	},
	unix.SYS_SOCKET:      {unix.AF_INET: "AF_INET"},
	unix.SYS_IOCTL:       {unix.SIOCSIFFLAGS: "SIOCSIFFLAGS", unix.TIOCSCTTY: "TIOCSCTTY"},
	unix.SYS_KEYCTL:      {unix.KEYCTL_JOIN_SESSION_KEYRING: "KEYCTL_JOIN_SESSION_KEYRING"},
	unix.SYS_SECCOMP:     {unix.SECCOMP_SET_MODE_FILTER: "SECCOMP_SET_MODE_FILTER"},
	unix.SYS_CLOSE_RANGE: {unix.CLOSE_RANGE_CLOEXEC: "CLOSE_RANGE_CLOEXEC"},
	unix.SYS_PRLIMIT64: {
		unix.RLIMIT_NOFILE: "RLIMIT_NOFILE", unix.RLIMIT_NPROC: "RLIMIT_NPROC", unix.RLIMIT_CORE: "RLIMIT_CORE", unix.RLIMIT_MEMLOCK: "RLIMIT_MEMLOCK",
		unix.RLIMIT_CPU: "RLIMIT_CPU", unix.RLIMIT_AS: "RLIMIT_AS", unix.RLIMIT_STACK: "RLIMIT_STACK", unix.RLIMIT_FSIZE: "RLIMIT_FSIZE", unix.RLIMIT_DATA: "RLIMIT_DATA",
	},
}

// calls shows the system calls of one step, without the reading of the clock and what only steers the table.
func (p *Program) calls(step int) []string {
	var list []string
	for i := range p.ops {
		o := &p.ops[i]
		if o.step != step || o.nr < 0 || o.nr == unix.SYS_CLOCK_GETTIME || o.nr == unix.SYS_CLOSE {
			continue
		}
		list = append(list, p.Text(i))
	}
	return fold(list)
}

// fold puts calls that follow each other and differ in nothing, or in their numbers only, on one line.
func fold(list []string) []string {
	var folded []string
	for i := 0; i < len(list); {
		n := 1
		for i+n < len(list) && alike(list[i], list[i+n]) {
			n++
		}
		text := list[i]
		if n > 1 {
			text = fmt.Sprintf("%s, and %d more like it", text, n-1)
		}
		folded = append(folded, text)
		i += n
	}
	return folded
}

// alike says that two calls are the same, or the same but for the second of two or more arguments that are numbers.
func alike(a, b string) bool {
	if a == b {
		return true
	}
	headA, restA, okA := strings.Cut(a, ", ")
	headB, restB, okB := strings.Cut(b, ", ")
	return okA && okB && headA == headB && strings.HasPrefix(headA, "prctl(") && strings.Trim(restA, "0123456789, )") == "" && strings.Trim(restB, "0123456789, )") == ""
}

// Text shows operation i as a call in C.
func (p *Program) Text(i int) string {
	o := &p.ops[i]
	form, known := syscalls[o.nr]
	if !known {
		return fmt.Sprintf("system call %d", o.nr)
	}
	args := make([]string, 0, 6)
	for j, kind := range form.args {
		a := o.args[j]
		if name, ok := constants[o.nr][a.value]; ok && kind == 'n' && !a.indirect {
			args = append(args, name)
			continue
		}
		if s, shown := p.argText(kind, a); shown {
			args = append(args, s)
		}
	}
	return form.name + "(" + strings.Join(args, ", ") + ")"
}

func (p *Program) argText(kind rune, a Arg) (text string, shown bool) {
	switch {
	case kind == 'p':
		return "", false
	case a.indirect && kind == 's':
		return "the path found", true
	case a.indirect:
		return "fd", true
	case kind == 'f' && int32(a.value) == unix.AT_FDCWD:
		return "AT_FDCWD", true
	case kind == 's' && a.value == 0:
		return "NULL", true
	case kind == 's':
		return fmt.Sprintf("%q", p.text(Ref(a.value))), true
	case kind == 'x':
		return fmt.Sprintf("%#x", a.value), true
	}
	return fmt.Sprint(int64(a.value)), true
}

// text reads a string in the region, at most 200 bytes of it.
func (p *Program) text(r Ref) string {
	if r < regionBase || int(r-regionBase) >= len(p.mem) {
		return "?"
	}
	b := p.mem[r-regionBase:]
	b = b[:min(len(b), 200)]
	if end := bytes.IndexByte(b, 0); end >= 0 {
		b = b[:end]
	}
	return string(b)
}
