package network

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

const ipForward = "net/ipv4/ip_forward"

// sysctl reads a setting of the calling thread's network namespace, "" where the kernel doesn't have it.
func sysctl(name string) string {
	var b [64]byte
	return string(bytes.TrimSpace(readSmall("/proc/sys/"+name, b[:])))
}

// readSmall reads the beginning of a file into b, nothing where it can't: three system calls, where
// os.ReadFile makes ten.
func readSmall(path string, b []byte) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n, _ := unix.Read(fd, b)
	return b[:max(n, 0)]
}

// setSysctl writes a setting of the calling thread's network namespace. One that the kernel doesn't
// have (IPv6 not built in) is no error.
func setSysctl(name, value string) error {
	fd, err := unix.Open("/proc/sys/"+name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		unix.Close(fd)
	}
	if err != nil {
		return &container.Error{Verb: "set", Object: name + " to " + value, Cause: err, Hint: "is /proc/sys mounted writable?"}
	}
	return nil
}

// disableIPv6 turns IPv6 and router advertisements off on one interface.
func disableIPv6(name string) error {
	if err := setSysctl("net/ipv6/conf/"+name+"/disable_ipv6", "1"); err != nil {
		return err
	}
	return setSysctl("net/ipv6/conf/"+name+"/accept_ra", "0")
}

// namespaceID is the inode number of the calling thread's network namespace.
func namespaceID() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return 0, os.NewSyscallError("stat /proc/thread-self/ns/net", err)
	}
	return st.Ino, nil
}

// turnForwardingOn lets the host route for its containers, says so, and keeps the old value in the record.
func (n *Networks) turnForwardingOn(r *record) error {
	if sysctl(ipForward) == "1" {
		return nil
	}
	if r.KeepForwarding {
		n.o.Notice("net.ipv4.ip_forward is off and stays off, as configured: containers on " + r.Bridge + " reach this host only")
		return nil
	}
	if r.Changed == nil {
		r.Changed = map[string]string{}
	}
	// Written down first: a change that nobody knows of can't be undone.
	r.Changed["net.ipv4.ip_forward"] = "0"
	if err := n.store(r); err != nil {
		return err
	}
	if err := setSysctl(ipForward, "1"); err != nil {
		return err
	}
	n.o.Notice(fmt.Sprintf("turned net.ipv4.ip_forward on, so that containers on %s reach other hosts (noted in %s)", r.Bridge, n.recordPath()))
	return nil
}
