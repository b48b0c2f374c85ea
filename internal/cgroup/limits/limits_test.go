package limits

import (
	"fmt"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

func TestPlan(t *testing.T) {
	disk := specs.LinuxBlockIODevice{Major: 8}
	for _, c := range []struct {
		name   string
		r      specs.LinuxResources
		v1, v2 string
	}{
		{"nothing", specs.LinuxResources{}, "", ""},
		{"zero is unset", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(0)), Quota: ptr(int64(0)), Period: ptr(uint64(0))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(0))}}, "", ""},
		{"becoming idle", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(2)), Idle: ptr(int64(1))}}, "cpu.shares=2 cpu.idle=1", "cpu.weight=1 cpu.idle=1"},
		{"ceasing to be idle", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024)), Idle: ptr(int64(0))}}, "cpu.idle=0 cpu.shares=1024", "cpu.idle=0 cpu.weight=100"},
		{"no quota", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}, "cpu.cfs_quota_us=-1", "cpu.max=max "},
		{"only a period", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(5000))}}, "cpu.cfs_period_us=5000", "cpu.max= 5000"},
		{
			"unlimited memory",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1))}},
			"memory.limit_in_bytes=-1 memory.memsw.limit_in_bytes=-1", "memory.max=max memory.swap.max=max",
		},
		{
			"no swap at all",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(100))}},
			"memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=100", "memory.max=100 memory.swap.max=0",
		},
		{"swap alone", specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(100))}}, "memory.memsw.limit_in_bytes=100", "memory.swap.max=+100"},
		{"pids 0", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, "pids.max=1", "pids.max=1"},
		{
			"unthrottle",
			specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk}}}},
			"blkio.throttle.read_bps_device=8:0 0", "io.max=8:0 rbps=max",
		},
		{
			"device weight",
			specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: disk, Weight: ptr(uint16(1000))}}}},
			"blkio.weight_device=8:0 1000|blkio.bfq.weight_device=", "io.bfq.weight=8:0 1000|io.weight=8:0 10000",
		},
		{
			"huge pages",
			specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4}}},
			"hugetlb.2MB.limit_in_bytes=4 hugetlb.2MB.rsvd.limit_in_bytes=4|hugetlb.2MB.limit_in_bytes=", "hugetlb.2MB.max=4 hugetlb.2MB.rsvd.max=4|hugetlb.2MB.max=",
		},
		{
			"network",
			specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1048577)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 3}}}},
			"net_cls.classid=1048577 net_prio.ifpriomap=lo 3", "net_cls.classid=1048577 net_prio.ifpriomap=lo 3",
		},
		{
			"rdma",
			specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(4))}}},
			"rdma.max=mlx5_1 hca_handle=3 hca_object=4", "rdma.max=mlx5_1 hca_handle=3 hca_object=4",
		},
		{
			"unified last",
			specs.LinuxResources{Unified: map[string]string{"memory.high": "5\n", "cpu.weight": "7"}, CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024))}},
			"cpu.shares=1024 cpu.weight=7 memory.high=5", "cpu.weight=100 cpu.weight=7 memory.high=5",
		},
	} {
		for _, v2 := range []bool{false, true} {
			want := c.v1
			if v2 {
				want = c.v2
			}
			if got := text(Plan(&c.r, func(string) bool { return v2 })); got != want {
				t.Errorf("%s, v2 %v:\n%s, want\n%s", c.name, v2, got, want)
			}
		}
	}
}

func text(plan []Setting) string {
	var all []string
	for _, s := range plan {
		line := s.File + "=" + s.Value
		if s.Other != "" {
			line += "|" + s.Other + "=" + s.OtherValue
		}
		all = append(all, line)
	}
	return strings.Join(all, " ")
}

func TestWeights(t *testing.T) {
	// The ends and the defaults of both scales, and points that other implementations of the curve agree on.
	for shares, want := range map[uint64]uint64{0: 0, 1: 1, 2: 1, 512: 59, 1024: 100, 2048: 174, 262144: 10000, 1 << 40: 10000} {
		if got := Weight(shares); got != want {
			t.Errorf("%d shares are weight %d, want %d", shares, got, want)
		}
	}
	for weight, want := range map[uint16]uint64{0: 0, 10: 1, 100: 910, 500: 4950, 1000: 10000} {
		if got := IOWeight(weight); got != want {
			t.Errorf("block weight %d is %d, want %d", weight, got, want)
		}
	}
	for s := uint64(2); s < 1<<18; s += 97 {
		if Weight(s) > Weight(s+97) {
			t.Fatalf("weight falls at %d shares", s)
		}
	}
}

func TestMergeCPUMax(t *testing.T) {
	for _, c := range []struct{ value, old, want string }{
		{"5000 ", "max 100000\n", "5000 100000"}, {" 2000", "5000 100000\n", "5000 2000"}, {"max ", "5000 100000\n", "max 100000"}, {"1000 2000", "max 1\n", "1000 2000"},
	} {
		if got := MergeCPUMax(c.value, c.old); got != c.want {
			t.Errorf("%q into %q is %q", c.value, c.old, got)
		}
	}
}

func TestSwapAbove(t *testing.T) {
	if v, err := SwapAbove("+100", 60); err != nil || v != "40" {
		t.Error(v, err)
	}
	for _, c := range []struct {
		total  string
		memory uint64
	}{{"+100", 200}, {"+100", ^uint64(0)}, {"+x", 1}} {
		if v, err := SwapAbove(c.total, c.memory); err == nil {
			t.Errorf("%v gives %s", c, v)
		}
	}
}

func FuzzParseNumbers(f *testing.F) {
	for _, s := range []string{"", "0", "0-3", "1,3-5,7", "0-0", "5-1", "99999999999", "-1", "a", "1,,2", "0-65535", "0-65536"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseNumbers(s)
		if err != nil {
			return
		}
		if !l.Contains(l) || l.Count() > maxNumber {
			t.Errorf("%q is %v", s, l)
		}
		var spelled []string
		for _, r := range l {
			spelled = append(spelled, fmt.Sprintf("%d-%d", r[0], r[1]))
		}
		again, err := ParseNumbers(strings.Join(spelled, ","))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(l) {
			t.Errorf("%q: %v, spelled again %v (%v)", s, l, again, err)
		}
	})
}
