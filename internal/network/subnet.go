package network

import (
	"errors"
	"fmt"
	"net/netip"

	"gourd/internal/container"
)

// pool yields the subnets that gourd may choose for a network, the first choice first. 172.17.0.0/16 is
// docker0's and compose takes 172.18 upwards, so it begins near the other end; 172.31.0.0/16 comes late
// because clouds use it.
func pool(yield func(netip.Prefix) bool) {
	second := []byte{30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 16, 31}
	for _, b := range second {
		if !yield(netip.PrefixFrom(netip.AddrFrom4([4]byte{172, b, 0, 0}), 16)) {
			return
		}
	}
	for third := 240; third >= 0; third -= 16 {
		if !yield(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(third), 0}), 20)) {
			return
		}
	}
	for b := 255; b >= 0; b-- {
		if !yield(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(b), 240, 0}), 20)) {
			return
		}
	}
}

// chooseSubnet takes the first of the pool that overlaps none of what is used.
func chooseSubnet(used []netip.Prefix) (netip.Prefix, error) {
	for p := range pool {
		if _, taken := overlap(p, used); !taken {
			return p, nil
		}
	}
	return netip.Prefix{}, &container.Error{
		Verb: "choose subnet of network", Object: Default, Kind: container.ErrInUse,
		Cause: errors.New("every subnet of the pool overlaps a route of this host"), Hint: "set one: network.subnet in gourd.toml",
	}
}

// overlap gives the first of used that has an address in common with p.
func overlap(p netip.Prefix, used []netip.Prefix) (netip.Prefix, bool) {
	for _, u := range used {
		if p.Overlaps(u) {
			return u, true
		}
	}
	return netip.Prefix{}, false
}

// usedSubnets lists where the host's packets go other than by a default route or into the interface own,
// and the host's resolvers, which may lie behind the default route.
func (s *socket) usedSubnets(own string, resolvers []netip.Addr) ([]netip.Prefix, error) {
	routes, err := s.routes()
	if err != nil {
		return nil, &container.Error{Verb: "list routes of the host", Cause: err}
	}
	index, _ := s.indexOf(own)
	var used []netip.Prefix
	for _, r := range routes {
		// A VPN may split the default route in two halves: those are no subnets either.
		if r.to.Bits() > 1 && (r.oif != index || index == 0) {
			used = append(used, r.to)
		}
	}
	for _, a := range resolvers {
		if a.Is4() {
			used = append(used, netip.PrefixFrom(a, 32))
		}
	}
	return used, nil
}

// checkSubnet refuses a subnet that can't hold a bridge and containers.
func checkSubnet(p netip.Prefix) error {
	var cause error
	switch {
	case !p.Addr().Is4():
		cause = errors.New("the default network is IPv4")
	case p != p.Masked():
		cause = fmt.Errorf("it has host bits set; the subnet is %v", p.Masked())
	case p.Bits() < 8 || p.Bits() > 29:
		cause = errors.New("the prefix length must be from 8 to 29")
	case p.Addr().IsLoopback(), p.Addr().IsMulticast(), p.Addr().IsLinkLocalUnicast(), p.Addr().As4()[0] == 0, p.Addr().As4()[0] >= 240:
		cause = errors.New("these addresses are reserved")
	default:
		return nil
	}
	return container.Invalid("use subnet", p.String(), cause, "for example 172.30.0.0/16")
}

// last is the highest address of an IPv4 prefix: its broadcast address.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}
