package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"gourd/internal/container"
)

// ExtraHost is one --add-host.
type ExtraHost struct {
	Name        string
	Address     netip.Addr
	HostGateway bool // the address is the host's as the container sees it
}

// ParseExtraHost reads --add-host: NAME:ADDRESS or NAME=ADDRESS, the address IPv4, IPv6 (with or without
// brackets) or "host-gateway".
func ParseExtraHost(s string) (ExtraHost, error) {
	bad := func(cause string) (ExtraHost, error) {
		return ExtraHost{}, container.Invalid("add host", fmt.Sprintf("%q", s), errors.New(cause), "for example --add-host db:192.0.2.7")
	}
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		name, value, ok = strings.Cut(s, ":")
	}
	if !ok || name == "" {
		return bad("it is not NAME:ADDRESS")
	}
	if err := checkDomain(name); err != nil {
		return bad(err.Error())
	}
	if value == "host-gateway" {
		return ExtraHost{Name: name, HostGateway: true}, nil
	}
	if inner, found := strings.CutPrefix(value, "["); found {
		if value, found = strings.CutSuffix(inner, "]"); !found {
			return bad("the address has an opening bracket only")
		}
	}
	a, err := netip.ParseAddr(value)
	if err != nil || a.Zone() != "" {
		return bad("the address is neither an IP address nor host-gateway")
	}
	return ExtraHost{Name: name, Address: a}, nil
}

// HostsOptions say what stands in a container's /etc/hosts.
type HostsOptions struct {
	Address    netip.Addr // the container's own; zero without a network
	Hostname   string
	Domainname string
	Extra      []ExtraHost
	Gateway    netip.Addr // what host-gateway means
	Base       []byte     // the host's file, for a container in the host's network; nil otherwise
}

// localNames are the lines that every container has, in docker's words.
const localNames = "127.0.0.1\tlocalhost\n" +
	"::1\tlocalhost ip6-localhost ip6-loopback\n" +
	"fe00::\tip6-localnet\n" +
	"ff00::\tip6-mcastprefix\n" +
	"ff02::1\tip6-allnodes\n" +
	"ff02::2\tip6-allrouters\n"

// HostsFile renders /etc/hosts. Errors: ErrInvalid for a host-gateway without a gateway.
func HostsFile(o HostsOptions) ([]byte, error) {
	var b bytes.Buffer
	if o.Base == nil {
		b.WriteString(localNames)
	} else {
		b.Write(o.Base)
		if n := len(o.Base); n > 0 && o.Base[n-1] != '\n' {
			b.WriteByte('\n')
		}
	}
	for _, e := range o.Extra {
		a := e.Address
		if e.HostGateway {
			a = o.Gateway
		}
		if !a.IsValid() {
			return nil, container.Invalid("add host", e.Name+":host-gateway", errors.New("without a bridge the host has no gateway address"), "give the address")
		}
		fmt.Fprintf(&b, "%s\t%s\n", a, e.Name)
	}
	if o.Address.IsValid() && o.Hostname != "" {
		fmt.Fprintf(&b, "%s\t%s\n", o.Address, ownNames(o.Hostname, o.Domainname))
	}
	return b.Bytes(), nil
}

// ownNames is the full name, and if it has several parts the first one too.
func ownNames(hostname, domainname string) string {
	full := hostname
	if domainname != "" {
		full += "." + domainname
	}
	if short, _, several := strings.Cut(full, "."); several && short != "" {
		return full + " " + short
	}
	return full
}

// HostnameFile renders /etc/hostname.
func HostnameFile(hostname string) []byte { return []byte(hostname + "\n") }

// CheckHostname refuses names that sethostname(2) or setdomainname(2) would (64 bytes), or that aren't
// host names. "" is none given.
func CheckHostname(hostname, domainname string) error {
	for _, x := range []struct{ what, name string }{{"host name", hostname}, {"domain name", domainname}} {
		if x.name == "" {
			continue
		}
		var cause error
		if len(x.name) > 64 {
			cause = fmt.Errorf("it has %d bytes, the kernel allows 64", len(x.name))
		} else {
			cause = checkHostChars(x.name)
		}
		if cause != nil {
			return container.Invalid("use "+x.what, fmt.Sprintf("%q", x.name), cause, "")
		}
	}
	return nil
}

// checkHostChars allows what docker allows: letters, digits, '-', '_' and dots between parts of up to 63.
func checkHostChars(s string) error {
	for part := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if part == "" || len(part) > 63 {
			return errors.New("each part of a host name has 1 to 63 characters")
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return errors.New("a host name has letters, digits, '-', '_' and dots")
			}
		}
		if part[0] == '-' || part[len(part)-1] == '-' {
			return errors.New("no part of a host name begins or ends with '-'")
		}
	}
	return nil
}
