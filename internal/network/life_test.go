package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// helper starts this test binary as another gourd process that does one thing with the same networks.
func helper(n *Networks, what string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{"-test.run=^TestHelper$", "--", what}, args...)...)
	cmd.Env = append(os.Environ(), "GOURD_TEST_ROOT="+n.root, "GOURD_TEST_STATE="+n.state)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// TestHelper is not a test: it is what helper starts.
func TestHelper(t *testing.T) {
	root := os.Getenv("GOURD_TEST_ROOT")
	if root == "" {
		return // run by itself, there is nothing to do
	}
	n := Open(root, os.Getenv("GOURD_TEST_STATE"), Options{})
	args := os.Args[len(os.Args)-3:]
	var err error
	switch args[0] {
	case "attach":
		var pid int
		fmt.Sscan(args[2], &pid)
		_, err = n.Attach(AttachRequest{ID: args[1], Pid: pid})
	case "prepare-without":
		err = prepareWithout(n, args[1])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	os.Exit(0)
}

func TestFiftyAttachesAtOnce(t *testing.T) {
	if !isolated(t) {
		return
	}
	n, _ := open(t, Options{})
	const count = 50
	boxes := make([]*box, count)
	for i := range boxes {
		boxes[i] = newBox(t)
	}
	cmds := make([]*exec.Cmd, count)
	for i := range cmds {
		cmds[i] = helper(n, "attach", "c"+itoa(i), itoa(boxes[i].pid))
		cmds[i].Stdout = os.Stdout
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range cmds {
		if err := c.Wait(); err != nil {
			t.Errorf("attach %d: %v", i, err)
		}
	}
	seen := map[string]bool{}
	for i, b := range boxes {
		out := b.run("ip", "-4", "-o", "addr", "show", "eth0")
		f := strings.Fields(out)
		if len(f) < 4 || seen[f[3]] {
			t.Fatalf("container %d: no address or another's: %s", i, out)
		}
		seen[f[3]] = true
		p := netip.MustParsePrefix(f[3])
		if owner, err := os.Readlink(filepath.Join(n.leaseDir(), p.Addr().String())); err != nil || owner != "c"+itoa(i) {
			t.Errorf("lease of %v: %q, %v", p, owner, err)
		}
	}
	if rules := run(t, "nft", "list", "ruleset"); strings.Count(rules, "masquerade") != 2 || strings.Count(rules, "vmap") != 3 {
		t.Errorf("rules were set more than once:\n%s", rules)
	}
	if err := n.Sweep(func(id string) bool { return id == "c7" }); err != nil {
		t.Fatal(err)
	}
	if held, err := n.held(); err != nil || len(held) != 1 {
		t.Errorf("after the sweep: %v, %v", held, err)
	}
}

// Killing the attaching process at any moment leaves nothing that the sweep and the next attach don't
// put right.
func TestKilledWhileAttaching(t *testing.T) {
	if !isolated(t) {
		return
	}
	n, _ := open(t, Options{})
	killed := 0
	var takes [2]time.Duration // how long it takes unharmed: with everything in place, and from nothing
	for i := range 90 {
		fresh := 0
		if i%3 == 0 {
			fresh = 1
			if err := n.Remove(); err != nil {
				t.Fatal(err)
			}
		}
		b := newBox(t)
		c := helper(n, "attach", "k"+itoa(i), itoa(b.pid))
		start := time.Now()
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if takes[fresh] != 0 {
			time.Sleep(rand.N(takes[fresh]))
			c.Process.Kill()
		}
		if c.Wait() != nil {
			killed++
		} else if takes[fresh] == 0 {
			takes[fresh] = time.Since(start)
		}
		syscall.Kill(b.pid, syscall.SIGKILL)
		if err := n.Sweep(func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
		if held, _ := n.held(); len(held) != 0 {
			t.Fatalf("leases after the sweep: %v", held)
		}
	}
	if killed < 10 {
		t.Errorf("only %d of 90 were killed before they had ended (they take %v)", killed, takes)
	}
	a, e := attach(t, n, "last")
	if err := serve(t, e.Gateway4+":80"); err != nil {
		t.Fatal(err)
	}
	a.reaches(e.Gateway4 + ":80")
	noMoreThan(t, 1)
}

// noMoreThan waits until at most count veths are left: the kernel removes those of the dead by itself.
func noMoreThan(t testing.TB, count int) {
	t.Helper()
	var out string
	for range 100 {
		out = run(t, "ip", "-o", "link", "show", "type", "veth")
		if strings.Count(out, "\n") <= count {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("more than %d veths are left:\n%s", count, out)
}

func TestRemoveLeavesNothing(t *testing.T) {
	if !isolated(t) {
		return
	}
	run(t, "nft", "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }; add rule inet filter forward tcp dport 1 accept")
	before := run(t, "nft", "list", "ruleset") + run(t, "ip", "-o", "link") + run(t, "ip", "route")
	n, _ := open(t, Options{})
	b, _ := attach(t, n, "a")
	if err := n.Remove(); !errors.Is(err, container.ErrInUse) {
		t.Errorf("Remove with a container: %v", err)
	}
	if err := n.Detach("a"); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(b.pid, syscall.SIGKILL)
	noMoreThan(t, 0)
	if err := n.Remove(); err != nil {
		t.Fatal(err)
	}
	if after := run(t, "nft", "list", "ruleset") + run(t, "ip", "-o", "link") + run(t, "ip", "route"); after != before {
		t.Errorf("left:\n%s\nwas:\n%s", after, before)
	}
	if v := sysctl(ipForward); v != "0" {
		t.Errorf("ip_forward is %s, was 0", v)
	}
	if _, err := n.Gateway(); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("the record is still there: %v", err)
	}
	if err := n.Remove(); err != nil {
		t.Errorf("a second Remove: %v", err)
	}
	attach(t, n, "b")
}

func TestTwoInstallations(t *testing.T) {
	if !isolated(t) {
		return
	}
	run(t, "ip", "link", "add", "gourd1", "type", "bridge")
	n, _ := open(t, Options{})
	m, _ := open(t, Options{})
	a, _ := attach(t, n, "a")
	b, e := attach(t, m, "b")
	if e.IPv4 != "172.29.0.2/16" {
		t.Errorf("the second installation's container has %s", e.IPv4)
	}
	if out := run(t, "ip", "-o", "link", "show", "gourd2"); !strings.Contains(out, m.root) {
		t.Errorf("its bridge is not marked: %s", out)
	}
	b.serve("0.0.0.0:80")
	a.reachesNot("172.29.0.2:80") // another network
	if err := m.Detach("b"); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(); err != nil {
		t.Fatal(err)
	}
	if rules := run(t, "nft", "list", "ruleset"); strings.Contains(rules, "gourd2") || !strings.Contains(rules, "gourd0") {
		t.Errorf("rules after the second was removed:\n%s", rules)
	}
	if err := serve(t, "172.30.0.1:80"); err != nil {
		t.Fatal(err)
	}
	a.reaches("172.30.0.1:80")
	if sysctl(ipForward) != "1" {
		t.Error("removing one installation's network turned forwarding off for the other")
	}
}

func TestOptionsAgainstTheHost(t *testing.T) {
	if !isolated(t) {
		return
	}
	run(t, "ip", "link", "add", "lan", "type", "bridge")
	run(t, "ip", "addr", "add", "172.30.7.1/24", "dev", "lan")
	run(t, "ip", "link", "set", "lan", "up")
	for _, c := range []struct {
		o    Options
		kind error
		say  string
	}{
		{Options{Subnet: netip.MustParsePrefix("172.30.0.0/16")}, container.ErrConflict, "172.30.7."},
		{Options{Bridge: "lan"}, container.ErrConflict, "a bridge"},
		{Options{Bridge: "lo"}, container.ErrConflict, "lo"},
		{Options{Bridge: "a/b"}, container.ErrInvalid, "a/b"},
		{Options{Bridge: "sixteen-letters-"}, container.ErrInvalid, "15"},
		{Options{Subnet: netip.MustParsePrefix("172.29.0.1/16")}, container.ErrInvalid, "172.29.0.0/16"},
		{Options{Subnet: netip.MustParsePrefix("172.29.0.0/30")}, container.ErrInvalid, "prefix"},
		{Options{Subnet: netip.MustParsePrefix("fd00::/64")}, container.ErrInvalid, "IPv4"},
		{Options{Subnet: netip.MustParsePrefix("127.0.0.0/16")}, container.ErrInvalid, "reserved"},
		{Options{MTU: 100}, container.ErrInvalid, "576"},
	} {
		n, _ := open(t, c.o)
		err := n.Prepare()
		if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.say) {
			t.Errorf("Prepare with %+v: %v, want %v saying %q", c.o, err, c.kind, c.say)
		}
		if _, err := n.Gateway(); !errors.Is(err, container.ErrNotFound) {
			t.Errorf("Prepare with %+v left a record: %v", c.o, err)
		}
	}
	if rules := run(t, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("refused options left rules:\n%s", rules)
	}
	n, _ := open(t, Options{})
	_, e := attach(t, n, "a")
	if e.IPv4 != "172.29.0.2/16" {
		t.Errorf("a subnet that overlaps a route was chosen: %s", e.IPv4)
	}
	// Later processes without options keep to the record; new options wait until nobody is connected.
	other := Open(n.root, n.state, Options{Bridge: "br-new", Subnet: netip.MustParsePrefix("10.1.0.0/24")})
	if err := other.Prepare(); !errors.Is(err, container.ErrInUse) {
		t.Errorf("changing a network in use: %v", err)
	}
	n.Detach("a")
	if err := other.Prepare(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "show", e.Gateway4).CombinedOutput(); err == nil {
		t.Errorf("the old bridge is still there: %s", out)
	}
	if _, e := attach(t, n, "b"); e.IPv4 != "10.1.0.2/24" {
		t.Errorf("the new subnet is not used: %s", e.IPv4)
	}
}

func TestForwardingIsRefusable(t *testing.T) {
	if !isolated(t) {
		return
	}
	n, notices := open(t, Options{KeepForwarding: true})
	attach(t, n, "a")
	if v := sysctl(ipForward); v != "0" {
		t.Error("ip_forward was turned on")
	}
	if len(*notices) != 1 || !strings.Contains((*notices)[0], "stays off") {
		t.Errorf("notices %q", *notices)
	}
}

// What stands in the way of an attach is put back by the next one.
func TestPutsBackWhatOthersTook(t *testing.T) {
	if !isolated(t) {
		return
	}
	internet(t)
	n, _ := open(t, Options{})
	for _, harm := range []string{
		"nft flush ruleset", "nft delete table inet gourd", "nft flush chain inet gourd postrouting", "nft flush chain inet gourd out-gourd0",
		"nft delete element inet gourd out '{ gourd0 }'", "ip link set gourd0 down", "ip addr flush dev gourd0", "ip link del gourd0", "echo 0 > /proc/sys/net/ipv4/ip_forward",
	} {
		attach(t, n, "x")
		run(t, "sh", "-c", harm)
		a, _ := attach(t, n, "x")
		if _, err := a.seenAs("203.0.113.2:80"); err != nil {
			t.Errorf("after `%s`: %v", harm, err)
		}
		n.Sweep(func(string) bool { return false })
	}
	if err := os.RemoveAll(n.leaseDir()); err != nil {
		t.Fatal(err)
	}
	attach(t, n, "y")
}

func TestKernelWithout(t *testing.T) {
	if !isolated(t) {
		return
	}
	for _, c := range []struct{ what, say string }{{"nf_tables", "nf_tables with NAT"}, {"admin", "CAP_NET_ADMIN"}} {
		n, _ := open(t, Options{})
		out, err := helper(n, "prepare-without", c.what, "-").CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.say) || strings.Count(string(out), "\n") != 1 {
			t.Errorf("without %s: %q, %v", c.what, out, err)
		}
		if left := run(t, "ip", "-o", "link", "show", "type", "bridge") + run(t, "nft", "list", "ruleset"); left != "" {
			t.Errorf("without %s: left %s", c.what, left)
		}
		if _, err := os.Stat(n.recordPath()); err == nil {
			t.Errorf("without %s: a record was left", c.what)
		}
		if v := sysctl(ipForward); v != "0" {
			t.Errorf("without %s: ip_forward was turned on", c.what)
		}
	}
}

// prepareWithout takes something away from this process, for good, and prepares the network.
func prepareWithout(n *Networks, what string) error {
	runtime.LockOSThread()
	switch what {
	case "admin":
		const bit = 1 << unix.CAP_NET_ADMIN
		h, d := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, [2]unix.CapUserData{}
		if err := unix.Capget(&h, &d[0]); err != nil {
			return err
		}
		d[0].Effective &^= bit
		d[0].Permitted &^= bit
		if err := unix.Capset(&h, &d[0]); err != nil {
			return err
		}
	case "nf_tables":
		if err := refuseNetfilter(); err != nil {
			return err
		}
	}
	return n.Prepare()
}

// refuseNetfilter makes socket(AF_NETLINK, …, NETLINK_NETFILTER) fail as on a kernel without it.
func refuseNetfilter() error {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	skipUnless := func(k uint32, jf uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: jf}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	filter := []unix.SockFilter{
		load(0), skipUnless(unix.SYS_SOCKET, 5),
		load(16), skipUnless(unix.AF_NETLINK, 3),
		load(32), skipUnless(unix.NETLINK_NETFILTER, 1),
		answer(0x00050000 | uint32(unix.EPROTONOSUPPORT)), // SECCOMP_RET_ERRNO
		answer(0x7fff0000), // SECCOMP_RET_ALLOW
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setModeFilter, tsync = 1, 1
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, tsync, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}
