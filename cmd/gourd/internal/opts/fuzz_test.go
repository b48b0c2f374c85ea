package opts

import (
	"path"
	"strings"
	"testing"
	"time"
)

func FuzzVolume(f *testing.F) {
	for _, s := range []string{"/a:/b:ro,z", "./f:/ff", "name:/data:nocopy", "/data", "/a:/b:rshared"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := Volume(s)
		if err == nil && (!path.IsAbs(m.Destination) || m.Destination == "/" || m.Spelled != s || m.Type == "bind" && !path.IsAbs(m.Source)) {
			t.Errorf("Volume(%q) = %+v", s, m)
		}
	})
}

func FuzzMount(f *testing.F) {
	for _, s := range []string{"type=bind,src=/a,dst=/b,ro", "type=tmpfs,dst=/x,tmpfs-mode=1777", `type=bind,"src=/a,b",dst=/b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := Mount(s)
		if err == nil && (!path.IsAbs(m.Destination) || m.Destination == "/" || m.Type == "bind" && !path.IsAbs(m.Source)) {
			t.Errorf("Mount(%q) = %+v", s, m)
		}
	})
}

func FuzzEnvFile(f *testing.F) {
	f.Add([]byte("A=1\n# note\nB\n"))
	f.Add([]byte("\xef\xbb\xbfA B=1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseEnvFile("f", b, nil)
		if err != nil && list != nil {
			t.Errorf("%q: half an environment: %q", b, list)
		}
		for _, e := range list {
			if name, _, _ := strings.Cut(e, "="); name == "" || strings.ContainsAny(name, " \t\n") {
				t.Errorf("%q: bad name in %q", b, e)
			}
		}
	})
}

func FuzzPublish(f *testing.F) {
	for _, s := range []string{"80", "127.0.0.1:8080:80/udp", "[::1]:1-2:3-4/tcp", "3010-3020:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Publish(s)
		if err == nil && (p.First == 0 || p.Last < p.First || p.HostLast < p.HostFirst || p.Proto == "") {
			t.Errorf("Publish(%q) = %+v", s, p)
		}
	})
}

func FuzzValues(f *testing.F) {
	f.Add("1.5")
	f.Add("/dev/sda:1mb")
	f.Add("-1d12h")
	f.Add("nofile=1:2")
	f.Add("a:::1")
	f.Fuzz(func(t *testing.T, s string) {
		CPUs(s)
		Bytes(s)
		Device(s)
		ThrottleBps(s)
		Ulimit(s)
		AddHost(s)
		Tmpfs(s)
		Platform(s)
		Restart(s)
		if d, err := Duration(s); err == nil && d > 0 && strings.HasPrefix(s, "-") {
			t.Errorf("Duration(%q) = %v", s, d)
		}
		Time(s, time.Unix(0, 0))
	})
}
