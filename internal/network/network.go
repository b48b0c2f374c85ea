package network

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// Options say how the default network is made. What is zero stays as the network's record has it, or is
// gourd's choice when there is none, so that a process without the configuration changes nothing.
type Options struct {
	Bridge         string       // the interface; "" is the first free gourdN
	Subnet         netip.Prefix // zero: one that overlaps no route or resolver of the host
	MTU            int          // bytes; 0: that of the host's default route, at most 1500
	KeepForwarding bool         // never turn net.ipv4.ip_forward on
	Notice         func(string) // told what the user has to know, a sentence at a time; may be nil
}

// Networks are the networks of one installation.
type Networks struct {
	root, state string
	o           Options
}

// Open names the networks below root and state. It touches nothing.
func Open(root, state string, o Options) *Networks {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	return &Networks{root: root, state: state, o: o}
}

// AttachRequest connects one container.
type AttachRequest struct {
	ID   string     // the container's
	Pid  int        // a process in the container's network namespace, waiting
	MAC  string     // "": derived from the address
	IPv4 netip.Addr // zero: the lowest free address
}

// Attach connects a container to the default network as eth0: bridge and rules in place, an address
// leased, a pair of interfaces made into the namespace of r.Pid, lo and eth0 up, the default route set.
// The lease lasts until Detach, or a Sweep after the container's end. On error nothing is leased; what
// may be in the container's namespace vanishes with it.
// Errors: ErrInvalid, ErrInUse, ErrConflict, ErrUnsupported.
func (n *Networks) Attach(r AttachRequest) (*container.Endpoint, error) {
	mac, err := parseMAC(r.MAC)
	if err != nil {
		return nil, err
	}
	netns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", r.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &container.Error{Verb: "open network namespace of process", Object: fmt.Sprint(r.Pid), Cause: err}
	}
	defer unix.Close(netns)
	rec, err := n.ensure()
	if err != nil {
		return nil, err
	}
	address, err := n.lease(rec, r.ID, r.IPv4)
	if err != nil {
		return nil, err
	}
	if mac == nil {
		mac = macOf(address)
	}
	e := &container.Endpoint{
		Network: rec.Name, Interface: "eth0", MAC: mac.String(),
		IPv4: netip.PrefixFrom(address, rec.Subnet.Bits()).String(), Gateway4: rec.Gateway.String(),
	}
	if err := connect(rec, e, netns, address, mac); err != nil {
		os.Remove(filepath.Join(n.leaseDir(), address.String()))
		return nil, &container.Error{
			Verb: "connect container to network", Object: rec.Name, Cause: err,
			Hint: "`ip -d link show " + rec.Bridge + "` shows the bridge",
		}
	}
	return e, nil
}

// connect makes the interfaces and fills in the name of the host's end.
func connect(rec *record, e *container.Endpoint, netns int, address netip.Addr, mac net.HardwareAddr) error {
	s, err := dial(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer s.Close()
	bridge, err := s.indexOf(rec.Bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", rec.Bridge, err)
	}
	v := veth{master: bridge, mtu: rec.MTU, peer: e.Interface, mac: mac, netns: netns}
	for range 3 {
		v.host = vethName()
		if err = s.addVeth(v); !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	if err != nil {
		return err
	}
	e.Host = v.host
	err = inNamespace(netns, func() error {
		return configureInside(e.Interface, netip.PrefixFrom(address, rec.Subnet.Bits()), rec.Gateway)
	})
	if err != nil {
		return err
	}
	return s.settle(v.host, rec.Bridge)
}

// configureInside runs in the container's network namespace.
func configureInside(name string, address netip.Prefix, gateway netip.Addr) error {
	// This network is IPv4. Without an address of its own family an interface still takes what a router
	// advertisement says, and any neighbour can send one (CVE-2020-13401): off before it comes up.
	if err := disableIPv6(name); err != nil {
		return err
	}
	s, err := dial(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer s.Close()
	index, err := s.indexOf(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	return s.configure(name, index, address, gateway)
}

// vethName makes a name for the host's end. It begins with "veth", which network managers leave alone,
// and is random: the pair of a container that ended may still be there under the same address.
func vethName() string {
	var b [5]byte
	rand.Read(b[:])
	return "veth" + hex.EncodeToString(b[:])
}

// macOf derives a locally administered hardware address from the IPv4 address, as docker did: whoever
// has the address next has the same one, so neighbours' ARP entries stay right.
func macOf(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x42, b[0], b[1], b[2], b[3]}
}

// CheckMAC refuses what can't be a container's hardware address. "" is none given.
func CheckMAC(mac string) error {
	_, err := parseMAC(mac)
	return err
}

func parseMAC(mac string) (net.HardwareAddr, error) {
	if mac == "" {
		return nil, nil
	}
	hw, err := net.ParseMAC(mac)
	switch {
	case err != nil || len(hw) != 6:
		err = errors.New("it is not six bytes in hexadecimal")
	case hw[0]&1 != 0:
		err = errors.New("it is a multicast address")
	case [6]byte(hw) == [6]byte{}:
		err = errors.New("it is all zeros")
	default:
		return hw, nil
	}
	return nil, container.Invalid("use MAC address", fmt.Sprintf("%q", mac), err, "for example 02:42:ac:1e:00:02")
}

// Gateway is the bridge's own address, what host-gateway means. Errors: ErrNotFound before Prepare.
func (n *Networks) Gateway() (netip.Addr, error) {
	r, err := n.load()
	if err != nil {
		return netip.Addr{}, err
	}
	return r.Gateway, nil
}

// Prepare puts bridge, rules and host settings in place, where they are not. It is cheap when they are.
// Errors: ErrUnsupported for a kernel without nf_tables or bridges, ErrConflict, ErrInvalid; nothing is
// left half made.
func (n *Networks) Prepare() error {
	_, err := n.ensure()
	return err
}
