package engine

import (
	"fmt"
	"slices"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capNames are all capabilities in the order of their numbers (capabilities(7), linux/capability.h).
var capNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// defaultCaps are docker's fourteen.
var defaultCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
	"CAP_AUDIT_WRITE",
}

// hostCaps count only in the first user namespace: the kernel asks capable() for them, not
// ns_capable() (Linux 6.18; that of SYS_ADMIN and NET_ADMIN that works in a namespace is most of what
// containers use). Asking for one means --userns=host.
var hostCaps = []string{
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_IPC_LOCK", "CAP_LEASE",
	"CAP_LINUX_IMMUTABLE", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_PERFMON", "CAP_SYSLOG", "CAP_SYS_MODULE",
	"CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG",
	"CAP_WAKE_ALARM",
}

// normalizeCap gives a capability its full name: "net_admin" is CAP_NET_ADMIN; "ALL" stays.
func normalizeCap(s string) (string, error) {
	name := strings.ToUpper(strings.TrimSpace(s))
	if name == "ALL" {
		return name, nil
	}
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	if !slices.Contains(capNames, name) {
		return "", invalid("use capability", fmt.Sprintf("%q", s), "there is no such capability", "capabilities(7) lists them")
	}
	return name, nil
}

// normalizeCaps does it for a list, in its order and without repetition.
func normalizeCaps(list []string) ([]string, error) {
	var out []string
	for _, s := range list {
		name, err := normalizeCap(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// capabilities is the container's set, docker's rules: ALL in add means all but the dropped, ALL in drop
// means only the added; else the default set without the dropped, with the added. add and drop are
// normalized. available is what can be had at all.
func capabilities(add, drop []string, privileged bool, available []string) []string {
	base := defaultCaps
	switch {
	case privileged:
		return slices.Clone(available)
	case slices.Contains(add, "ALL"):
		base = available
	case slices.Contains(drop, "ALL"):
		base = nil
	}
	var set []string
	for _, c := range base {
		if !slices.Contains(drop, c) && slices.Contains(available, c) {
			set = append(set, c)
		}
	}
	for _, c := range add {
		if c != "ALL" && !slices.Contains(set, c) {
			set = append(set, c)
		}
	}
	return set
}

// availableCaps are those that the engine can hand on: in a new user namespace the kernel gives a full
// set whatever the maker has (create_user_ns), with the host's only those that it has itself.
func (m *machine) availableCaps(userNS bool) []string {
	var names []string
	for i, name := range capNames {
		if userNS && i <= m.LastCap || m.Bounding>>i&1 == 1 {
			names = append(names, name)
		}
	}
	return names
}

// checkCaps refuses an added capability that can't be had.
func (m *machine) checkCaps(add []string, userNS bool) error {
	available := m.availableCaps(userNS)
	for _, c := range add {
		if c != "ALL" && !slices.Contains(available, c) {
			return unsupported("add capability", c, "gourd itself does not have it on this machine", "")
		}
	}
	return nil
}

// needsHostCaps is the first added capability that only counts in the first user namespace, "" if none.
func needsHostCaps(add []string) string {
	for _, c := range add {
		if c == "ALL" || slices.Contains(hostCaps, c) {
			return c
		}
	}
	return ""
}

// capSpec puts a set where docker puts it: no inheritable and no ambient ones, so that a user that
// isn't root has none after execve (CVE-2022-24769).
func capSpec(set []string) *specs.LinuxCapabilities {
	return &specs.LinuxCapabilities{Bounding: set, Effective: set, Permitted: set}
}

// boundingSet is the engine's own bounding set, the last capability that the kernel knows, and whether
// the engine has SYS_RESOURCE in effect.
func boundingSet() (set uint64, last int, resource bool) {
	for i := range capNames {
		on, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0)
		if err != nil {
			break
		}
		last = i
		set |= uint64(on) << i
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) == nil {
		resource = data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
	}
	return set, last, resource
}

// checkSignal gives a signal its full name: "term", "SIGTERM" and "15" are SIGTERM; RTMIN+n as docker.
func checkSignal(verb, s string) (string, error) {
	name, err := signalName(s)
	if err != nil {
		return "", &container.Error{Verb: verb, Object: fmt.Sprintf("%q", s), Kind: container.ErrInvalid, Cause: err, Hint: "`kill -l` lists signals"}
	}
	return name, nil
}
