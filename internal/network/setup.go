package network

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// ensure gives the network's record after making sure that everything it says is in place.
func (n *Networks) ensure() (*record, error) {
	if r, ok := n.recall(); ok {
		return r, nil
	}
	if err := n.checkOptions(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(n.leaseDir(), 0o700); err != nil {
		return nil, &container.Error{Verb: "make network", Object: Default, Cause: err}
	}
	unlock, err := container.LockFile(n.leaseDir() + ".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	// Another process may have done it while this one waited.
	if r, ok := n.recall(); ok {
		return r, nil
	}
	return n.setUp()
}

func (n *Networks) checkOptions() error {
	if n.o.Bridge != "" {
		if err := checkInterface(n.o.Bridge); err != nil {
			return err
		}
	}
	if n.o.Subnet.IsValid() {
		if err := checkSubnet(n.o.Subnet); err != nil {
			return err
		}
	}
	if n.o.MTU != 0 && (n.o.MTU < 576 || n.o.MTU > 65535) {
		return container.Invalid("use MTU", fmt.Sprint(n.o.MTU), errors.New("it must be from 576 to 65535"), "")
	}
	return nil
}

// unchanged says that the options ask for nothing that the record doesn't have.
func (n *Networks) unchanged(r *record) bool {
	return (n.o.Bridge == "" || n.o.Bridge == r.Bridge) &&
		(!n.o.Subnet.IsValid() || n.o.Subnet == r.Subnet) &&
		(n.o.MTU == 0 || uint32(n.o.MTU) == r.MTU) &&
		(!n.o.KeepForwarding || r.KeepForwarding)
}

// facts is what the host looks like, as far as cheap questions tell: whoever flushes the packet filter
// or adds a rule changes its generation, whoever edits the network's record changes the file.
func (n *Networks) facts() (string, error) {
	s, err := dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return "", err
	}
	defer s.Close()
	gen, err := s.generation()
	if err != nil {
		return "", err
	}
	ns, err := namespaceID()
	if err != nil {
		return "", err
	}
	var st unix.Stat_t
	if err := unix.Stat(n.recordPath(), &st); err != nil && err != unix.ENOENT {
		return "", os.NewSyscallError("stat "+n.recordPath(), err)
	}
	return fmt.Sprintf("boot %s\nnetwork namespace %d\npacket filter generation %d\nrecord %d.%d\n",
		container.BootID(), ns, gen, st.Mtim.Nano(), st.Ino), nil
}

func (n *Networks) readyPath() string { return n.leaseDir() + ".ready" }

// memo is the last line of the ready file: what an attach needs of the record, at a tenth of the price of
// reading JSON in a process that has just begun.
func (r *record) memo() string {
	return fmt.Sprintf("%s %v %d %t\n", r.Bridge, r.address(), r.MTU, r.KeepForwarding)
}

// parseMemo is the inverse of memo.
func parseMemo(line string) (*record, bool) {
	f := strings.Fields(line)
	if len(f) != 4 {
		return nil, false
	}
	address, err := netip.ParsePrefix(f[1])
	mtu, mtuErr := strconv.ParseUint(f[2], 10, 32)
	if err != nil || mtuErr != nil || checkInterface(f[0]) != nil {
		return nil, false
	}
	return &record{Name: Default, Bridge: f[0], Subnet: address.Masked(), Gateway: address.Addr(), MTU: uint32(mtu), KeepForwarding: f[3] == "true"}, true
}

// recall gives what the network was when everything was last found in place, if that still holds and the
// options ask for nothing else.
func (n *Networks) recall() (*record, bool) {
	var b [512]byte
	seen := string(readSmall(n.readyPath(), b[:]))
	if seen == "" {
		return nil, false
	}
	now, err := n.facts()
	if err != nil {
		return nil, false
	}
	memo, same := strings.CutPrefix(seen, now)
	if !same {
		return nil, false
	}
	r, ok := parseMemo(memo)
	return r, ok && n.unchanged(r) && standing(r.Bridge, r.Gateway) && (r.KeepForwarding || sysctl(ipForward) == "1")
}

// setUp makes what is missing, under the network's lock.
func (n *Networks) setUp() (_ *record, err error) {
	if _, err := n.facts(); err != nil {
		return nil, noFilter(err)
	}
	s, err := dial(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, &container.Error{Verb: "make network", Object: Default, Cause: err}
	}
	defer s.Close()
	r, err := n.plan(s)
	if err != nil {
		return nil, err
	}
	made, err := n.makeBridge(s, r)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && made {
			removeRules(r)
			s.delLink(r.Bridge)
		}
	}()
	if err := n.store(r); err != nil {
		return nil, err
	}
	if err := n.turnForwardingOn(r); err != nil {
		return nil, err
	}
	return r, n.settleRules(r)
}

// settleRules sets rules until they are found in place, and writes down when that was. Others may
// change the packet filter meanwhile.
func (n *Networks) settleRules(r *record) error {
	for range 5 {
		seen, err := n.facts()
		if err != nil {
			return noFilter(err)
		}
		changed, err := setRules(r)
		if err != nil {
			return noFilter(err)
		}
		if !changed {
			n.warnLegacy(r)
			return container.WriteFile(n.readyPath(), []byte(seen+r.memo()), 0o600)
		}
	}
	// Someone changes rules all the time. Ours were set; the next attach looks again.
	return nil
}

func noFilter(cause error) error {
	e := &container.Error{Verb: "set up the packet filter for network", Object: Default, Cause: cause}
	for _, errno := range []unix.Errno{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT} {
		if errors.Is(cause, errno) {
			e.Kind, e.Hint = container.ErrUnsupported, "gourd needs nf_tables with NAT in the kernel (modules nf_tables, nft_ct, nft_masq); `--network none` or `--network host` work without"
		}
	}
	if errors.Is(cause, unix.EPERM) {
		e.Kind, e.Hint = container.ErrPermission, "run as root, with CAP_NET_ADMIN"
	}
	return e
}

// plan gives the record to set up: the old one, changed by the options and by what the host has by now.
func (n *Networks) plan(s *socket) (*record, error) {
	old, err := n.load()
	if err != nil && !errors.Is(err, container.ErrNotFound) {
		return nil, err
	}
	r := &record{Name: Default, Driver: "bridge", ChosenBridge: true, ChosenSubnet: true}
	if old != nil {
		*r = *old
		if !n.unchanged(old) {
			if err := n.retire(s, old); err != nil {
				return nil, err
			}
		}
	}
	r.KeepForwarding = r.KeepForwarding || n.o.KeepForwarding
	if n.o.Bridge != "" {
		r.Bridge, r.ChosenBridge = n.o.Bridge, false
	}
	exists, err := n.planBridge(s, r)
	if err != nil {
		return nil, err
	}
	if err := n.planSubnet(s, r, exists); err != nil {
		return nil, err
	}
	if n.o.MTU != 0 {
		r.MTU = uint32(n.o.MTU)
	}
	if r.MTU == 0 {
		r.MTU = s.defaultMTU()
	}
	return r, nil
}

// retire takes bridge and rules away that the options no longer describe, unless containers use them.
func (n *Networks) retire(s *socket, old *record) error {
	held, err := n.held()
	if err != nil {
		return err
	}
	if len(held) > 0 {
		return &container.Error{
			Verb: "change network", Object: old.Name, Kind: container.ErrInUse,
			Cause: fmt.Errorf("%d containers are connected to it (bridge %s, subnet %v)", len(held), old.Bridge, old.Subnet),
			Hint:  "stop them, or take bridge, subnet and mtu in gourd.toml back",
		}
	}
	os.Remove(n.readyPath())
	if err := removeRules(old); err != nil {
		return err
	}
	if l, err := s.findLink(old.Bridge); err == nil && n.owns(l) {
		return s.delLink(old.Bridge)
	}
	return nil
}

// alias marks a bridge with the installation it belongs to; `ip link` shows it.
func (n *Networks) alias() string {
	a := "gourd network " + Default + " of " + n.root
	return a[:min(len(a), 255)] // IFALIASZ
}

func (n *Networks) owns(l linkInfo) bool { return l.kind == "bridge" && l.alias == n.alias() }

// planBridge settles the bridge's name, and says whether it exists already.
func (n *Networks) planBridge(s *socket, r *record) (exists bool, err error) {
	if r.Bridge != "" {
		l, err := s.findLink(r.Bridge)
		switch {
		case errors.Is(err, unix.ENODEV):
			return false, nil
		case err != nil:
			return false, &container.Error{Verb: "look up bridge", Object: r.Bridge, Cause: err}
		case n.owns(l):
			return true, nil
		case !r.ChosenBridge:
			return false, &container.Error{
				Verb: "make bridge", Object: r.Bridge, Kind: container.ErrConflict,
				Cause: fmt.Errorf("an interface of this name exists and is not this installation's (%s)", describe(l)),
				Hint:  "choose another name: network.bridge in gourd.toml",
			}
		}
	}
	for i := range 1000 {
		name := fmt.Sprintf("gourd%d", i)
		l, err := s.findLink(name)
		switch {
		case errors.Is(err, unix.ENODEV):
			r.Bridge = name
			return false, nil
		case err != nil:
			return false, &container.Error{Verb: "look up bridge", Object: name, Cause: err}
		case n.owns(l):
			r.Bridge = name
			return true, nil
		}
	}
	return false, &container.Error{Verb: "choose bridge name", Object: "gourdN", Kind: container.ErrInUse, Hint: "set one: network.bridge in gourd.toml"}
}

func describe(l linkInfo) string {
	if l.alias != "" {
		return l.alias
	}
	if l.kind != "" {
		return "a " + l.kind
	}
	return "a device"
}

// planSubnet settles the subnet. One that gourd chose gives way when the host has got a route there
// since, for as long as there is no bridge with it.
func (n *Networks) planSubnet(s *socket, r *record, exists bool) error {
	if n.o.Subnet.IsValid() {
		r.Subnet, r.ChosenSubnet = n.o.Subnet, false
	}
	if !exists || !r.Subnet.IsValid() {
		used, err := s.usedSubnets(r.Bridge, hostResolvers())
		if err != nil {
			return err
		}
		other, taken := netip.Prefix{}, false
		if r.Subnet.IsValid() {
			other, taken = overlap(r.Subnet, used)
		}
		if taken && !r.ChosenSubnet {
			return &container.Error{
				Verb: "use subnet", Object: r.Subnet.String(), Kind: container.ErrConflict,
				Cause: fmt.Errorf("the host has a route or resolver in it: %v", other), Hint: "choose another one: network.subnet in gourd.toml",
			}
		}
		if taken || !r.Subnet.IsValid() {
			if r.Subnet, err = chooseSubnet(used); err != nil {
				return err
			}
		}
	}
	r.Gateway = r.Subnet.Addr().Next()
	return nil
}

// defaultMTU is the smallest MTU of an interface with a default route, at most Ethernet's 1500.
func (s *socket) defaultMTU() uint32 {
	mtu := uint32(1500)
	routes, _ := s.routes()
	links, _ := s.links()
	for _, r := range routes {
		for _, l := range links {
			if r.to.Bits() == 0 && l.index == r.oif && l.mtu >= 576 {
				mtu = min(mtu, l.mtu)
			}
		}
	}
	return mtu
}

// makeBridge makes the bridge, or puts right what is missing of it. made says that it was not there.
func (n *Networks) makeBridge(s *socket, r *record) (made bool, err error) {
	if _, err := s.findLink(r.Bridge); errors.Is(err, unix.ENODEV) {
		if err := s.addBridge(r.Bridge, n.alias(), bridgeMAC(), r.MTU); err != nil {
			e := &container.Error{Verb: "make bridge", Object: r.Bridge, Cause: err}
			if errors.Is(err, unix.EOPNOTSUPP) {
				e.Kind, e.Hint = container.ErrUnsupported, "gourd needs bridges in the kernel (module bridge); `--network none` or `--network host` work without"
			}
			return false, e
		}
		made = true
	}
	if err := raiseBridge(s, r); err != nil {
		if made {
			s.delLink(r.Bridge)
		}
		return false, &container.Error{Verb: "set up bridge", Object: r.Bridge, Cause: err}
	}
	return made, nil
}

// raiseBridge gives the bridge its address and raises it. It has no IPv6: nothing that a container
// advertises may configure the host (CVE-2020-13401).
func raiseBridge(s *socket, r *record) error {
	if err := disableIPv6(r.Bridge); err != nil {
		return err
	}
	for _, off := range []string{"route_localnet", "accept_redirects"} {
		if err := setSysctl("net/ipv4/conf/"+r.Bridge+"/"+off, "0"); err != nil {
			return err
		}
	}
	index, err := s.indexOf(r.Bridge)
	if err != nil {
		return err
	}
	have, err := s.addresses(index)
	if err != nil {
		return err
	}
	missing := true
	for _, p := range have {
		missing = missing && p != r.address()
	}
	if missing {
		if err := s.addAddress(index, r.address()); err != nil {
			return err
		}
	}
	return s.up(r.Bridge)
}

// bridgeMAC makes a random, locally administered hardware address.
func bridgeMAC() net.HardwareAddr {
	b := make(net.HardwareAddr, 6)
	rand.Read(b)
	b[0] = b[0]&^1 | 2
	return b
}

// Remove takes the network away: its rules, its bridge, its record, and what it changed on the host, as
// long as no other installation has a network here that may need it too.
// Errors: ErrInUse while a container holds an address. A network that isn't there is no error.
func (n *Networks) Remove() error {
	r, err := n.load()
	if errors.Is(err, container.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	unlock, err := container.LockFile(n.leaseDir() + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	s, err := dial(unix.NETLINK_ROUTE)
	if err != nil {
		return &container.Error{Verb: "remove network", Object: r.Name, Cause: err}
	}
	defer s.Close()
	if err := n.retire(s, r); err != nil {
		return err
	}
	if old, ok := r.Changed["net.ipv4.ip_forward"]; ok && !anyNetwork() {
		if err := setSysctl(ipForward, old); err != nil {
			return err
		}
		n.o.Notice("turned net.ipv4.ip_forward off again, as it was before " + r.Bridge + " was made")
	}
	os.Remove(n.leaseDir())
	return os.Remove(n.recordPath())
}
