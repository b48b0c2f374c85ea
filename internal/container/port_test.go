package container

import (
	"slices"
	"testing"
)

func TestExpandPorts(t *testing.T) {
	for s, want := range map[string][]string{
		"80": {"80/tcp"}, "53/UDP": {"53/udp"}, "8000-8002/sctp": {"8000/sctp", "8001/sctp", "8002/sctp"}, "0": {"0/tcp"},
	} {
		if got, err := ExpandPorts(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "a", "80/icmp", "70000", "9-8", "1-2-3", "-1", "80/"} {
		if got, err := ExpandPorts(s); err == nil {
			t.Errorf("%q gives %v", s, got)
		}
	}
}
