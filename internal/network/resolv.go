package network

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"gourd/internal/container"
)

// ResolvOptions are what the user said about names: --dns, --dns-search, --dns-option. Each replaces what
// the host has.
type ResolvOptions struct {
	Servers []string
	Search  []string // a single "." is: search nowhere
	Options []string
	// Host: the container is in the host's network namespace, so resolvers on loopback work.
	Host bool
}

// publicResolvers stand in for a host whose resolvers are all out of a container's reach, as docker does.
var publicResolvers = []string{"8.8.8.8", "8.8.4.4"}

// behindLoopback are where a host keeps its true resolvers while /etc/resolv.conf names a local one:
// systemd-resolved's (127.0.0.53), NetworkManager's with dnsmasq.
var behindLoopback = []string{"/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"}

// resolver is what gourd uses of a resolv.conf(5).
type resolver struct {
	servers, search, options []string
}

// HostResolvConf reads the host's /etc/resolv.conf, or, where that names resolvers on loopback only, the
// file with those behind it. Without such a file: /etc/resolv.conf as it is. A host without any is no error.
func HostResolvConf() ([]byte, error) { return readResolvConf("/") }

func readResolvConf(root string) ([]byte, error) {
	b, err := os.ReadFile(root + "etc/resolv.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &container.Error{Verb: "read the host's resolvers", Object: "/etc/resolv.conf", Cause: err}
	}
	if len(reachable(parseResolvConf(b).servers)) > 0 {
		return b, nil
	}
	for _, path := range behindLoopback {
		other, err := os.ReadFile(root + strings.TrimPrefix(path, "/"))
		if err == nil && len(reachable(parseResolvConf(other).servers)) > 0 {
			return other, nil
		}
	}
	return b, nil
}

// hostResolvers are the addresses of the host's resolvers, for choosing a subnet.
func hostResolvers() []netip.Addr {
	b, err := HostResolvConf()
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, s := range parseResolvConf(b).servers {
		if a, err := netip.ParseAddr(s); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// parseResolvConf reads resolv.conf(5) as glibc does: the last search or domain counts, options add up,
// lines it doesn't know are passed over.
func parseResolvConf(b []byte) resolver {
	var r resolver
	for line := range bytes.Lines(b) {
		if bytes.IndexByte(line, 0) >= 0 {
			continue
		}
		f := fields(string(line))
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil && !a.IsUnspecified() {
				r.servers = append(r.servers, f[1])
			}
		case "search":
			r.search = f[1:]
		case "domain":
			r.search = f[1:2]
		case "options":
			r.options = append(r.options, f[1:]...)
		}
	}
	return r
}

// fields splits a line at white space, up to a comment.
func fields(line string) []string {
	f := strings.Fields(line)
	for i, w := range f {
		if w[0] == '#' || w[0] == ';' {
			return f[:i]
		}
	}
	return f
}

// reachable leaves out the resolvers that a container on an IPv4 bridge can't reach: those on the host's
// loopback, and IPv6.
func reachable(servers []string) []string {
	var ok []string
	for _, s := range servers {
		if a, err := netip.ParseAddr(s); err == nil && a.Unmap().Is4() && !a.Unmap().IsLoopback() {
			ok = append(ok, s)
		}
	}
	return ok
}

// ResolvConf renders a container's resolv.conf from the host's and the user's options, which CheckResolv
// has passed. Notices are for the user.
func ResolvConf(host []byte, o ResolvOptions) (content []byte, notices []string) {
	r := parseResolvConf(host)
	switch {
	case len(o.Servers) > 0:
		r.servers = o.Servers
	case !o.Host:
		found := len(r.servers)
		if r.servers = reachable(r.servers); len(r.servers) == 0 {
			r.servers = publicResolvers
			why := "the host names no resolver"
			if found > 0 {
				why = "the host's resolvers are out of a container's reach (loopback or IPv6)"
			}
			notices = append(notices, why+": using "+strings.Join(publicResolvers, " and ")+"; --dns chooses others")
		}
	}
	if len(o.Search) > 0 {
		r.search = o.Search
	}
	if len(o.Options) > 0 {
		r.options = o.Options
	}
	return r.render(), notices
}

func (r resolver) render() []byte {
	var b bytes.Buffer
	b.WriteString("# Made by gourd from the host's resolv.conf and the container's --dns options.\n")
	for _, s := range r.servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(r.search) > 0 && !(len(r.search) == 1 && r.search[0] == ".") {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.search, " "))
	}
	if len(r.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.options, " "))
	}
	return b.Bytes()
}

// CheckResolv refuses --dns, --dns-search and --dns-option values that can't stand in a resolv.conf.
func CheckResolv(o ResolvOptions) error {
	for _, s := range o.Servers {
		if _, err := netip.ParseAddr(s); err != nil {
			return container.Invalid("use DNS server", fmt.Sprintf("%q", s), errors.New("it is not an IP address"), "for example --dns 192.0.2.53")
		}
	}
	for _, s := range o.Search {
		if s != "." {
			if err := checkDomain(s); err != nil {
				return container.Invalid("use DNS search domain", fmt.Sprintf("%q", s), err, "")
			}
		}
	}
	for _, s := range o.Options {
		if s == "" || !printable(s) {
			return container.Invalid("use DNS option", fmt.Sprintf("%q", s), errors.New("an option is one word"), "for example --dns-option ndots:1")
		}
	}
	return nil
}

// printable says that s has no white space, control character or beginning of a comment.
func printable(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == 0x7f || c == '#' || c == ';' {
			return false
		}
	}
	return true
}

// checkDomain refuses what can't be a domain name. Underscores and other bytes that name servers carry
// are allowed, as docker does.
func checkDomain(s string) error {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 || !printable(s) {
		return errors.New("a domain name has 1 to 253 characters, none of them white space")
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("each part of a domain name has 1 to 63 characters")
		}
	}
	return nil
}
