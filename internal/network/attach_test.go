package network

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// in runs f on a thread in the box's network namespace: sockets that f opens belong there.
func (b *box) in(f func() error) error {
	b.t.Helper()
	fd, err := unix.Open("/proc/"+itoa(b.pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer unix.Close(fd)
	return inNamespace(fd, f)
}

// serve answers each TCP connection to the address in the box with the peer's address.
func (b *box) serve(address string) {
	b.t.Helper()
	err := b.in(func() error { return serve(b.t, address) })
	if err != nil {
		b.t.Fatal(err)
	}
}

func serve(t testing.TB, address string) error {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			c.Write([]byte(host))
			c.Close()
		}
	}()
	return nil
}

// seenAs connects from the box and returns the source address that the server saw.
func (b *box) seenAs(address string) (string, error) {
	var seen string
	err := b.in(func() error { var err error; seen, err = ask(address, nil); return err })
	return seen, err
}

func ask(address string, local net.Addr) (string, error) {
	d := net.Dialer{Timeout: 700 * time.Millisecond, LocalAddr: local}
	c, err := d.Dial("tcp4", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	var b [64]byte
	n, err := c.Read(b[:])
	return string(b[:n]), err
}

func (b *box) reaches(address string) {
	b.t.Helper()
	if _, err := b.seenAs(address); err != nil {
		b.t.Errorf("%s is out of reach: %v", address, err)
	}
}

func (b *box) reachesNot(address string) {
	b.t.Helper()
	if seen, err := b.seenAs(address); err == nil {
		b.t.Errorf("%s was reached, as %s", address, seen)
	}
}

func attach(t testing.TB, n *Networks, id string) (*box, *container.Endpoint) {
	t.Helper()
	b := newBox(t)
	e, err := n.Attach(AttachRequest{ID: id, Pid: b.pid})
	if err != nil {
		t.Fatal(err)
	}
	return b, e
}

func ip(t testing.TB, e *container.Endpoint) netip.Addr {
	t.Helper()
	p, err := netip.ParsePrefix(e.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	return p.Addr()
}

// link joins two hosts by a veth: near (nil is the test's own namespace) gets address a, far address b.
func link(t testing.TB, near, far *box, name, a, b string) {
	t.Helper()
	run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", itoa(far.pid))
	far.run("ip", "addr", "add", b, "dev", name)
	far.run("ip", "link", "set", name, "up")
	if near == nil {
		run(t, "ip", "addr", "add", a, "dev", name)
		run(t, "ip", "link", "set", name, "up")
		run(t, "ip", "link", "show", name)
	} else {
		run(t, "ip", "link", "set", name, "netns", itoa(near.pid))
		near.run("ip", "addr", "add", a, "dev", name)
		near.run("ip", "link", "set", name, "up")
		near.run("ip", "link", "show", name)
	}
	far.run("ip", "link", "show", name) // asking makes the kernel act on the carrier at once, see settle
}

// internet makes a router next to the host and a server behind it, neither of which knows a way to the
// containers' subnet. The server listens on 203.0.113.2:80.
func internet(t testing.TB) (router, server *box) {
	t.Helper()
	router, server = newBox(t), newBox(t)
	link(t, nil, router, "wan", "198.51.100.1/24", "198.51.100.2/24")
	run(t, "ip", "route", "add", "default", "via", "198.51.100.2")
	link(t, router, server, "lan", "203.0.113.1/24", "203.0.113.2/24")
	server.run("ip", "route", "add", "default", "via", "203.0.113.1")
	router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	server.serve("203.0.113.2:80")
	return router, server
}

func TestAttachConfiguresTheContainersEnd(t *testing.T) {
	if !isolated(t) {
		return
	}
	n, notices := open(t, Options{})
	a, e := attach(t, n, "aaa")
	want := container.Endpoint{Network: "bridge", Interface: "eth0", Host: e.Host, MAC: "02:42:ac:1e:00:02", IPv4: "172.30.0.2/16", Gateway4: "172.30.0.1"}
	if *e != want {
		t.Errorf("endpoint %+v, want %+v", *e, want)
	}
	if len(*notices) != 1 || !strings.Contains((*notices)[0], "ip_forward") {
		t.Errorf("notices %q, want one about ip_forward", *notices)
	}
	for _, c := range []struct{ cmd, want string }{
		{"ip -4 -o addr show eth0", "inet 172.30.0.2/16 brd 172.30.255.255 scope global eth0"},
		{"ip -4 -o addr show lo", "inet 127.0.0.1/8"},
		{"ip route", "default via 172.30.0.1 dev eth0"},
		{"ip -o link show eth0", "link/ether 02:42:ac:1e:00:02"},
		{"cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6 /proc/sys/net/ipv6/conf/eth0/accept_ra", "1\n0\n"},
		{"ip -6 -o addr show lo", "::1/128"},
	} {
		if got := a.run("sh", "-c", c.cmd); !strings.Contains(got, c.want) {
			t.Errorf("%s inside: %q lacks %q", c.cmd, got, c.want)
		}
	}
	if got := a.run("ip", "-6", "-o", "addr", "show", "eth0"); got != "" {
		t.Errorf("eth0 has IPv6 addresses: %s", got)
	}
	if got := run(t, "ip", "-6", "-o", "addr", "show", "gourd0"); got != "" {
		t.Errorf("the bridge has IPv6 addresses: %s", got)
	}
	if err := serve(t, "172.30.0.1:8080"); err != nil {
		t.Fatal(err)
	}
	if seen, err := a.seenAs("172.30.0.1:8080"); err != nil || seen != "172.30.0.2" {
		t.Errorf("the host saw the container as %q, %v", seen, err)
	}
	if gw, err := n.Gateway(); err != nil || gw.String() != "172.30.0.1" {
		t.Errorf("Gateway() = %v, %v", gw, err)
	}
}

// The kernel gives an interface that got its carrier late its queue a little later. A container that
// connects at once must not lose its first packet to that: TCP tries again only after a second.
func TestFirstPacketIsNotLost(t *testing.T) {
	if !isolated(t) {
		return
	}
	n, _ := open(t, Options{})
	if err := n.Prepare(); err != nil {
		t.Fatal(err)
	}
	if err := serve(t, "172.30.0.1:80"); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		a, _ := attach(t, n, "c"+itoa(i))
		if _, err := a.seenAs("172.30.0.1:80"); err != nil {
			t.Errorf("container %d: %v", i, err)
		}
	}
}

func TestAttachTakesAddressAndMAC(t *testing.T) {
	if !isolated(t) {
		return
	}
	n, _ := open(t, Options{Subnet: netip.MustParsePrefix("192.0.2.0/29"), Bridge: "br-x", MTU: 1400})
	b := newBox(t)
	e, err := n.Attach(AttachRequest{ID: "a", Pid: b.pid, MAC: "02:00:00:00:00:09", IPv4: netip.MustParseAddr("192.0.2.4")})
	if err != nil {
		t.Fatal(err)
	}
	if e.IPv4 != "192.0.2.4/29" || e.MAC != "02:00:00:00:00:09" {
		t.Errorf("endpoint %+v", *e)
	}
	if got := b.run("ip", "-o", "link", "show", "eth0"); !strings.Contains(got, "mtu 1400") || !strings.Contains(got, "02:00:00:00:00:09") {
		t.Errorf("eth0: %s", got)
	}
	for _, c := range []struct {
		r    AttachRequest
		kind error
	}{
		{AttachRequest{ID: "b", IPv4: netip.MustParseAddr("192.0.2.4")}, container.ErrInUse},
		{AttachRequest{ID: "b", IPv4: netip.MustParseAddr("192.0.2.1")}, container.ErrInvalid},
		{AttachRequest{ID: "b", IPv4: netip.MustParseAddr("192.0.2.7")}, container.ErrInvalid},
		{AttachRequest{ID: "b", IPv4: netip.MustParseAddr("192.0.3.2")}, container.ErrInvalid},
		{AttachRequest{ID: "b", MAC: "01:00:00:00:00:01"}, container.ErrInvalid},
		{AttachRequest{ID: "b", MAC: "nonsense"}, container.ErrInvalid},
	} {
		c.r.Pid = newBox(t).pid
		if _, err := n.Attach(c.r); !errors.Is(err, c.kind) {
			t.Errorf("Attach(%+v): %v, want %v", c.r, err, c.kind)
		}
	}
	for _, id := range []string{"c", "d", "e", "f"} {
		attach(t, n, id)
	}
	if _, err := n.Attach(AttachRequest{ID: "g", Pid: newBox(t).pid}); !errors.Is(err, container.ErrInUse) {
		t.Errorf("a full network: %v", err)
	}
	if err := n.Detach("d"); err != nil {
		t.Fatal(err)
	}
	if _, e := attach(t, n, "h"); e.IPv4 != "192.0.2.3/29" {
		t.Errorf("the freed address did not come back: %s", e.IPv4)
	}
}

func TestContainersTalk(t *testing.T) {
	if !isolated(t) {
		return
	}
	// With br_netfilter frames between ports of one bridge go through the forward chains too.
	os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0)
	run(t, "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
	n, _ := open(t, Options{})
	a, _ := attach(t, n, "a")
	b, e := attach(t, n, "b")
	b.serve("0.0.0.0:80")
	seen, err := a.seenAs(ip(t, e).String() + ":80")
	if err != nil || seen != "172.30.0.2" {
		t.Errorf("neighbour seen as %q, %v", seen, err)
	}
}

func TestMasquerade(t *testing.T) {
	if !isolated(t) {
		return
	}
	router, _ := internet(t)
	n, _ := open(t, Options{})
	a, e := attach(t, n, "a")
	seen, err := a.seenAs("203.0.113.2:80")
	if err != nil || seen != "198.51.100.1" {
		t.Errorf("the server saw %q, %v; want the host's address", seen, err)
	}
	// Who knows a way to the subnet still gets in to nothing that isn't published.
	a.serve("0.0.0.0:80")
	router.run("ip", "route", "add", "172.30.0.0/16", "via", "198.51.100.1")
	router.reachesNot(ip(t, e).String() + ":80")
	if _, err := ask(ip(t, e).String()+":80", nil); err != nil {
		t.Errorf("the host itself can't reach the container: %v", err)
	}
}

func TestForwardPolicies(t *testing.T) {
	if !isolated(t) {
		return
	}
	internet(t)
	n, _ := open(t, Options{})
	for _, c := range []struct {
		name, rules string
		out         bool
		tagged      int // rules of gourd's in others' chains
	}{
		{"no rules", "", true, 0},
		{"accept", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy accept; }", true, 0},
		{"iptables-nft drops", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }", true, 2},
		{"nft drops", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }", true, 2},
		{"ip and inet drop", "add table ip f; add chain ip f x { type filter hook forward priority 5; policy drop; }; add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }", true, 4},
		{"rejects at the end", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy accept; }; add rule inet filter forward ct state established accept; add rule inet filter forward reject with icmpx admin-prohibited", true, 2},
		{"the owner's own drop counts", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }; add rule inet filter forward ip saddr 172.30.0.0/16 drop", false, 2},
		{"not IPv4's business", "add table ip6 filter; add chain ip6 filter forward { type filter hook forward priority 0; policy drop; }", true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, "nft", "flush ruleset")
			if c.rules != "" {
				run(t, "nft", c.rules)
			}
			a, _ := attach(t, n, "a")
			a.t = t
			if c.out {
				a.reaches("203.0.113.2:80")
			} else {
				a.reachesNot("203.0.113.2:80")
			}
			rules := run(t, "nft", "list", "ruleset")
			if got := strings.Count(rules, `comment "gourd: `); got != c.tagged {
				t.Errorf("%d tagged rules in others' chains, want %d:\n%s", got, c.tagged, rules)
			}
			attach(t, n, "b")
			if again := run(t, "nft", "list", "ruleset"); stripCounters(again) != stripCounters(rules) {
				t.Errorf("a second attach changed the rules:\n%s", again)
			}
		})
	}
}

func stripCounters(s string) string {
	var lines []string
	for l := range strings.Lines(s) {
		if before, after, ok := strings.Cut(l, "counter packets "); ok {
			f := strings.SplitN(after, " ", 4)
			l = before + f[len(f)-1]
		}
		lines = append(lines, l)
	}
	return strings.Join(lines, "")
}

func TestLoopbackOfTheHostStaysClosed(t *testing.T) {
	if !isolated(t) {
		return
	}
	if err := serve(t, "127.0.0.1:7000"); err != nil {
		t.Fatal(err)
	}
	n, _ := open(t, Options{})
	a, _ := attach(t, n, "a")
	// The container sends packets for 127.0.0.1 to the host.
	a.run("sh", "-c", `echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
		ip addr del 127.0.0.1/8 dev lo
		ip route add 127.0.0.1 via 172.30.0.1 src 172.30.0.2`)
	a.reachesNot("127.0.0.1:7000")
	// Even when someone turned route_localnet on (CVE-2020-8558).
	if err := setSysctl("net/ipv4/conf/gourd0/route_localnet", "1"); err != nil {
		t.Fatal(err)
	}
	a.reachesNot("127.0.0.1:7000")
	// And this attack works where the rule is missing.
	run(t, "nft", "flush chain inet gourd from-gourd0")
	a.reaches("127.0.0.1:7000")
}

func TestBorrowedSourceIsDropped(t *testing.T) {
	if !isolated(t) {
		return
	}
	if err := serve(t, "172.30.0.1:80"); err == nil {
		t.Fatal("listening before the bridge exists")
	}
	n, _ := open(t, Options{})
	a, _ := attach(t, n, "a")
	if err := serve(t, "172.30.0.1:80"); err != nil {
		t.Fatal(err)
	}
	a.run("ip", "addr", "add", "10.9.9.9/32", "dev", "eth0")
	run(t, "ip", "route", "add", "10.9.9.9", "dev", "gourd0")
	from := func() error {
		return a.in(func() error {
			_, err := ask("172.30.0.1:80", &net.TCPAddr{IP: net.IPv4(10, 9, 9, 9)})
			return err
		})
	}
	if from() == nil {
		t.Error("a packet with another network's source address came through")
	}
	run(t, "nft", "flush chain inet gourd from-gourd0")
	if err := from(); err != nil {
		t.Errorf("control: without the rule it does not come through either: %v", err)
	}
}

// A container that sends router advertisements changes neither the host nor a neighbour (CVE-2020-13401).
func TestRouterAdvertisement(t *testing.T) {
	if !isolated(t) {
		return
	}
	// With br_netfilter gourd's own rules drop IPv6 between ports already. Most hosts don't have it.
	os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-ip6tables", []byte("0"), 0)
	n, _ := open(t, Options{})
	a, _ := attach(t, n, "a")
	b, _ := attach(t, n, "b")
	a.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; ip -6 addr add fe80::66/64 dev eth0 nodad; sleep 0.2")
	if err := a.in(sendRouterAdvertisement); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	for where, routes := range map[string]string{"host": run(t, "ip", "-6", "route"), "neighbour": b.run("ip", "-6", "route")} {
		if strings.Contains(routes, "2001:db8") || strings.Contains(routes, "default") {
			t.Errorf("%s took routes from the advertisement:\n%s", where, routes)
		}
	}
	// The same advertisement does configure who listens to it.
	b.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6; echo 2 > /proc/sys/net/ipv6/conf/eth0/accept_ra; sleep 2")
	if err := a.in(sendRouterAdvertisement); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if got := b.run("ip", "-6", "route"); !strings.Contains(got, "2001:db8") {
		t.Errorf("control: the advertisement is not taken by a listener:\n%s", got)
	}
}

// sendRouterAdvertisement sends one to all nodes (RFC 4861), with prefix 2001:db8:66::/64.
func sendRouterAdvertisement() error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255)
	unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, eth0.Index)
	ra := []byte{
		134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0,
		3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0, 0x20, 1, 0x0d, 0xb8, 0, 0x66, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	}
	return unix.Sendto(fd, ra, 0, &unix.SockaddrInet6{Addr: [16]byte{0: 0xff, 1: 2, 15: 1}, ZoneId: uint32(eth0.Index)})
}

// The log of TestAttachTime is where docs/performance.md has its figure from.
func TestAttachTime(t *testing.T) {
	if !isolated(t) {
		return
	}
	n, _ := open(t, Options{})
	var times []time.Duration
	for i := range 120 {
		b := newBox(t)
		time.Sleep(3 * time.Millisecond)
		start := time.Now()
		if _, err := n.Attach(AttachRequest{ID: "c" + itoa(i), Pid: b.pid}); err != nil {
			t.Fatal(err)
		}
		if i >= 20 {
			times = append(times, time.Since(start))
		}
	}
	slices.Sort(times)
	t.Logf("attach, %d times: least %v, median %v, p90 %v", len(times), times[0], times[len(times)/2], times[len(times)*9/10])
}
