package systemd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gourd/internal/cgroup/devices"
	"gourd/internal/container"
)

func TestUnitNames(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"gourd.slice:gourd:abc", "/gourd.slice/gourd-abc.scope"},
		{":gourd:abc", "/system.slice/gourd-abc.scope"},
		{"a-b-c.slice:x:y", "/a.slice/a-b.slice/a-b-c.slice/x-y.scope"},
		{"-.slice::y", "/y.scope"},
	} {
		u, err := Parse(c.path)
		if err != nil || u.Path() != c.want {
			t.Errorf("%s: %v, want %s (%v)", c.path, u, c.want, err)
		}
	}
	for _, path := range []string{"", "/gourd/abc", "a:b", "a.slice:b:", "slice:b:c", "a--b.slice:c:d", ".slice:c:d", "a.slice:../b:c", "a.slice:b:c:d"} {
		if _, err := Parse(path); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestAnnotationsBecomeProperties(t *testing.T) {
	list, err := Properties(map[string]string{
		"org.systemd.property.TimeoutStopUSec": "uint64 123456789", "org.systemd.property.CollectMode": "'inactive-or-failed'",
		"org.systemd.property.JobTimeoutSec": "2.5", "other": "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range list {
		got = append(got, fmt.Sprintf("%s=%v", p.Name, p.Value.Value()))
	}
	if want := "CollectMode=inactive-or-failed JobTimeoutUSec=2500000 TimeoutStopUSec=123456789"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	for key, value := range map[string]string{"org.systemd.property.X": "1", "org.systemd.property.A/b_c": "1", "org.systemd.property.Abc": "}", "org.systemd.property.AbcSec": "'x'"} {
		if _, err := Properties(map[string]string{key: value}); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
}

func TestQuotaIsRoundedUpForSystemd(t *testing.T) {
	p := properties{v2: true, version: 252}
	quota, period := int64(123456), uint64(1000000)
	p.quota(&quota, &period)
	if fmt.Sprint(p.list) != fmt.Sprint([]any{"{CPUQuotaPeriodUSec @t 1000000}", "{CPUQuotaPerSecUSec @t 130000}"}) {
		t.Error(p.list)
	}
}

func TestDeviceNodesForSystemd(t *testing.T) {
	list := []byte("Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n")
	for want, r := range map[string]devices.Rule{
		"/dev/char/1:3": {Kind: 'c', Major: 1, Minor: 3}, "char-pts": {Kind: 'c', Major: 136, Minor: -1}, "block-sd": {Kind: 'b', Major: 8, Minor: -1},
		"char-*": {Kind: 'c', Major: -1, Minor: -1}, "": {Kind: 'c', Major: 200, Minor: -1},
	} {
		if got := node(r, list); got != want {
			t.Errorf("%v is %q, want %q", r, got, want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]int{`"252.39-1~deb12u1"`: 252, `"v245"`: 245, "257": 257, "": 0, "x": 0} {
		if got := parseVersion(s); got != want {
			t.Errorf("%q is %d", s, got)
		}
	}
}
