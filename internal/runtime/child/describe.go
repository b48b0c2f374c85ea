package child

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// syscalls says how the system calls of the tables are shown: the name, and for each argument s a string,
// d a number, x a number in hexadecimal, f a descriptor, p memory that isn't shown.
var syscalls = map[int]struct{ name, args string }{
	unix.SYS_CLOCK_GETTIME: {"clock_gettime", "dp"}, unix.SYS_FCNTL: {"fcntl", "fdd"}, unix.SYS_RECVMSG: {"recvmsg", "fpx"},
	unix.SYS_RECVFROM: {"recvfrom", "fpdx"}, unix.SYS_SENDTO: {"sendto", "fpdx"}, unix.SYS_EXIT_GROUP: {"exit_group", "d"},
	unix.SYS_PRCTL: {"prctl", "ddd"}, unix.SYS_WRITE: {"write", "fsd"}, unix.SYS_READ: {"read", "fpd"}, unix.SYS_CLOSE: {"close", "f"},
	unix.SYS_UNSHARE: {"unshare", "x"}, unix.SYS_SETNS: {"setns", "fx"}, unix.SYS_CLONE3: {"clone3", "pd"}, unix.SYS_SETSID: {"setsid", ""},
	unix.SYS_MOUNT: {"mount", "sssxp"}, unix.SYS_UMOUNT2: {"umount2", "sx"}, unix.SYS_PIVOT_ROOT: {"pivot_root", "ss"},
	unix.SYS_CHROOT: {"chroot", "s"}, unix.SYS_CHDIR: {"chdir", "s"}, unix.SYS_FCHDIR: {"fchdir", "f"},
	unix.SYS_OPENAT2: {"openat2", "fsp"}, unix.SYS_OPENAT: {"openat", "fsx"}, unix.SYS_MKDIRAT: {"mkdirat", "fsx"}, unix.SYS_MKNODAT: {"mknodat", "fsx"},
	unix.SYS_SYMLINKAT: {"symlinkat", "sfs"}, unix.SYS_FCHOWNAT: {"fchownat", "fsdd"}, unix.SYS_FCHMOD: {"fchmod", "fx"},
	unix.SYS_FSOPEN: {"fsopen", "sx"}, unix.SYS_FSCONFIG: {"fsconfig", "fdss"}, unix.SYS_FSMOUNT: {"fsmount", "fxx"},
	unix.SYS_MOVE_MOUNT: {"move_mount", "fsfsx"}, unix.SYS_OPEN_TREE: {"open_tree", "fsx"}, unix.SYS_MOUNT_SETATTR: {"mount_setattr", "fsxp"},
	unix.SYS_SETHOSTNAME: {"sethostname", "sd"}, unix.SYS_SETDOMAINNAME: {"setdomainname", "sd"},
	unix.SYS_SOCKET: {"socket", "ddd"}, unix.SYS_IOCTL: {"ioctl", "fxp"}, unix.SYS_DUP3: {"dup3", "fdd"},
	unix.SYS_PRLIMIT64: {"prlimit64", "ddp"}, unix.SYS_UMASK: {"umask", "x"}, unix.SYS_KEYCTL: {"keyctl", "ds"},
	unix.SYS_CAPSET: {"capset", "pp"}, unix.SYS_SETGROUPS: {"setgroups", "dp"}, unix.SYS_SETRESUID: {"setresuid", "ddd"}, unix.SYS_SETRESGID: {"setresgid", "ddd"},
	unix.SYS_GETCWD: {"getcwd", "pd"}, unix.SYS_CLOSE_RANGE: {"close_range", "ddx"}, unix.SYS_SECCOMP: {"seccomp", "dxp"},
	sysFstatat: {"fstatat", "fspx"}, unix.SYS_FACCESSAT2: {"faccessat2", "fsdx"}, unix.SYS_EXECVE: {"execve", "spp"},
	unix.SYS_PERSONALITY: {"personality", "x"}, unix.SYS_IOPRIO_SET: {"ioprio_set", "ddx"}, unix.SYS_SCHED_SETATTR: {"sched_setattr", "dpd"},
	unix.SYS_STATX: {"statx", "fsxxp"}, unix.SYS_SET_MEMPOLICY: {"set_mempolicy", "dpd"}, unix.SYS_EXECVEAT: {"execveat", "fsppx"}, unix.SYS_FCHOWN: {"fchown", "fdd"},
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
	return list
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
		if s, shown := p.argText(kind, o.args[j]); shown {
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
