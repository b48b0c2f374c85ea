package monitor

import "golang.org/x/sys/unix"

// unneeded are capabilities that neither the monitor nor anything it makes in a container with a user
// namespace ever needs: the kernel honours them in the first user namespace only. A process that enters
// another user namespace gets that one's full set, whatever is dropped here (user_namespaces(7)).
var unneeded = []uintptr{
	unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME, unix.CAP_SYS_PACCT, unix.CAP_SYSLOG,
	unix.CAP_SYS_TTY_CONFIG, unix.CAP_LINUX_IMMUTABLE, unix.CAP_LEASE, unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE,
	unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND, unix.CAP_AUDIT_CONTROL, unix.CAP_AUDIT_READ, unix.CAP_AUDIT_WRITE,
	unix.CAP_PERFMON, unix.CAP_CHECKPOINT_RESTORE, unix.CAP_NET_BROADCAST,
}

// dropUnneeded takes them out of this thread's bounding set, so that the next program it executes is
// without them (capabilities(7)). An error is one of a kernel that doesn't know the capability.
func dropUnneeded() {
	for _, c := range unneeded {
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	}
}
