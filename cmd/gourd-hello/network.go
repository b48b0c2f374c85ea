package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"syscall"
)

// network lists interfaces and addresses over rtnetlink(7): package net would make this program half as large
// again.
func network() (string, []line) {
	names, flags := interfaces()
	addrs := addresses()
	indexes := make([]int, 0, len(names))
	for i := range names {
		indexes = append(indexes, i)
	}
	sort.Ints(indexes)
	var lines []line
	for _, i := range indexes {
		value := strings.Join(addrs[i], ", ")
		if value == "" {
			value = "no address"
		}
		if flags[i]&syscall.IFF_UP == 0 {
			value += ", down"
		}
		lines = append(lines, line{names[i], value, ""})
	}
	if len(lines) == 0 {
		lines = []line{{"interfaces", "none", ""}}
	}
	return "Its network", lines
}

// dump asks the kernel for all objects of a kind.
func dump(kind int) []syscall.NetlinkMessage {
	b, err := syscall.NetlinkRIB(kind, syscall.AF_UNSPEC)
	if err != nil {
		return nil
	}
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil
	}
	return messages
}

func interfaces() (names map[int]string, flags map[int]uint32) {
	names, flags = map[int]string{}, map[int]uint32{}
	for _, m := range dump(syscall.RTM_GETLINK) {
		if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		index := int(binary.NativeEndian.Uint32(m.Data[4:]))
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		for _, a := range attrs {
			if a.Attr.Type == syscall.IFLA_IFNAME {
				names[index] = strings.TrimRight(string(a.Value), "\x00")
				flags[index] = binary.NativeEndian.Uint32(m.Data[8:])
			}
		}
	}
	return names, flags
}

func addresses() map[int][]string {
	found := map[int][]string{}
	for _, m := range dump(syscall.RTM_GETADDR) {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
			continue
		}
		bits, index := m.Data[1], int(binary.NativeEndian.Uint32(m.Data[4:]))
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		local := ""
		for _, a := range attrs {
			// With a peer, IFA_ADDRESS is the other end and IFA_LOCAL this one.
			if a.Attr.Type == syscall.IFA_LOCAL || a.Attr.Type == syscall.IFA_ADDRESS && local == "" {
				if ip, ok := netip.AddrFromSlice(a.Value); ok {
					local = fmt.Sprintf("%s/%d", ip, bits)
				}
			}
		}
		if local != "" {
			found[index] = append(found[index], local)
		}
	}
	return found
}
