package network

import (
	"os/exec"
	"strings"
	"testing"
)

// iptables refuses a table with rules that it could not have written: gourd's must be in its words.
func TestIptablesStillReadsItsTable(t *testing.T) {
	if !isolated(t) {
		return
	}
	if _, err := exec.LookPath("iptables-nft"); err != nil {
		t.Skip("iptables-nft (Debian package iptables) is not installed")
	}
	run(t, "iptables-nft", "-P", "FORWARD", "DROP")
	run(t, "iptables-nft", "-N", "DOCKER-USER")
	run(t, "iptables-nft", "-A", "FORWARD", "-j", "DOCKER-USER")
	internet(t)
	n, _ := open(t, Options{})
	a, _ := attach(t, n, "a")
	a.reaches("203.0.113.2:80")
	got := run(t, "iptables-nft", "-S", "FORWARD")
	want := `-P FORWARD DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -i gourd0 -m comment --comment "gourd: containers on gourd0 may connect" -j ACCEPT
-A FORWARD -o gourd0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "gourd: replies to gourd0" -j ACCEPT
`
	if got != want {
		t.Errorf("iptables lists\n%swant\n%s", got, want)
	}
	// The owner's rules come first, and a rule appended later that refuses everything goes on counting.
	run(t, "iptables-nft", "-A", "DOCKER-USER", "-i", "gourd0", "-j", "DROP")
	attach(t, n, "b")
	a.reachesNot("203.0.113.2:80")
	run(t, "iptables-nft", "-F", "FORWARD")
	run(t, "iptables-nft", "-A", "FORWARD", "-j", "REJECT")
	attach(t, n, "c")
	a.reaches("203.0.113.2:80")
	if got := run(t, "iptables-nft", "-S", "FORWARD"); !strings.HasSuffix(got, "-j REJECT --reject-with icmp-port-unreachable\n") || strings.Count(got, "gourd:") != 2 {
		t.Errorf("after -F and a REJECT at the end:\n%s", got)
	}
}

func TestLegacyIptablesIsNamed(t *testing.T) {
	if !isolated(t) {
		return
	}
	if out, err := exec.Command("iptables-legacy", "-P", "FORWARD", "DROP").CombinedOutput(); err != nil {
		t.Skipf("no legacy iptables here: %v %s", err, out)
	}
	n, notices := open(t, Options{})
	if err := n.Prepare(); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(*notices, "\n"); !strings.Contains(all, "iptables-legacy -A FORWARD -i gourd0") {
		t.Errorf("notices %q", *notices)
	}
	run(t, "iptables-legacy", "-P", "FORWARD", "ACCEPT")
	if legacyForwardDrops() {
		t.Error("a policy of ACCEPT is read as DROP")
	}
}
