package runtime

import (
	"errors"
	"fmt"
	"strings"

	"gourd/internal/container"
	"gourd/internal/runtime/child"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cloneFlag gives a namespace type's flag of clone(2), 0 for an unknown type.
func cloneFlag(t specs.LinuxNamespaceType) uintptr {
	switch t {
	case specs.PIDNamespace:
		return unix.CLONE_NEWPID
	case specs.NetworkNamespace:
		return unix.CLONE_NEWNET
	case specs.MountNamespace:
		return unix.CLONE_NEWNS
	case specs.IPCNamespace:
		return unix.CLONE_NEWIPC
	case specs.UTSNamespace:
		return unix.CLONE_NEWUTS
	case specs.UserNamespace:
		return unix.CLONE_NEWUSER
	case specs.CgroupNamespace:
		return unix.CLONE_NEWCGROUP
	case specs.TimeNamespace:
		return unix.CLONE_NEWTIME
	}
	return 0
}

// namespaces are what a container gets anew and what it shares.
type namespaces struct {
	fresh uintptr // CLONE_NEW… flags
	join  []join
}

// join is an existing namespace.
type join struct {
	flag uintptr
	path string
}

// has says whether the container's namespace of this type is another than the caller's.
func (n *namespaces) has(flag uintptr) bool { return n.fresh&flag != 0 || n.joins(flag) }

func (n *namespaces) joins(flag uintptr) bool {
	for _, j := range n.join {
		if j.flag == flag {
			return true
		}
	}
	return false
}

// twoStages says whether the child must be cloned from one that has prepared namespaces: setns(2) for pid and
// time, and unshare(2) for time, count for children only; and an execve in a new user namespace, where the
// process is nobody yet, would cost it its capabilities (capabilities(7)), so the stub must have begun before.
func (n *namespaces) twoStages() bool {
	return len(n.join) > 0 || n.fresh&(unix.CLONE_NEWTIME|unix.CLONE_NEWUSER) != 0
}

func (b *build) checkNamespaces() error {
	for _, n := range b.spec.Linux.Namespaces {
		flag := cloneFlag(n.Type)
		switch {
		case flag == 0:
			return b.invalid("linux.namespaces", fmt.Errorf("%q is no type of namespace", n.Type))
		case b.ns.has(flag):
			return b.invalid("linux.namespaces", fmt.Errorf("%q is listed twice", n.Type))
		case n.Path == "":
			b.ns.fresh |= flag
		case flag == unix.CLONE_NEWNS:
			return unsupported("a mount namespace by path")
		case flag == unix.CLONE_NEWUSER:
			// The user namespace comes last: until then the caller's rights over the others count.
			b.ns.join = append(b.ns.join, join{flag, n.Path})
		default:
			b.ns.join = append([]join{{flag, n.Path}}, b.ns.join...)
		}
	}
	l := b.spec.Linux
	switch {
	case b.ns.fresh&unix.CLONE_NEWNS == 0:
		return &container.Error{
			Verb: "use", Object: "linux.namespaces", Kind: container.ErrUnsupported,
			Cause: errors.New("a container without a mount namespace of its own is not supported"),
		}
	case (b.spec.Hostname != "" || b.spec.Domainname != "") && !b.ns.has(unix.CLONE_NEWUTS):
		return b.invalid("hostname", errors.New("it can't be set without a UTS namespace"))
	case b.ns.fresh&unix.CLONE_NEWUSER != 0 && (len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0):
		return b.invalid("linux.uidMappings", errors.New("a new user namespace needs uidMappings and gidMappings"))
	case len(l.UIDMappings)+len(l.GIDMappings) > 0 && !b.ns.has(unix.CLONE_NEWUSER):
		return b.invalid("linux.uidMappings", errors.New("mappings need a user namespace"))
	case len(l.TimeOffsets) > 0 && b.ns.fresh&unix.CLONE_NEWTIME == 0:
		return b.invalid("linux.timeOffsets", errors.New("offsets need a new time namespace"))
	}
	return nil
}

// cloneFlags are the namespaces made by the clone itself. The cgroup namespace is made when the child is in
// its cgroups, and the time namespace by the stage before.
func (n *namespaces) cloneFlags() uintptr {
	return n.fresh &^ (unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
}

// cloneArgs is struct clone_args up to tls, all that clone3 needs here.
type cloneArgs struct {
	//lint:ignore U1000 the kernel's layout
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls uint64
}

// stages adds the operations with which the first process enters or makes namespaces and starts the second one,
// as a sibling: both are this process's children (CLONE_PARENT).
func (b *build) stages(joins []join, fds []child.Slot, fresh uintptr) {
	p := b.p
	for i, j := range joins {
		p.Step("join "+flagName(j.flag)+" namespace", "the container shares "+j.path)
		p.Call(unix.SYS_SETNS, fds[i].Value(), child.N(j.flag))
	}
	if fresh&unix.CLONE_NEWTIME != 0 {
		p.Step("unshare time namespace", "its clocks can be shifted; children are born in it")
		p.Call(unix.SYS_UNSHARE, child.N(unix.CLONE_NEWTIME))
		if len(b.spec.Linux.TimeOffsets) > 0 {
			p.Report(reportTime)
			p.Await()
		}
	}
	b.secondStage(b.ns.cloneFlags())
}

// secondStage clones the process that goes on; the first one ends.
func (b *build) secondStage(flags uintptr) {
	p, second := b.p, b.p.NewLabel()
	b.staged = true
	p.Step("clone second stage", "only children enter pid and time namespaces")
	args := cloneArgs{flags: uint64(flags | unix.CLONE_PARENT)}
	p.Call(unix.SYS_CLONE3, child.Struct(p, args), child.N(64)).Into(p.PidSlot()).OnZero(second)
	p.Call(unix.SYS_EXIT_GROUP, child.N(0))
	p.Place(second)
	p.Call(unix.SYS_PRCTL, child.N(unix.PR_SET_DUMPABLE), child.N(0))
	b.armParentDeath()
}

func flagName(flag uintptr) string {
	switch flag {
	case unix.CLONE_NEWPID:
		return "pid"
	case unix.CLONE_NEWNET:
		return "network"
	case unix.CLONE_NEWNS:
		return "mount"
	case unix.CLONE_NEWIPC:
		return "ipc"
	case unix.CLONE_NEWUTS:
		return "uts"
	case unix.CLONE_NEWUSER:
		return "user"
	case unix.CLONE_NEWCGROUP:
		return "cgroup"
	}
	return "time"
}

// flagNames shows clone flags.
func flagNames(flags uintptr) string {
	var names []string
	for _, f := range []uintptr{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWIPC, unix.CLONE_NEWUTS} {
		if flags&f != 0 {
			names = append(names, flagName(f))
		}
	}
	return strings.Join(names, ", ")
}
