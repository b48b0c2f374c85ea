package cgroup

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestParseMountinfo(t *testing.T) {
	text := `25 30 0:23 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:25 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
28 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct
29 25 0:27 / /mnt/a\040b\134c rw - cgroup memory rw,memory,release_agent=/x
30 25 0:26 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct
31 1 8:1 / / rw - ext4 /dev/sda rw
garbage
`
	var got []string
	for _, h := range parseMountinfo([]byte(text)) {
		got = append(got, fmt.Sprintf("%s %v %v", h.mount, h.controllers, h.unified))
	}
	want := []string{
		"/sys/fs/cgroup/systemd [name=systemd] false", "/sys/fs/cgroup/cpu,cpuacct [cpu cpuacct] false",
		`/mnt/a b\c [memory] false`, "/sys/fs/cgroup/unified [] true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// The quick way and the sure way find the same.
func TestUsualMountsAgreeWithMountinfo(t *testing.T) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	quick := usualMounts()
	if err != nil || quick == nil {
		t.Skip("hierarchies are not at the usual places")
	}
	sure := parseMountinfo(b)
	names := func(all []hierarchy) []string {
		var n []string
		for _, h := range all {
			n = append(n, fmt.Sprint(h))
		}
		slices.Sort(n)
		return n
	}
	if l, err := detect(); err != nil || l.mode == V2 {
		t.Skip("cgroup v2")
	}
	if !slices.Equal(names(quick), names(sure)) {
		t.Errorf("%v, mountinfo says %v", quick, sure)
	}
}

func FuzzParseMountinfo(f *testing.F) {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	f.Add(b)
	f.Add([]byte(`1 2 0:1 / /a\04 rw - cgroup x rw,` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, h := range parseMountinfo(b) {
			if !h.unified && len(h.controllers) == 0 {
				t.Error("a hierarchy without controllers")
			}
		}
	})
}

func FuzzParseProcCgroup(f *testing.F) {
	b, _ := os.ReadFile("/proc/self/cgroup")
	f.Add(b)
	f.Add([]byte("0::/a:b\n12:cpu,cpuacct:/x (deleted)\n::\n1:name=systemd:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range parseProcCgroup(b) {
			if !strings.HasPrefix(m.path, "/") {
				t.Errorf("path %q", m.path)
			}
		}
	})
}

func FuzzParseKeyed(f *testing.F) {
	f.Add([]byte("cache 0\nrss -4096\nhierarchical_memory_limit 9223372036854771712\noom_kill max\nx y z\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for k := range parseKeyed(b) {
			if k == "" || strings.ContainsAny(k, " \n") {
				t.Errorf("key %q", k)
			}
		}
	})
}

func FuzzParseIOStat(f *testing.F) {
	f.Add([]byte("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:1 \n254:0 rbytes=18446744073709551615\n"), []byte("8:0 Read 5\n8:0 Total 6\nTotal 6\n"))
	f.Fuzz(func(t *testing.T, v2, v1 []byte) {
		parseIOStat(v2)
		seen := map[[2]uint64]bool{}
		for _, d := range parseBlkio(v1, v2) {
			if seen[[2]uint64{d.Major, d.Minor}] {
				t.Errorf("device %d:%d twice", d.Major, d.Minor)
			}
			seen[[2]uint64{d.Major, d.Minor}] = true
		}
	})
}

func TestParseStatistics(t *testing.T) {
	got := fmt.Sprint(parseIOStat([]byte("8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=7 dios=8\n7:0 \nbad rbytes=1\n")))
	if want := fmt.Sprint([]DeviceIO{{8, 16, 1459200, 314773504, 192, 353, 7, 8}}); got != want {
		t.Error(got)
	}
	got = fmt.Sprint(parseBlkio([]byte("8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n"), []byte("8:0 Read 1\n8:0 Discard 4\n")))
	if want := fmt.Sprint([]DeviceIO{{8, 0, 10, 20, 1, 0, 0, 4}}); got != want {
		t.Error(got)
	}
	p := parsePressure([]byte("some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"))
	if p.Some != (PressureLine{1.5, 0.25, 0, 12345}) || p.Full.Total != 7 || parsePressure(nil) != nil {
		t.Errorf("%+v", p)
	}
	if m := parseKeyed([]byte("a 1\nb -5\nc max\nd\n")); m["a"] != 1 || m["b"] != 0 || m["c"] != ^uint64(0) || len(m) != 3 {
		t.Error(m)
	}
}
