package network

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gourd/internal/container"
)

const head = "# Made by gourd from the host's resolv.conf and the container's --dns options.\n"

func TestResolvConf(t *testing.T) {
	for _, c := range []struct {
		name, host string
		o          ResolvOptions
		want       string
		notices    int
	}{
		{
			"as the host", "nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:2 edns0\n",
			ResolvOptions{},
			"nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:2 edns0\n", 0,
		},
		{"comments and unknown lines", "# c\n; d\nnameserver 192.0.2.53 # e\nsortlist 1.2.3.4\nfamily inet4\n", ResolvOptions{}, "nameserver 192.0.2.53\n", 0},
		{"the last search or domain counts", "search a b\ndomain c d\nnameserver 192.0.2.53\n", ResolvOptions{}, "nameserver 192.0.2.53\nsearch c\n", 0},
		{"options add up", "options a\noptions b c\nnameserver 192.0.2.53", ResolvOptions{}, "nameserver 192.0.2.53\noptions a b c\n", 0},
		{"loopback and IPv6 are out of reach", "nameserver 127.0.0.53\nnameserver ::1\nnameserver 2001:db8::1\nnameserver fe80::1%eth0\nnameserver 192.0.2.53\n", ResolvOptions{}, "nameserver 192.0.2.53\n", 0},
		{"nothing in reach", "nameserver 127.0.0.53\nsearch a\n", ResolvOptions{}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch a\n", 1},
		{"nothing at all", "", ResolvOptions{}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n", 1},
		{"the host's network keeps loopback", "nameserver 127.0.0.53\nnameserver fe80::1%eth0\n", ResolvOptions{Host: true}, "nameserver 127.0.0.53\nnameserver fe80::1%eth0\n", 0},
		{"the host's network without any", "", ResolvOptions{Host: true}, "", 0},
		{"--dns replaces", "nameserver 192.0.2.53\nsearch a\noptions b\n", ResolvOptions{Servers: []string{"2001:db8::53", "127.0.0.1"}}, "nameserver 2001:db8::53\nnameserver 127.0.0.1\nsearch a\noptions b\n", 0},
		{"--dns-search replaces", "nameserver 192.0.2.53\nsearch a\n", ResolvOptions{Search: []string{"x.example", "y.example"}}, "nameserver 192.0.2.53\nsearch x.example y.example\n", 0},
		{"--dns-search . gives no search line", "nameserver 192.0.2.53\nsearch a\n", ResolvOptions{Search: []string{"."}}, "nameserver 192.0.2.53\n", 0},
		{"--dns-option replaces", "nameserver 192.0.2.53\noptions a b\n", ResolvOptions{Options: []string{"ndots:1"}}, "nameserver 192.0.2.53\noptions ndots:1\n", 0},
		{"not an address", "nameserver example.org\nnameserver 192.0.2.53\n", ResolvOptions{}, "nameserver 192.0.2.53\n", 0},
		{"a NUL byte", "nameserver 192.0.2.\x0053\nnameserver 192.0.2.54\r\n", ResolvOptions{}, "nameserver 192.0.2.54\n", 0},
	} {
		got, notices := ResolvConf([]byte(c.host), c.o)
		if string(got) != head+c.want || len(notices) != c.notices {
			t.Errorf("%s: got %q, %q; want %q and %d notices", c.name, got, notices, head+c.want, c.notices)
		}
	}
}

func TestResolversBehindLoopback(t *testing.T) {
	write := func(root, path, text string) {
		t.Helper()
		os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755)
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no file", nil, ""},
		{"plain", map[string]string{"etc/resolv.conf": "nameserver 192.0.2.1\n", "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.2\n"}, "nameserver 192.0.2.1\n"},
		{"systemd's stub", map[string]string{"etc/resolv.conf": "nameserver 127.0.0.53\n", "run/systemd/resolve/resolv.conf": "nameserver 192.0.2.2\n"}, "nameserver 192.0.2.2\n"},
		{"NetworkManager's dnsmasq", map[string]string{"etc/resolv.conf": "nameserver 127.0.1.1\n", "run/NetworkManager/no-stub-resolv.conf": "nameserver 192.0.2.3\n"}, "nameserver 192.0.2.3\n"},
		{"nothing better", map[string]string{"etc/resolv.conf": "nameserver 127.0.0.1\n", "run/systemd/resolve/resolv.conf": "nameserver ::1\n"}, "nameserver 127.0.0.1\n"},
	} {
		root := t.TempDir() + "/"
		for path, text := range c.files {
			write(root, path, text)
		}
		got, err := readResolvConf(root)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestCheckResolv(t *testing.T) {
	good := ResolvOptions{Servers: []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0"}, Search: []string{".", "a.example.", "_x.y"}, Options: []string{"ndots:1", "edns0"}}
	if err := CheckResolv(good); err != nil {
		t.Error(err)
	}
	for _, o := range []ResolvOptions{
		{Servers: []string{"example.org"}},
		{Servers: []string{"1.2.3"}},
		{Servers: []string{""}},
		{Servers: []string{"192.0.2.1\nnameserver 192.0.2.2"}},
		{Search: []string{""}},
		{Search: []string{"a b"}},
		{Search: []string{"a..b"}},
		{Search: []string{"a\noptions x"}},
		{Search: []string{strings.Repeat("a", 64)}},
		{Options: []string{""}},
		{Options: []string{"a b"}},
		{Options: []string{"a\nb"}},
	} {
		if err := CheckResolv(o); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("CheckResolv(%+v) = %v", o, err)
		}
	}
}

func TestHostsFile(t *testing.T) {
	extra := func(specs ...string) (all []ExtraHost) {
		for _, s := range specs {
			e, err := ParseExtraHost(s)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name string
		o    HostsOptions
		want string
	}{
		{"a network", HostsOptions{Address: addr("172.30.0.2"), Hostname: "hh"}, localNames + "172.30.0.2\thh\n"},
		{"none", HostsOptions{Hostname: "hh"}, localNames},
		{
			"extra hosts",
			HostsOptions{Address: addr("172.30.0.2"), Hostname: "hh", Gateway: addr("172.30.0.1"), Extra: extra("a.b:1.2.3.4", "v6:::1", "h:host-gateway", "q=[2001:db8::1]")},
			localNames + "1.2.3.4\ta.b\n::1\tv6\n172.30.0.1\th\n2001:db8::1\tq\n172.30.0.2\thh\n",
		},
		{"domain name", HostsOptions{Address: addr("172.30.0.2"), Hostname: "hh", Domainname: "example.org"}, localNames + "172.30.0.2\thh.example.org hh\n"},
		{"full host name", HostsOptions{Address: addr("172.30.0.2"), Hostname: "hh.example.org"}, localNames + "172.30.0.2\thh.example.org hh\n"},
		{"the host's network", HostsOptions{Base: []byte("127.0.0.1 localhost\n10.0.0.1 me"), Extra: extra("a:1.2.3.4")}, "127.0.0.1 localhost\n10.0.0.1 me\n1.2.3.4\ta\n"},
	} {
		got, err := HostsFile(c.o)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	if _, err := HostsFile(HostsOptions{Extra: extra("h:host-gateway")}); !errors.Is(err, container.ErrInvalid) {
		t.Errorf("host-gateway without a gateway: %v", err)
	}
}

func TestParseExtraHostRefuses(t *testing.T) {
	for _, s := range []string{"", "a", ":1.2.3.4", "a:", "a:b", "a:1.2.3", "a b:1.2.3.4", "a\nb:1.2.3.4", "a#:1.2.3.4", "a=[::1", "a=::1]", "a:fe80::1%eth0", "a:host-gateway2"} {
		if e, err := ParseExtraHost(s); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("ParseExtraHost(%q) = %+v, %v", s, e, err)
		}
	}
}

func TestCheckHostname(t *testing.T) {
	for _, c := range []struct {
		host, domain string
		ok           bool
	}{
		{"", "", true},
		{"hh", "", true},
		{"a.b.c", "example.org", true},
		{"A-1_b", "", true},
		{strings.Repeat("a", 63), "", true},
		{strings.Repeat("a", 64), "", false},
		{strings.Repeat("a.", 33), "", false},
		{"a b", "", false},
		{"-a", "", false},
		{"a-", "", false},
		{"a..b", "", false},
		{".", "", false},
		{"a\n", "", false},
		{"ü", "", false},
		{"a", strings.Repeat("b.", 40), false},
	} {
		err := CheckHostname(c.host, c.domain)
		if (err == nil) != c.ok || (err != nil && !errors.Is(err, container.ErrInvalid)) {
			t.Errorf("CheckHostname(%q, %q) = %v", c.host, c.domain, err)
		}
	}
}

// Whatever stands in the host's file, the container's has only lines that resolv.conf(5) knows.
func FuzzResolvConf(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"))
	f.Add([]byte("nameserver fe80::1%eth0 # x\n\x00\ndomain a b\r\n; c"))
	f.Fuzz(func(t *testing.T, host []byte) {
		for _, o := range []ResolvOptions{{}, {Host: true}} {
			got, _ := ResolvConf(host, o)
			again, _ := ResolvConf(got, o)
			if !bytes.Equal(got, again) {
				t.Errorf("rendering what was rendered changes it: %q, then %q", got, again)
			}
			for line := range strings.Lines(string(got)) {
				switch f := strings.Fields(line); f[0] {
				case "nameserver":
					if _, err := netip.ParseAddr(f[1]); err != nil || len(f) != 2 {
						t.Errorf("line %q", line)
					}
				case "search", "options", "#":
				default:
					t.Errorf("line %q", line)
				}
			}
		}
	})
}

// An --add-host that passes makes exactly one line with one address and one name.
func FuzzExtraHost(f *testing.F) {
	for _, s := range []string{"a.b:1.2.3.4", "v6:::1", "h:host-gateway", "q=[2001:db8::1]", "a\tb=1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseExtraHost(s)
		if err != nil {
			return
		}
		b, err := HostsFile(HostsOptions{Extra: []ExtraHost{e}, Gateway: netip.MustParseAddr("172.30.0.1")})
		if err != nil {
			t.Fatal(err)
		}
		line := strings.TrimPrefix(string(b), localNames)
		if w := strings.Fields(line); len(w) != 2 || w[1] != e.Name || strings.Count(line, "\n") != 1 {
			t.Errorf("%q gives %q", s, line)
		}
	})
}
