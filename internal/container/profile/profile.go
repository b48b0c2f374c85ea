// Package profile makes the seccomp part of a container's OCI configuration: gourd's default profile, which is moby's
// newest and some denials of our own, and custom profiles in moby's JSON form (--security-opt seccomp=FILE).
//
// The result is plain OCI, for gourd's runtime and any other. internal/runtime/seccomp compiles it faithfully; what
// must be denied stands here.
package profile

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// Options are what a profile depends on, besides the machine and its kernel.
type Options struct {
	// Capabilities are the container's bounding set ("CAP_SYS_ADMIN"): a capability opens the calls it is for.
	Capabilities []string
	// SocketCall allows socketcall(2), the way to sockets of 32-bit x86 programs that glibc takes. Its arguments
	// are behind a pointer, so no address family can be denied there. For those who ask for a 386 platform
	// themselves; an image's own word for its architecture must not decide it.
	SocketCall bool
}

// Default is gourd's profile. Beyond moby's it denies:
//
//   - sockets of AF_RXRPC (page cache writes, CVE-2026-43500) and, without CAP_NET_ADMIN, of AF_KEY and of the netlink
//     protocols XFRM and CRYPTO: doors to kernel code that a container without that capability can't use;
//   - socketcall(2), which answers ENOSYS: AF_ALG and AF_VSOCK would be open through it (see Options.SocketCall).
//
// Address families and protocols are allowed one by one, each compared with all 64 bits: the kernel looks at the low
// 32 only, so a denial by range or inequality lets family 40 through as 40 | 1<<32.
func Default(o Options) (*specs.LinuxSeccomp, error) {
	sc, err := moby.GetDefaultProfile(spec(o))
	if err != nil {
		return nil, &container.Error{Verb: "make", Object: "the default seccomp profile", Cause: err}
	}
	allowed, err := families(sc)
	if err != nil {
		return nil, &container.Error{Verb: "make", Object: "the default seccomp profile", Cause: err}
	}
	remove(sc, "socket")
	sc.Syscalls = append(sc.Syscalls, sockets(allowed, slices.Contains(o.Capabilities, "CAP_NET_ADMIN"))...)
	if !o.SocketCall {
		remove(sc, "socketcall")
		nosys := uint(unix.ENOSYS)
		sc.Syscalls = append(sc.Syscalls, specs.LinuxSyscall{Names: []string{"socketcall"}, Action: specs.ActErrno, ErrnoRet: &nosys})
	}
	return sc, nil
}

// Parse reads a profile in moby's form: OCI's and archMap, includes and excludes by capability, architecture and
// kernel. It gives nil for one that asks for nothing. Errors: container.ErrInvalid.
func Parse(text []byte, o Options) (*specs.LinuxSeccomp, error) {
	// moby's package follows an entry that is null.
	var entries struct{ Syscalls []*struct{} }
	if err := json.Unmarshal(text, &entries); err != nil || slices.Contains(entries.Syscalls, nil) {
		return nil, container.Invalid("read", "seccomp profile", cmp.Or(err, errors.New("one of its syscalls is null")), "")
	}
	sc, err := moby.LoadProfile(string(text), spec(o))
	if err != nil {
		return nil, container.Invalid("read", "seccomp profile", err, "docs.docker.com/engine/security/seccomp describes the form")
	}
	if sc != nil && sc.DefaultAction == "" {
		return nil, container.Invalid("read", "seccomp profile", errors.New("it has no defaultAction"), "")
	}
	return sc, nil
}

// spec is what moby's package reads of a container.
func spec(o Options) *specs.Spec {
	return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: o.Capabilities}}}
}

// remove takes one system call out of all rules.
func remove(sc *specs.LinuxSeccomp, name string) {
	kept := sc.Syscalls[:0]
	for _, c := range sc.Syscalls {
		c.Names = slices.DeleteFunc(slices.Clone(c.Names), func(n string) bool { return n == name })
		if len(c.Names) > 0 {
			kept = append(kept, c)
		}
	}
	sc.Syscalls = kept
}

// lastFamily is beyond the address families that Linux has (AF_MAX is 46).
const lastFamily = 64

// families are those that a profile allows socket(2) for. Only the forms of condition that moby uses are understood.
func families(sc *specs.LinuxSeccomp) ([]uint64, error) {
	allowed := map[uint64]bool{}
	for _, c := range sc.Syscalls {
		if !slices.Contains(c.Names, "socket") {
			continue
		}
		if c.Action != specs.ActAllow || len(c.Args) != 1 || c.Args[0].Index != 0 {
			return nil, fmt.Errorf("moby's rule for socket is not understood: %+v", c)
		}
		for family := range uint64(lastFamily) {
			switch a := c.Args[0]; a.Op {
			case specs.OpLessThan:
				allowed[family] = allowed[family] || family < a.Value
			case specs.OpEqualTo:
				allowed[family] = allowed[family] || family == a.Value
			default:
				return nil, fmt.Errorf("moby's rule for socket is not understood: %+v", c)
			}
		}
	}
	var out []uint64
	for family := range uint64(lastFamily) {
		if allowed[family] {
			out = append(out, family)
		}
	}
	return out, nil
}

// sockets are the rules for socket(2).
func sockets(allowed []uint64, netAdmin bool) []specs.LinuxSyscall {
	var rules []specs.LinuxSyscall
	allow := func(conds ...specs.LinuxSeccompArg) {
		rules = append(rules, specs.LinuxSyscall{Names: []string{"socket"}, Action: specs.ActAllow, Args: conds})
	}
	for _, family := range allowed {
		switch {
		case family == unix.AF_RXRPC:
		case family == unix.AF_KEY && !netAdmin:
		case family == unix.AF_NETLINK && !netAdmin:
			for _, protocol := range netlinkProtocols {
				allow(equal(0, family), equal(2, protocol))
			}
		default:
			allow(equal(0, family))
		}
	}
	return rules
}

func equal(index uint, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: value, Op: specs.OpEqualTo}
}

// netlinkProtocols are all but NETLINK_XFRM and NETLINK_CRYPTO.
var netlinkProtocols = []uint64{
	unix.NETLINK_ROUTE, unix.NETLINK_UNUSED, unix.NETLINK_USERSOCK, unix.NETLINK_FIREWALL, unix.NETLINK_SOCK_DIAG, unix.NETLINK_NFLOG,
	unix.NETLINK_SELINUX, unix.NETLINK_ISCSI, unix.NETLINK_AUDIT, unix.NETLINK_FIB_LOOKUP, unix.NETLINK_CONNECTOR, unix.NETLINK_NETFILTER,
	unix.NETLINK_IP6_FW, unix.NETLINK_DNRTMSG, unix.NETLINK_KOBJECT_UEVENT, unix.NETLINK_GENERIC, unix.NETLINK_SCSITRANSPORT,
	unix.NETLINK_ECRYPTFS, unix.NETLINK_RDMA, unix.NETLINK_SMC,
}
