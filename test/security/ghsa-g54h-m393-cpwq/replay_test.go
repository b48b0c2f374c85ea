// Package replay: GHSA-g54h-m393-cpwq. A configuration whose device list does not begin with "deny all" left every
// device of the machine open. A container's devices are denied unless they are allowed.
package replay

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// probe makes a node of /dev/fuse's number and opens it.
const probe = "rm -f /tmp/node; mknod /tmp/node c 10 229 && : < /tmp/node"

func TestDenyByDefault(t *testing.T) {
	o := harness.NewOCI(t, "")
	b := o.Bundle("sh", "-c", probe)
	for name, rules := range map[string][]specs.LinuxDeviceCgroup{"no rules": nil, "an unrelated rule": {{Allow: true, Type: "c", Access: "rwm", Major: ptr(10), Minor: ptr(1)}}} {
		b.Spec.Linux.Resources.Devices = rules
		b.Write()
		if r := o.Run("run", "-b", b.Dir, o.ID("a")); r.Code == 0 || !strings.Contains(r.Stderr, "peration not permitted") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	b.Spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	b.Write()
	if r := o.Run("run", "-b", b.Dir, o.ID("a")); r.Code != 0 {
		t.Errorf("the oracle sees nothing: with everything allowed the device can't be opened either: %+v", r)
	}
}

func ptr(n int64) *int64 { return &n }
