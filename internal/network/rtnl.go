package network

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// linkInfo is what gourd wants to know of an interface.
type linkInfo struct {
	index uint32
	name  string
	kind  string // "bridge", "veth", "" for hardware
	alias string
	up    bool
	mtu   uint32
	state byte // operational, operUp when packets pass
}

// addBridge makes a bridge that is up and has a fixed hardware address: one left to the kernel changes
// with the ports, and containers' ARP entries for the gateway would go stale.
func (s *socket) addBridge(name, alias string, mac net.HardwareAddr, mtu uint32) error {
	var d datagram
	d.message("make bridge "+name, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL).link(0, 0)
	d.text(unix.IFLA_IFNAME, name).attr(unix.IFLA_ADDRESS, mac).u32(unix.IFLA_MTU, mtu)
	info := d.nest(unix.IFLA_LINKINFO)
	d.text(unix.IFLA_INFO_KIND, "bridge")
	d.close(info)
	// The kernel takes an alias only for an interface that exists.
	d.message("mark bridge "+name, unix.RTM_SETLINK, 0).link(0, 0)
	d.text(unix.IFLA_IFNAME, name).text(unix.IFLA_IFALIAS, alias)
	return s.do(&d, nil)
}

// up raises an interface.
func (s *socket) up(name string) error {
	var d datagram
	d.message("raise "+name, unix.RTM_SETLINK, 0).link(0, unix.IFF_UP).text(unix.IFLA_IFNAME, name)
	return s.do(&d, nil)
}

// delLink deletes an interface. Never used on a veth: that waits for grace periods (12–20 ms), while a
// network namespace takes its interfaces along for nothing.
func (s *socket) delLink(name string) error {
	var d datagram
	d.message("delete "+name, unix.RTM_DELLINK, 0).link(0, 0).text(unix.IFLA_IFNAME, name)
	return s.do(&d, nil)
}

// veth describes a pair of interfaces, one end in this network namespace, the other in a container's.
type veth struct {
	host   string
	master uint32 // index of the bridge
	mtu    uint32
	peer   string
	mac    net.HardwareAddr // the peer's
	netns  int              // descriptor of the peer's namespace
}

// addVeth makes the pair in one message: the host's end is up and in the bridge, the peer already in
// its namespace, still down (raising it here gives ENOTCONN). One queue an end: 0.1 ms less.
func (s *socket) addVeth(v veth) error {
	var d datagram
	d.message("make veth "+v.host, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL).link(0, unix.IFF_UP)
	d.text(unix.IFLA_IFNAME, v.host).u32(unix.IFLA_MASTER, v.master).u32(unix.IFLA_MTU, v.mtu)
	d.u32(unix.IFLA_NUM_TX_QUEUES, 1).u32(unix.IFLA_NUM_RX_QUEUES, 1)
	info := d.nest(unix.IFLA_LINKINFO)
	d.text(unix.IFLA_INFO_KIND, "veth")
	data := d.nest(unix.IFLA_INFO_DATA)
	peer := d.nest(vethInfoPeer)
	d.link(0, 0)
	d.text(unix.IFLA_IFNAME, v.peer).attr(unix.IFLA_ADDRESS, v.mac).u32(unix.IFLA_MTU, v.mtu)
	d.u32(unix.IFLA_NUM_TX_QUEUES, 1).u32(unix.IFLA_NUM_RX_QUEUES, 1).u32(unix.IFLA_NET_NS_FD, uint32(v.netns))
	d.close(peer)
	d.close(data)
	d.close(info)
	return s.do(&d, nil)
}

// configure raises lo and the interface, and gives it its address and the default route, in one
// datagram. Called on a socket inside the container's namespace.
func (s *socket) configure(name string, index uint32, address netip.Prefix, gateway netip.Addr) error {
	var d datagram
	d.message("raise lo", unix.RTM_SETLINK, 0).link(1, unix.IFF_UP)
	d.message("raise "+name, unix.RTM_SETLINK, 0).link(index, unix.IFF_UP)
	d.address("give "+name+" its address", unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, index, address)
	d.message("set the default route", unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	d.buf = append(d.buf, unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0)
	d.attr(unix.RTA_GATEWAY, gateway.AsSlice()).u32(unix.RTA_OIF, index)
	return s.do(&d, nil)
}

// settle makes the kernel act on the carrier that the interfaces have just got: until its link watch has
// run, an end that came up without a carrier drops what it should send, and a lost SYN costs a second.
// Asking for a link runs it for that link (Linux 6.8); before, its work queue does within moments, which
// the operational state tells.
func (s *socket) settle(names ...string) error {
	var d datagram
	for _, name := range names {
		d.message("look up "+name, unix.RTM_GETLINK, 0).link(0, 0).text(unix.IFLA_IFNAME, name)
	}
	for range 50 {
		waiting := false
		err := s.do(&d, func(_ uint16, b []byte) { waiting = waiting || parseLink(b).state != operUp })
		if err != nil || !waiting {
			return err
		}
		time.Sleep(200 * time.Microsecond)
	}
	return nil // it works a moment later
}

// operUp is IF_OPER_UP (linux/if.h, RFC 2863).
const operUp = 6

// address appends a message about an IPv4 address of an interface (struct ifaddrmsg).
func (d *datagram) address(name string, kind, flags uint16, index uint32, p netip.Prefix) {
	d.message(name, kind, flags)
	d.buf = append(d.buf, unix.AF_INET, byte(p.Bits()), 0, unix.RT_SCOPE_UNIVERSE)
	d.buf = native.AppendUint32(d.buf, index)
	d.attr(unix.IFA_LOCAL, p.Addr().AsSlice()).attr(unix.IFA_ADDRESS, p.Addr().AsSlice())
	d.attr(unix.IFA_BROADCAST, last(p).AsSlice())
}

func (s *socket) addAddress(index uint32, p netip.Prefix) error {
	var d datagram
	d.address("add address "+p.String(), unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, index, p)
	return s.do(&d, nil)
}

// findLink gives an interface by its name. Errors: unix.ENODEV.
func (s *socket) findLink(name string) (linkInfo, error) {
	var d datagram
	d.message("look up "+name, unix.RTM_GETLINK, 0).link(0, 0).text(unix.IFLA_IFNAME, name)
	var l linkInfo
	err := s.do(&d, func(_ uint16, b []byte) { l = parseLink(b) })
	return l, err
}

func (s *socket) links() ([]linkInfo, error) {
	var d datagram
	d.message("list interfaces", unix.RTM_GETLINK, unix.NLM_F_DUMP).link(0, 0)
	var all []linkInfo
	err := s.do(&d, func(_ uint16, b []byte) { all = append(all, parseLink(b)) })
	return all, err
}

func parseLink(b []byte) linkInfo {
	var l linkInfo
	if len(b) < unix.SizeofIfInfomsg {
		return l
	}
	l.index, l.up = native.Uint32(b[4:]), native.Uint32(b[8:])&unix.IFF_UP != 0
	attrs(b[unix.SizeofIfInfomsg:], func(kind uint16, data []byte) {
		switch {
		case kind == unix.IFLA_IFNAME:
			l.name = cstring(data)
		case kind == unix.IFLA_IFALIAS:
			l.alias = cstring(data)
		case kind == unix.IFLA_MTU && len(data) >= 4:
			l.mtu = native.Uint32(data)
		case kind == unix.IFLA_OPERSTATE && len(data) == 1:
			l.state = data[0]
		case kind == unix.IFLA_LINKINFO:
			attrs(data, func(kind uint16, data []byte) {
				if kind == unix.IFLA_INFO_KIND {
					l.kind = cstring(data)
				}
			})
		}
	})
	return l
}

// addresses lists the IPv4 addresses of an interface, with their prefix lengths.
func (s *socket) addresses(index uint32) ([]netip.Prefix, error) {
	var d datagram
	d.message("list addresses", unix.RTM_GETADDR, unix.NLM_F_DUMP)
	d.buf = append(d.buf, unix.AF_INET, 0, 0, 0, 0, 0, 0, 0)
	var all []netip.Prefix
	err := s.do(&d, func(_ uint16, b []byte) {
		if len(b) < unix.SizeofIfAddrmsg || native.Uint32(b[4:]) != index {
			return
		}
		bits := int(b[1])
		attrs(b[unix.SizeofIfAddrmsg:], func(kind uint16, data []byte) {
			if a, ok := netip.AddrFromSlice(data); ok && kind == unix.IFA_LOCAL {
				all = append(all, netip.PrefixFrom(a, bits))
			}
		})
	})
	return all, err
}

// route is one IPv4 route of the host; to has no bits for a default route.
type route struct {
	to  netip.Prefix
	oif uint32
}

func (s *socket) routes() ([]route, error) {
	var d datagram
	d.message("list routes", unix.RTM_GETROUTE, unix.NLM_F_DUMP)
	d.buf = append(d.buf, unix.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	var all []route
	err := s.do(&d, func(_ uint16, b []byte) {
		if len(b) < unix.SizeofRtMsg {
			return
		}
		bits, to, oif := int(b[1]), netip.IPv4Unspecified(), uint32(0)
		attrs(b[unix.SizeofRtMsg:], func(kind uint16, data []byte) {
			switch {
			case kind == unix.RTA_DST && len(data) == 4:
				to, _ = netip.AddrFromSlice(data)
			case kind == unix.RTA_OIF && len(data) >= 4:
				oif = native.Uint32(data)
			}
		})
		all = append(all, route{to: netip.PrefixFrom(to, bits), oif: oif})
	})
	return all, err
}

// indexOf gives the index of an interface in the namespace in which the socket was opened
// (netdevice(7)): far cheaper than a message.
func (s *socket) indexOf(name string) (uint32, error) {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s.fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, err
	}
	return r.Uint32(), nil
}

// standing says whether an interface of this name is up and has this as its first IPv4 address, in the
// calling thread's network namespace.
func standing(name string, address netip.Addr) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil || unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r) != nil || r.Uint16()&unix.IFF_UP == 0 {
		return false
	}
	r, _ = unix.NewIfreq(name)
	if unix.IoctlIfreq(fd, unix.SIOCGIFADDR, r) != nil {
		return false
	}
	b, err := r.Inet4Addr()
	if err != nil {
		return false
	}
	a, _ := netip.AddrFromSlice(b)
	return a == address
}

// generation is the number of the newest change to the packet filter of this network namespace
// (NFT_MSG_GETGEN). The socket's protocol is NETLINK_NETFILTER.
func (s *socket) generation() (uint32, error) {
	var d datagram
	d.message("ask nf_tables for its generation", unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, 0)
	d.buf = append(d.buf, unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0)
	var gen uint32
	found := false
	err := s.do(&d, func(_ uint16, b []byte) {
		attrs(b[min(len(b), 4):], func(kind uint16, data []byte) {
			if kind == unix.NFTA_GEN_ID && len(data) == 4 {
				gen = uint32(data[0])<<24 | uint32(data[1])<<16 | uint32(data[2])<<8 | uint32(data[3])
				found = true
			}
		})
	})
	if err == nil && !found {
		err = errors.New("nf_tables gave no generation")
	}
	return gen, err
}
