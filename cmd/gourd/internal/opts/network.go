package opts

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Port is one -p argument: container ports First–Last of Proto, on host ports HostFirst–HostLast
// (0: any free one) of the host's address IP (invalid: all).
type Port struct {
	IP                  netip.Addr
	HostFirst, HostLast uint16
	First, Last         uint16
	Proto               string
}

// Publish reads a -p argument: [[IP:][HOSTPORT[-END]]:]PORT[-END][/PROTO].
func Publish(s string) (Port, error) {
	p, err := publish(s)
	if err != nil {
		return p, fmt.Errorf("invalid port %q: %w", s, err)
	}
	return p, nil
}

func publish(s string) (p Port, err error) {
	rest, proto, _ := strings.Cut(s, "/")
	if p.Proto, err = protocol(proto, strings.Contains(s, "/")); err != nil {
		return p, err
	}
	host, inside := "", rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, inside = rest[:i], rest[i+1:]
		if host, err = p.address(host); err != nil {
			return p, err
		}
	}
	if p.First, p.Last, err = portRange(inside); err != nil {
		return p, fmt.Errorf("container port: %w", err)
	}
	if p.First == 0 {
		return p, errors.New("container port: 0 is no port")
	}
	if host == "" {
		return p, nil
	}
	if p.HostFirst, p.HostLast, err = portRange(host); err != nil {
		return p, fmt.Errorf("host port: %w", err)
	}
	// A host range for one container port means "any free one of these".
	if n, m := p.HostLast-p.HostFirst, p.Last-p.First; n != m && m != 0 {
		return p, fmt.Errorf("%d host ports for %d container ports", int(n)+1, int(m)+1)
	}
	return p, nil
}

// address takes the IP off "IP:HOSTPORT" and returns the rest. An IPv6 address is in brackets.
func (p *Port) address(host string) (string, error) {
	var ip string
	if strings.HasPrefix(host, "[") {
		end := strings.LastIndex(host, "]")
		if end < 0 || (end+1 < len(host) && host[end+1] != ':') {
			return "", fmt.Errorf("%q: a bracket is open", host)
		}
		ip, host = host[1:end], strings.TrimPrefix(host[end+1:], ":")
	} else if i := strings.LastIndexByte(host, ':'); i >= 0 {
		ip, host = host[:i], host[i+1:]
	} else {
		return host, nil
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return "", fmt.Errorf("%q is no IP address", ip)
	}
	p.IP = addr
	return host, nil
}

// Expose reads an --expose argument, PORT[-END][/PROTO], and gives it with its protocol.
func Expose(s string) (string, error) {
	ports, proto, given := strings.Cut(s, "/")
	proto, err := protocol(proto, given)
	if err != nil {
		return "", fmt.Errorf("invalid port %q: %w", s, err)
	}
	first, _, err := portRange(ports)
	if err != nil || first == 0 {
		return "", fmt.Errorf("invalid port %q: it must be PORT or FIRST-LAST, 1 to 65535", s)
	}
	return ports + "/" + proto, nil
}

func protocol(proto string, given bool) (string, error) {
	if !given {
		return "tcp", nil
	}
	switch proto = strings.ToLower(proto); proto {
	case "tcp", "udp", "sctp":
		return proto, nil
	}
	return "", fmt.Errorf("%q is no protocol: tcp, udp or sctp", proto)
}

func portRange(s string) (first, last uint16, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if first, err = port(from); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return first, first, nil
	}
	if last, err = port(to); err != nil {
		return 0, 0, err
	}
	if last < first {
		return 0, 0, fmt.Errorf("the range %s runs backwards", s)
	}
	return first, last, nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no number from 0 to 65535", s)
	}
	return uint16(n), nil
}

// AddHost reads an --add-host argument, NAME:IP or NAME=IP; the IP may be "host-gateway" and an IPv6
// address may stand in brackets. It gives "NAME:IP".
func AddHost(s string) (string, error) {
	i := strings.IndexAny(s, ":=")
	if i <= 0 {
		return "", fmt.Errorf("%q is not NAME:IP", s)
	}
	name, ip := s[:i], s[i+1:]
	if ip == "host-gateway" {
		return name + ":" + ip, nil
	}
	if strings.HasPrefix(ip, "[") && strings.HasSuffix(ip, "]") {
		ip = ip[1 : len(ip)-1]
	}
	if _, err := netip.ParseAddr(ip); err != nil {
		return "", fmt.Errorf("%q: %q is no IP address", s, ip)
	}
	return name + ":" + ip, nil
}
