package network

import (
	"bytes"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// warnLegacy tells the user when the older iptables, whose tables nf_tables can't change, drops what
// is forwarded.
func (n *Networks) warnLegacy(r *record) {
	names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if err != nil || !bytes.Contains(append([]byte("\n"), names...), []byte("\nfilter\n")) {
		return
	}
	if legacyForwardDrops() {
		n.o.Notice("the host's iptables-legacy drops forwarded packets, so containers on " + r.Bridge +
			" reach this host only; `iptables-legacy -A FORWARD -i " + r.Bridge + " -j ACCEPT; iptables-legacy -A FORWARD -o " + r.Bridge +
			" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT` lets them out")
	}
}

// Layouts of linux/netfilter_ipv4/ip_tables.h on 64-bit machines.
const (
	ipt64GetInfo     = 64 // IPT_SO_GET_INFO
	ipt64GetEntries  = 65 // IPT_SO_GET_ENTRIES
	iptInfoSize      = 84 // struct ipt_getinfo
	iptInfoUnderflow = 56 // its underflow[], offsets of the policies; NF_INET_FORWARD is number 2
	iptInfoBytes     = 80 // its size
	iptEntriesHeader = 40 // struct ipt_get_entries before the entries
	iptEntryTarget   = 88 // struct ipt_entry.target_offset
	iptVerdict       = 32 // struct xt_standard_target.verdict
	iptDrop          = -1 // -NF_DROP - 1
)

// legacyForwardDrops reads the policy of chain FORWARD in the legacy table filter. The caller has made
// sure that the table exists, since asking for one makes it.
func legacyForwardDrops() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	info := make([]byte, iptInfoSize)
	copy(info, "filter")
	if !getsockopt(fd, ipt64GetInfo, info) {
		return false
	}
	size := native.Uint32(info[iptInfoBytes:])
	if size > 16<<20 {
		return false
	}
	entries := make([]byte, iptEntriesHeader+size)
	copy(entries, "filter")
	native.PutUint32(entries[32:], size)
	if !getsockopt(fd, ipt64GetEntries, entries) {
		return false
	}
	policy := int(native.Uint32(info[iptInfoUnderflow+4*2:])) + iptEntriesHeader
	if policy < 0 || policy+iptEntryTarget+2 > len(entries) {
		return false
	}
	at := policy + int(native.Uint16(entries[policy+iptEntryTarget:])) + iptVerdict
	return at+4 <= len(entries) && int32(native.Uint32(entries[at:])) == iptDrop
}

func getsockopt(fd, option int, buf []byte) bool {
	size := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_IP, uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
	return errno == 0
}
