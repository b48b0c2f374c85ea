package opts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/google/go-cmp/cmp"
)

func TestVolume(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	bind := func(m engine.MountRequest) engine.MountRequest {
		m.Type, m.CreateSource = "bind", true
		return m
	}
	for in, want := range map[string]engine.MountRequest{
		"/a:/b":                    bind(engine.MountRequest{Source: "/a", Destination: "/b"}),
		"/a:/b/../c/":              bind(engine.MountRequest{Source: "/a", Destination: "/c"}),
		"/a:/b:ro":                 bind(engine.MountRequest{Source: "/a", Destination: "/b", Mode: "ro", ReadOnly: true}),
		"/a:/b:z,rw":               bind(engine.MountRequest{Source: "/a", Destination: "/b", Mode: "z,rw"}),
		"/a:/b:rshared,ro":         bind(engine.MountRequest{Source: "/a", Destination: "/b", Mode: "rshared,ro", ReadOnly: true, Propagation: "rshared"}),
		"/a:/b:ro-non-recursive":   bind(engine.MountRequest{Source: "/a", Destination: "/b", Mode: "ro-non-recursive", ReadOnly: true, WritableBelow: true}),
		"/a:/b:ro-force-recursive": bind(engine.MountRequest{Source: "/a", Destination: "/b", Mode: "ro-force-recursive", ReadOnly: true, ForceReadOnly: true}),
		"./f:/ff":                  bind(engine.MountRequest{Source: filepath.Join(here, "f"), Destination: "/ff"}),
		".:/ff":                    bind(engine.MountRequest{Source: here, Destination: "/ff"}),
		"/data":                    {Type: "volume", Destination: "/data"},
		"name:/data":               {Type: "volume", Source: "name", Destination: "/data"},
		"n1:/data:nocopy":          {Type: "volume", Source: "n1", Destination: "/data", Mode: "nocopy", NoCopy: true},
	} {
		got, err := Volume(in)
		want.Spelled = in
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Volume(%q): %v\n%s", in, err, diff)
		}
	}
	for _, in := range []string{
		"", ":", ":/b", "/a:", "/a:b", "data", "/", "/a:/", "/a:/b:bogus", "/a:/b:", "/foo:rw", "/a:/b:ro:z", "/a:/b:ro,rw", "/a:/b:shared,slave",
		"/a:/b:nocopy", "name:/b:shared", "a/b:/c", "-n:/c", "/a:/b:z,Z", "/a\x00:/b",
	} {
		if got, err := Volume(in); err == nil {
			t.Errorf("Volume(%q) = %+v, want an error", in, got)
		}
	}
}

func TestMount(t *testing.T) {
	mode := uint32(0o1777)
	for in, want := range map[string]engine.MountRequest{
		"type=bind,source=/a,target=/b":                      {Type: "bind", Source: "/a", Destination: "/b"},
		"type=bind,src=/a,dst=/b,readonly":                   {Type: "bind", Source: "/a", Destination: "/b", ReadOnly: true},
		"type=bind,src=/a,dst=/b,ro=false":                   {Type: "bind", Source: "/a", Destination: "/b"},
		"type=bind,src=/a,dst=/b,bind-propagation=rslave":    {Type: "bind", Source: "/a", Destination: "/b", Propagation: "rslave"},
		"type=bind,src=/a,dst=/b,ro,bind-recursive=writable": {Type: "bind", Source: "/a", Destination: "/b", ReadOnly: true, WritableBelow: true},
		"type=bind,src=/a,dst=/b,bind-recursive=disabled":    {Type: "bind", Source: "/a", Destination: "/b", NonRecursive: true},
		"type=bind,src=/a,dst=/b,bind-create-src":            {Type: "bind", Source: "/a", Destination: "/b", CreateSource: true},
		`type=bind,"src=/a,b",dst=/b`:                        {Type: "bind", Source: "/a,b", Destination: "/b"},
		"type=tmpfs,dst=/root,tmpfs-mode=1777,tmpfs-size=1m": {Type: "tmpfs", Destination: "/root", TmpfsMode: &mode, TmpfsSize: 1 << 20},
		"TYPE=tmpfs,destination=/x,readonly":                 {Type: "tmpfs", Destination: "/x", ReadOnly: true},
		"type=volume,src=n2,dst=/data,volume-nocopy":         {Type: "volume", Source: "n2", Destination: "/data", NoCopy: true},
		"dst=/data": {Type: "volume", Destination: "/data"},
	} {
		got, err := Mount(in)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Mount(%q): %v\n%s", in, err, diff)
		}
	}
	for _, in := range []string{
		"", "foo", "type=bind", "type=bind,dst=/b", "type=bind,src=/a", "type=bind,src=a/b,dst=/b", "type=bogus,dst=/b", "type=bind,src=/a,dst=/",
		"type=bind,src=/a,dst=b", "type=tmpfs,src=/a,dst=/b", "type=tmpfs,dst=/b,tmpfs-mode=9", "type=tmpfs,dst=/b,tmpfs-size=x", "type=bind,src=/a,dst=/b,ro=maybe",
		"type=bind,src=/a,dst=/b,tmpfs-mode=1777", "type=tmpfs,dst=/b,bind-propagation=shared", "type=bind,src=/a,dst=/b,bogus=1", "type=bind, src=/a,dst=/b",
		"type=bind,src=/a,dst=/b,bind-recursive=x", "type=bind,src=/a,dst=/b,bind-recursive=readonly", "type=image,src=i,dst=/b", "type=npipe,src=a,dst=/b",
		"type=volume,src=n,dst=/b,volume-subpath=x", "type=volume,src=/a,dst=/b", "type=bind,src=,dst=/b", `type=bind,"src`,
	} {
		if got, err := Mount(in); err == nil {
			t.Errorf("Mount(%q) = %+v, want an error", in, got)
		}
	}
}

func TestEnv(t *testing.T) {
	lookup := func(name string) (string, bool) { return "from caller", name == "HERE" }
	for in, want := range map[string]string{
		"A=1": "A=1", "A=": "A=", "A=b=c": "A=b=c", "HERE": "HERE=from caller", "UNSET": "UNSET", "A B=c": "A B=c", "HERE=": "HERE=",
	} {
		if got, err := Env(in, lookup); err != nil || got != want {
			t.Errorf("Env(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "=x", "a=\x00"} {
		if got, err := Env(in, lookup); err == nil {
			t.Errorf("Env(%q) = %q, want an error", in, got)
		}
	}
}

func TestEnvFile(t *testing.T) {
	lookup := func(name string) (string, bool) { return "x", name == "HERE" }
	got, err := parseEnvFile("f", []byte("\xef\xbb\xbfA=1\n\n  # note\n  B= two \nHERE\nGONE\nC=\"q\"\r\nD=#\n"), lookup)
	want := []string{"A=1", "B= two ", "HERE=x", `C="q"`, "D=#"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	labels, err := parseEnvFile("f", []byte("a=b\nbare\n"), nil)
	if diff := cmp.Diff([]string{"a=b", "bare"}, labels); err != nil || diff != "" {
		t.Errorf("labels: %v\n%s", err, diff)
	}
}

// A value over several lines is the usual mistake: the message must say where, and what stands there.
func TestEnvFileErrorsNameTheLine(t *testing.T) {
	for in, want := range map[string]string{
		"S=\"\n[a b]\nk=v\n\"\n": `f: line 2: "[a b]"`, "A B=1": `f: line 1: "A B=1"`, "A=1\n=x\n": `f: line 2: "=x"`, "A=1\n\n\xff=x": "f: line 3:",
	} {
		list, err := parseEnvFile("f", []byte(in), nil)
		if err == nil || !strings.Contains(err.Error(), want) || list != nil {
			t.Errorf("%q: %q, %v; want an error with %q", in, list, err, want)
		}
	}
}

func TestCPUs(t *testing.T) {
	for in, want := range map[string]string{"1.1": "1.1", "0.29": "0.29", "0.07": "0.07", "1.123456789": "1.123456789", "2": "2", ".5": "0.5", "1.50": "1.5", "0.001": "0.001", "10": "10", "0": "0"} {
		if got, err := CPUs(in); err != nil || got != want {
			t.Errorf("CPUs(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "1.1234567891", "1/2", "-1", "1e3", ".", "1..2", "0x10", "1_0", " 1"} {
		if got, err := CPUs(in); err == nil {
			t.Errorf("CPUs(%q) = %q, want an error", in, got)
		}
	}
}

func TestPublish(t *testing.T) {
	for in, want := range map[string]Port{
		"80":                  {First: 80, Last: 80, Proto: "tcp"},
		"8080:80":             {HostFirst: 8080, HostLast: 8080, First: 80, Last: 80, Proto: "tcp"},
		"4444:44/udp":         {HostFirst: 4444, HostLast: 4444, First: 44, Last: 44, Proto: "udp"},
		"7000-7002:7000-7002": {HostFirst: 7000, HostLast: 7002, First: 7000, Last: 7002, Proto: "tcp"},
		"3010-3020:80":        {HostFirst: 3010, HostLast: 3020, First: 80, Last: 80, Proto: "tcp"},
		"80-82":               {First: 80, Last: 82, Proto: "tcp"},
	} {
		if got, err := Publish(in); err != nil || got != want {
			t.Errorf("Publish(%q) = %+v, %v", in, got, err)
		}
	}
	for in, ip := range map[string]string{"127.0.0.1:4445:45": "127.0.0.1", "127.0.0.1::45": "127.0.0.1", "[::1]:4445:45": "::1", "::1:4445:45": "::1"} {
		got, err := Publish(in)
		if err != nil || got.IP.String() != ip || got.First != 45 {
			t.Errorf("Publish(%q) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "70000:1", "127.0.0.1:80", "3000-3001:80-82", "0", "a", "80/", "80/icmp", "81-80", "1:2:3:4", "[::1:80:80", "localhost:80:80", "-1", "80:80:80"} {
		if got, err := Publish(in); err == nil {
			t.Errorf("Publish(%q) = %+v, want an error", in, got)
		}
	}
}

func TestAddHost(t *testing.T) {
	for in, want := range map[string]string{
		"a.b:1.2.3.4": "a.b:1.2.3.4", "v6:::1": "v6:::1", "v6=[::1]": "v6:::1", "h:host-gateway": "h:host-gateway", "h=host-gateway": "h:host-gateway",
	} {
		if got, err := AddHost(in); err != nil || got != want {
			t.Errorf("AddHost(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "a", ":1.2.3.4", "a:", "a:b", "a:1.2.3"} {
		if got, err := AddHost(in); err == nil {
			t.Errorf("AddHost(%q) = %q, want an error", in, got)
		}
	}
}

func TestDevices(t *testing.T) {
	for in, want := range map[string]container.Device{
		"/dev/a":            {Host: "/dev/a", Container: "/dev/a", Permissions: "rwm"},
		"/dev/a:/dev/b":     {Host: "/dev/a", Container: "/dev/b", Permissions: "rwm"},
		"/dev/a:r":          {Host: "/dev/a", Container: "/dev/a", Permissions: "r"},
		"/dev/a:/dev/b:mrw": {Host: "/dev/a", Container: "/dev/b", Permissions: "mrw"},
	} {
		if got, err := Device(in); err != nil || got != want {
			t.Errorf("Device(%q) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "dev", "/dev/a:b", "/dev/a:/dev/b:rr", "/dev/a:/dev/b:", "/dev/a:/dev/b:x", "/a:/b:r:w", "vendor.com/class=name", "/dev/a:"} {
		if got, err := Device(in); err == nil {
			t.Errorf("Device(%q) = %+v, want an error", in, got)
		}
	}
	if got, err := ThrottleBps("/dev/sda:1mb"); err != nil || got != (engine.Throttle{Path: "/dev/sda", Rate: 1 << 20}) {
		t.Errorf("ThrottleBps: %+v, %v", got, err)
	}
	if got, err := ThrottleIOps("/dev/disk/by-path/a:0:1:100"); err != nil || got != (engine.Throttle{Path: "/dev/disk/by-path/a:0:1", Rate: 100}) {
		t.Errorf("ThrottleIOps: %+v, %v", got, err)
	}
	for _, in := range []string{"/dev/sda", "sda:1", "/dev/sda:", "/dev/sda:-1", "/dev/sda:x", ""} {
		if got, err := ThrottleBps(in); err == nil {
			t.Errorf("ThrottleBps(%q) = %+v, want an error", in, got)
		}
	}
	if got, err := ThrottleIOps("/dev/sda:1m"); err == nil {
		t.Errorf("ThrottleIOps takes a size: %+v", got)
	}
}

func TestUlimit(t *testing.T) {
	for in, want := range map[string]engine.Ulimit{
		"nofile=512:1024": {Name: "nofile", Soft: 512, Hard: 1024}, "nofile=512": {Name: "nofile", Soft: 512, Hard: 512}, "core=-1": {Name: "core", Soft: -1, Hard: -1},
	} {
		if got, err := Ulimit(in); err != nil || got != want {
			t.Errorf("Ulimit(%q) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"nofile=20:10", "bogus=1", "nofile", "nofile=", "nofile=a", "nofile=1:2:3", "=1"} {
		if got, err := Ulimit(in); err == nil {
			t.Errorf("Ulimit(%q) = %+v, want an error", in, got)
		}
	}
}

func TestTmpfs(t *testing.T) {
	for in, want := range map[string][2]string{
		"/run": {"/run", ""}, "/root:mode=0751,uid=33,gid=1,size=1m,exec": {"/root", "mode=0751,uid=33,gid=1,size=1m,exec"},
		"/x/:ro,size=50%": {"/x", "ro,size=50%"}, "/x:nr_inodes=1k,noatime": {"/x", "nr_inodes=1k,noatime"},
	} {
		at, o, err := Tmpfs(in)
		if err != nil || [2]string{at, o} != want {
			t.Errorf("Tmpfs(%q) = %q, %q, %v", in, at, o, err)
		}
	}
	for _, in := range []string{"", "run", "/", "/x:bogus", "/x:size=x", "/x:mode=9", "/x:uid=-1", "/x:size", "/x:a=b", "/x:,", "/x:mode=77777"} {
		if at, o, err := Tmpfs(in); err == nil {
			t.Errorf("Tmpfs(%q) = %q, %q, want an error", in, at, o)
		}
	}
}

func TestTime(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"42m": now.Add(-42 * time.Minute), "2013-01-02T13:23:37Z": time.Date(2013, 1, 2, 13, 23, 37, 0, time.UTC),
		"2013-01-02T13:23:37.000000001+02:00": time.Date(2013, 1, 2, 11, 23, 37, 1, time.UTC), "2013-01-02": time.Date(2013, 1, 2, 0, 0, 0, 0, time.UTC),
		"2013-01-02T13:23": time.Date(2013, 1, 2, 13, 23, 0, 0, time.UTC), "2013-01-02T13": time.Date(2013, 1, 2, 13, 0, 0, 0, time.UTC),
		"1136073845": time.Unix(1136073845, 0), "1136073845.000000001": time.Unix(1136073845, 1), "1136073845.5": time.Unix(1136073845, 5e8),
	} {
		if got, err := Time(in, now); err != nil || !got.Equal(want) {
			t.Errorf("Time(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "2013-13-01", "1.0000000001", "1.x", "2013-01-02T"} {
		if got, err := Time(in, now); err == nil {
			t.Errorf("Time(%q) = %v, want an error", in, got)
		}
	}
}

func TestDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{"90s": 90 * time.Second, "30d": 30 * day, "+30d": 30 * day, "-1d12h": -36 * time.Hour, "-1h": -time.Hour, "0": 0} {
		if got, err := Duration(in); err != nil || got != want {
			t.Errorf("Duration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "1", "d", "--1h", "+-1h", "999999999d", "1d-1h", "-"} {
		if got, err := Duration(in); err == nil {
			t.Errorf("Duration(%q) = %v, want an error", in, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"6m": 6 << 20, "1G": 1 << 30, "512": 512, "1.5k": 1536, "10b": 10} {
		if got, err := Bytes(in); err != nil || got != want {
			t.Errorf("Bytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "x", "-1", "1x", "-1m"} {
		if got, err := Bytes(in); err == nil {
			t.Errorf("Bytes(%q) = %d, want an error", in, got)
		}
	}
	if got, err := SwapBytes("-1"); err != nil || got != -1 {
		t.Errorf("SwapBytes(-1) = %d, %v", got, err)
	}
}

func TestRestart(t *testing.T) {
	for in, want := range map[string]container.Restart{
		"no": {Name: "no"}, "": {}, "always": {Name: "always"}, "unless-stopped": {Name: "unless-stopped"}, "on-failure": {Name: "on-failure"},
		"on-failure:5": {Name: "on-failure", MaxRetries: 5}, "on-failure:0": {Name: "on-failure"},
	} {
		if got, err := Restart(in); err != nil || got != want {
			t.Errorf("Restart(%q) = %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"bogus", "always:3", "on-failure:-1", "on-failure:x", "on-failure:", "no:1"} {
		if got, err := Restart(in); err == nil {
			t.Errorf("Restart(%q) = %+v, want an error", in, got)
		}
	}
}

func TestSecurityOpt(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "p.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"no-new-privileges": "no-new-privileges=true", "no-new-privileges:true": "no-new-privileges=true", "no-new-privileges=false": "no-new-privileges=false",
		"seccomp=unconfined": "seccomp=unconfined", "seccomp=" + profile: `seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`, "label=disable": "label=disable",
		"label:type:t": "label=type:t", "apparmor=unconfined": "apparmor=unconfined", "systempaths=unconfined": "systempaths=unconfined",
	} {
		if got, err := SecurityOpt(in); err != nil || got != want {
			t.Errorf("SecurityOpt(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "bogus", "bogus=1", "seccomp=/no/such/file", "seccomp=", "seccomp", "no-new-privileges=x", "writable-cgroups=true"} {
		if got, err := SecurityOpt(in); err == nil {
			t.Errorf("SecurityOpt(%q) = %q, want an error", in, got)
		}
	}
}

func TestPlatformAndExpose(t *testing.T) {
	for in, want := range map[string]string{"linux": "linux", "linux/amd64": "linux/amd64", "Linux/ARM64/v8": "linux/arm64/v8"} {
		if got, err := Platform(in); err != nil || got != want {
			t.Errorf("Platform(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "/", "linux/", "a/b/c/d", "lin ux"} {
		if got, err := Platform(in); err == nil {
			t.Errorf("Platform(%q) = %q, want an error", in, got)
		}
	}
	for in, want := range map[string]string{"80": "80/tcp", "80/udp": "80/udp", "80-90/sctp": "80-90/sctp"} {
		if got, err := Expose(in); err != nil || got != want {
			t.Errorf("Expose(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "x", "80/x", "90-80"} {
		if got, err := Expose(in); err == nil {
			t.Errorf("Expose(%q) = %q, want an error", in, got)
		}
	}
}
