package runtime

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestFindHome(t *testing.T) {
	const passwd = "# comment\nroot:x:0:0::/root:/bin/sh\nbroken:x\n1000:x:7:7::/seven:\nempty:x:8:8:::\n"
	for uid, want := range map[uint32]string{0: "/root", 7: "/seven", 8: "/", 1000: "/"} {
		if got := findHome(strings.NewReader(passwd), uid); got != want {
			t.Errorf("home of %d: %q, want %q", uid, got, want)
		}
	}
}

func FuzzFindHome(f *testing.F) {
	f.Add("root:x:0:0::/root:/bin/sh\n", uint32(0))
	f.Add("a:b:c:d:e:f\n\x00::::::\n", uint32(1))
	f.Fuzz(func(t *testing.T, passwd string, uid uint32) {
		if home := findHome(strings.NewReader(passwd), uid); home == "" || strings.ContainsAny(home, ":\n") {
			t.Fatalf("home %q", home)
		}
	})
}

func TestMountOptions(t *testing.T) {
	o := parseMountOptions([]string{"ro", "nosuid", "rw", "noatime", "rbind", "rslave", "rro", "size=5m", "sync"})
	if o.set != unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOATIME || o.clear != unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR__ATIME {
		t.Errorf("set %#x, clear %#x", o.set, o.clear)
	}
	if o.setAll != unix.MOUNT_ATTR_RDONLY || !o.bind || !o.recursive || o.propagation != unix.MS_SLAVE || !o.propagationAll {
		t.Errorf("%+v", o)
	}
	if len(o.data) != 2 || o.data[0].Key != "size" || o.data[0].Value != "5m" || o.data[1].Key != "sync" {
		t.Errorf("data %+v", o.data)
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward": "net/ipv4/ip_forward", "net.ipv4.conf.eth0/100.mtu": "net/ipv4/conf/eth0.100/mtu",
		"net/ipv4/conf/eth0.100/mtu": "net/ipv4/conf/eth0.100/mtu",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func FuzzSysctl(f *testing.F) {
	for _, s := range []string{"net.ipv4.x", "net/../kernel/core_pattern", "kernel.shmmax", "net.", "net/ipv4.././x", "fs.mqueue.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		b := &build{ns: namespaces{fresh: unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS}}
		p := sysctlPath(name)
		if b.checkSysctl(p) != nil {
			return
		}
		if strings.Contains("/"+p+"/", "/../") || strings.Contains("/"+p+"/", "/./") || strings.Contains(p, "//") || strings.ContainsRune(p, 0) {
			t.Fatalf("%q is accepted as %q", name, p)
		}
	})
}

func TestRlimits(t *testing.T) {
	for _, bad := range [][]specs.POSIXRlimit{
		{{Type: "RLIMIT_TIME"}}, {{Type: "NOFILE"}}, {{Type: "RLIMIT_CPU", Soft: 2, Hard: 1}}, {{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_CPU"}},
	} {
		if _, err := rlimits(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	got, err := rlimits([]specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}, {Type: "RLIMIT_RTTIME", Soft: 3, Hard: 4}})
	if err != nil || len(got) != 2 || got[0].resource != unix.RLIMIT_NOFILE || got[1].resource != 15 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestUnsupportedIsNamed(t *testing.T) {
	for name, change := range map[string]func(*specs.Spec){
		"process.apparmorProfile": func(s *specs.Spec) { s.Process.ApparmorProfile = "x" },
		"process.selinuxLabel":    func(s *specs.Spec) { s.Process.SelinuxLabel = "x" },
		"linux.intelRdt":          func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} },
		"tmpcopyup":               func(s *specs.Spec) { s.Mounts[0].Options = []string{"tmpcopyup"} },
		"hooks.startContainer":    func(s *specs.Spec) { s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/x"}}} },
		"mount namespace":         func(s *specs.Spec) { s.Linux.Namespaces = s.Linux.Namespaces[:3] },
	} {
		spec := testSpec(false, "true")
		change(spec)
		_, err := Plan(&Config{ID: "x", Spec: spec})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
