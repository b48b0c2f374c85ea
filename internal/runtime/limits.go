package runtime

import (
	"errors"
	"fmt"
	"strings"

	"gourd/internal/linux/nofile"
	"gourd/internal/runtime/child"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rlimit is one resource limit by number (getrlimit(2)).
type rlimit struct {
	resource int
	unix.Rlimit
}

// rlimitNames are the limits by number; the numbers are the same on amd64 and arm64.
var rlimitNames = [...]string{
	"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
}

// rlimits parses process.rlimits.
func rlimits(list []specs.POSIXRlimit) ([]rlimit, error) {
	var out []rlimit
	seen := map[int]bool{}
	for _, l := range list {
		n := -1
		for i, name := range rlimitNames {
			if l.Type == "RLIMIT_"+name {
				n = i
			}
		}
		switch {
		case n < 0:
			return nil, invalidSpec("process.rlimits", fmt.Errorf("%q is no limit", l.Type))
		case seen[n]:
			return nil, invalidSpec("process.rlimits", fmt.Errorf("%s is listed twice", l.Type))
		case l.Soft > l.Hard:
			return nil, invalidSpec("process.rlimits", fmt.Errorf("%s: the soft limit %d is above the hard limit %d", l.Type, l.Soft, l.Hard))
		}
		seen[n] = true
		out = append(out, rlimit{n, unix.Rlimit{Cur: l.Soft, Max: l.Hard}})
	}
	return out, nil
}

// effectiveLimits are the limits to set: the process's, and the original limit of open files, which Go raised for
// this program. Hard limits that would have to be raised are raised from here, where the right to do so (CAP_SYS_RESOURCE) counts;
// without it they are clamped, with a notice.
func effectiveLimits(pid int, list []specs.POSIXRlimit, notice func(string, ...any)) ([]rlimit, error) {
	limits, err := rlimits(list)
	if err != nil {
		return nil, err
	}
	files := false
	for i := range limits {
		l := &limits[i]
		files = files || l.resource == unix.RLIMIT_NOFILE
		if pid == 0 {
			continue
		}
		if err := raiseHard(pid, l, notice); err != nil {
			return nil, fmt.Errorf("set limit RLIMIT_%s: %w", rlimitNames[l.resource], err)
		}
	}
	if !files && nofile.Hard != 0 {
		limits = append(limits, rlimit{unix.RLIMIT_NOFILE, unix.Rlimit{Cur: nofile.Soft, Max: nofile.Hard}})
	}
	return limits, nil
}

func raiseHard(pid int, l *rlimit, notice func(string, ...any)) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, l.resource, nil, &now); err != nil {
		return err
	}
	if l.Max <= now.Max {
		return nil
	}
	err := unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: now.Cur, Max: l.Max}, nil)
	if errors.Is(err, unix.EPERM) {
		notice("the hard limit RLIMIT_%s can't be raised above %d without CAP_SYS_RESOURCE; it stays there instead of %d",
			rlimitNames[l.resource], now.Max, l.Max)
		l.Max, l.Cur = now.Max, min(l.Cur, now.Max)
		return nil
	}
	return err
}

// writeLimits sets the limits in the child.
func writeLimits(p *child.Program, limits []rlimit) {
	for _, l := range limits {
		p.Call(unix.SYS_PRLIMIT64, child.N(0), child.N(l.resource), child.Struct(p, l.Rlimit), child.N(0))
	}
}

// ioPriority gives the argument of ioprio_set(2).
func ioPriority(p *specs.LinuxIOPriority) (int, error) {
	class := 0
	switch p.Class {
	case specs.IOPRIO_CLASS_RT:
		class = 1
	case specs.IOPRIO_CLASS_BE:
		class = 2
	case specs.IOPRIO_CLASS_IDLE:
		class = 3
	default:
		return 0, invalidSpec("process.ioPriority", fmt.Errorf("%q is no class", p.Class))
	}
	if p.Priority < 0 || p.Priority > 7 {
		return 0, invalidSpec("process.ioPriority", fmt.Errorf("%d is not within 0 and 7", p.Priority))
	}
	return class<<13 | p.Priority, nil
}

// capabilityNames are the capabilities by number (capabilities(7), Linux 5.9 and later).
var capabilityNames = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// capabilitySet turns names into a mask. Unknown ones are left out, with a notice, as the specification wants.
func capabilitySet(names []string, notice func(string, ...any)) uint64 {
	var set uint64
	for _, name := range names {
		n := capabilityNumber(name)
		if n < 0 {
			notice("capability %s is not known and left out", name)
			continue
		}
		set |= 1 << n
	}
	return set
}

func capabilityNumber(name string) int {
	const prefix = "CAP_"
	if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
		name = name[len(prefix):]
	}
	for i, c := range capabilityNames {
		if strings.EqualFold(name, c) {
			return i
		}
	}
	return -1
}
