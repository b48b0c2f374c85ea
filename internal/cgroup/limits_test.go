package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// TestLimitsAreInTheFiles sets one group of limits after the other and reads every file back.
func TestLimitsAreInTheFiles(t *testing.T) {
	disk := wholeDisk(t)
	type file struct{ controller, name, want string }
	for _, c := range []struct {
		name string
		set  specs.LinuxResources
		v1   []file
		v2   []file
	}{
		{
			"quota",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(100000))}},
			[]file{{"cpu", "cpu.cfs_quota_us", "20000"}, {"cpu", "cpu.cfs_period_us", "100000"}},
			[]file{{"cpu", "cpu.max", "20000 100000"}},
		},
		{
			"period",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(50000))}},
			[]file{{"cpu", "cpu.cfs_quota_us", "-1"}, {"cpu", "cpu.cfs_period_us", "50000"}},
			[]file{{"cpu", "cpu.max", "max 50000"}},
		},
		{
			"burst",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(20000)), Burst: ptr(uint64(15000))}},
			[]file{{"cpu", "cpu.cfs_burst_us", "15000"}},
			[]file{{"cpu", "cpu.max.burst", "15000"}},
		},
		{
			"shares",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(512))}},
			[]file{{"cpu", "cpu.shares", "512"}},
			[]file{{"cpu", "cpu.weight", "59"}},
		},
		{
			"idle",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(512)), Idle: ptr(int64(1))}},
			[]file{{"cpu", "cpu.idle", "1"}},
			[]file{{"cpu", "cpu.idle", "1"}},
		},
		{
			"cpuset",
			specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}},
			[]file{{"cpuset", "cpuset.cpus", "0"}, {"cpuset", "cpuset.mems", "0"}},
			[]file{{"cpuset", "cpuset.cpus", "0"}, {"cpuset", "cpuset.mems", "0"}},
		},
		{
			"memory",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20))}},
			[]file{{"memory", "memory.limit_in_bytes", "67108864"}, {"memory", "memory.soft_limit_in_bytes", "33554432"}, {"memory", "memory.use_hierarchy", "1"}},
			[]file{{"memory", "memory.max", "67108864"}, {"memory", "memory.low", "33554432"}},
		},
		{
			"swap",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20))}},
			[]file{{"memory", "memory.memsw.limit_in_bytes", "100663296"}},
			[]file{{"memory", "memory.swap.max", "33554432"}},
		},
		{
			"swappiness",
			specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(7))}},
			[]file{{"memory", "memory.swappiness", "7"}},
			nil,
		},
		{
			"oom kill disable",
			specs.LinuxResources{Memory: &specs.LinuxMemory{DisableOOMKiller: ptr(true)}},
			[]file{{"memory", "memory.oom_control", "oom_kill_disable 1"}},
			nil,
		},
		{"pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(42))}}, []file{{"pids", "pids.max", "42"}}, []file{{"pids", "pids.max", "42"}}},
		{"no pids limit", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, []file{{"pids", "pids.max", "max"}}, []file{{"pids", "pids.max", "max"}}},
		{"throttle", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
			ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 1 << 20}},
			ThrottleWriteBpsDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 2 << 20}},
			ThrottleReadIOPSDevice:  []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 30}},
			ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: 40}},
		}}, []file{
			{"blkio", "blkio.throttle.read_bps_device", num(disk) + " 1048576"},
			{"blkio", "blkio.throttle.write_bps_device", num(disk) + " 2097152"},
			{"blkio", "blkio.throttle.read_iops_device", num(disk) + " 30"},
			{"blkio", "blkio.throttle.write_iops_device", num(disk) + " 40"},
		}, []file{{"io", "io.max", num(disk) + " rbps=1048576 wbps=2097152 riops=30 wiops=40"}}},
		{
			"weight",
			specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(200))}},
			[]file{{"blkio", "blkio.bfq.weight", "200"}},
			[]file{{"io", "io.weight", "default 1920"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			needRoot(t)
			l, _ := detect()
			g, err := Create(Options{Path: parent + "/files-" + strings.ReplaceAll(c.name, " ", "-"), Resources: &c.set})
			if errors.Is(err, container.ErrUnsupported) && c.name == "weight" {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer destroy(t, g)
			want := pick(l.mode == V2, c.v2, c.v1)
			if want == nil {
				t.Skip("cgroup v2 has no such limit")
			}
			for _, f := range want {
				if d := g.place(f.controller); c.name == "weight" && unix.Access(d.path+"/"+f.name, unix.F_OK) != nil {
					continue // another I/O scheduler
				}
				if got := readIn(t, g, f.controller, f.name); got != f.want && !strings.HasPrefix(got, f.want+"\n") {
					t.Errorf("%s is %q, want %q", f.name, got, f.want)
				}
			}
			if s, err := g.Stats(); err != nil || c.name == "pids" && s.Pids.Limit != 42 || c.name == "swap" && (s.Memory.Limit != 64<<20 || s.Memory.SwapLimit != 32<<20) {
				t.Errorf("statistics: %+v, %v", s, err)
			}
		})
	}
}

func num(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }

// wholeDisk finds a block device that takes I/O limits.
func wholeDisk(t *testing.T) specs.LinuxBlockIODevice {
	t.Helper()
	entries, _ := os.ReadDir("/sys/block")
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "loop") || strings.HasPrefix(e.Name(), "ram") || strings.HasPrefix(e.Name(), "zram") {
			continue
		}
		b, err := os.ReadFile("/sys/block/" + e.Name() + "/dev")
		if major, minor, ok := parseDevice(strings.TrimSpace(string(b))); err == nil && ok {
			return specs.LinuxBlockIODevice{Major: int64(major), Minor: int64(minor)}
		}
	}
	t.Skip("this machine has no disk")
	return specs.LinuxBlockIODevice{}
}

func TestMemoryAndSwapMoveTogether(t *testing.T) {
	mb := func(n int64) *int64 { return ptr(n << 20) }
	g := newGroup(t, "memswap", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: mb(32), Swap: mb(48)}})
	for _, c := range []struct{ limit, swap int64 }{{64, 96}, {16, 20}, {100, 100}, {32, 48}} {
		if err := g.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: mb(c.limit), Swap: mb(c.swap)}}); err != nil {
			t.Fatalf("%d/%d: %v", c.limit, c.swap, err)
		}
		s, err := g.Stats()
		if err != nil || s.Memory.Limit != uint64(c.limit)<<20 || s.Memory.SwapLimit != uint64(c.swap-c.limit)<<20 {
			t.Errorf("%d/%d: limit %d, swap %d (%v)", c.limit, c.swap, s.Memory.Limit>>20, s.Memory.SwapLimit>>20, err)
		}
	}
	// Only the sum: the memory limit stays.
	if err := g.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: mb(40)}}); err != nil {
		t.Fatal(err)
	}
	if s, _ := g.Stats(); s.Memory.Limit != 32<<20 || s.Memory.SwapLimit != 8<<20 {
		t.Errorf("limit %d, swap %d", s.Memory.Limit, s.Memory.SwapLimit)
	}
	if err := g.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1))}}); err != nil {
		t.Fatal(err)
	}
	if s, _ := g.Stats(); s.Memory.Limit != 0 || s.Memory.SwapLimit != 0 {
		t.Errorf("unlimited: limit %d, swap %d", s.Memory.Limit, s.Memory.SwapLimit)
	}
}

func TestRefusedUpdateChangesNothing(t *testing.T) {
	g := newGroup(t, "refused", &specs.LinuxResources{
		CPU:  &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000))},
		Pids: &specs.LinuxPids{Limit: ptr(int64(20))},
	})
	before, _ := g.Stats()
	quota := func() string {
		if g.layout.mode == V2 {
			return readIn(t, g, "cpu", "cpu.max")
		}
		return readIn(t, g, "cpu", "cpu.cfs_quota_us")
	}
	old := quota()
	err := g.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(70000)), Cpus: "4095"}, Pids: &specs.LinuxPids{Limit: ptr(int64(30))}})
	if !errors.Is(err, container.ErrInvalid) && !errors.Is(err, unix.EACCES) {
		t.Fatalf("a CPU that isn't there: %v", err)
	}
	after, _ := g.Stats()
	if quota() != old || after.Pids != before.Pids {
		t.Errorf("quota %s → %s, pids %v → %v", old, quota(), before.Pids, after.Pids)
	}
}

func TestQuotaAndBurstMoveTogether(t *testing.T) {
	g := newGroup(t, "burst", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(50000))}})
	for _, c := range []struct {
		quota         int64
		period, burst uint64
	}{{10000, 100000, 5000}, {90000, 50000, 80000}, {2000, 1000, 0}, {50000, 100000, 50000}} {
		if err := g.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &c.quota, Period: &c.period, Burst: &c.burst}}); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestMemoryHogIsKilledAndCounted(t *testing.T) {
	g := newGroup(t, "hog", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(16 << 20)), Swap: ptr(int64(16 << 20))}})
	// dd allocates its block size at once.
	cmd := start(t, g, "exec dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null")
	err := cmd.Wait()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("64 MB within 16 MB: %v", err)
	}
	if n, err := g.OOMKills(); err != nil || n != 1 {
		t.Errorf("%d OOM kills, %v", n, err)
	}
	if s, err := g.Stats(); err != nil || s.Memory.OOMKills != 1 || s.Memory.MaxUsage > 16<<20 {
		t.Errorf("%+v, %v", s.Memory, err)
	}
}

func TestOneMegabyteStarts(t *testing.T) {
	g := newGroup(t, "tiny", &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20))}})
	if err := start(t, g, "exit 7").Wait(); err == nil || err.Error() != "exit status 7" {
		t.Errorf("a shell in 1 MB: %v", err)
	}
}

func TestPidsLimitStopsForks(t *testing.T) {
	g := newGroup(t, "pids", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}})
	cmd := start(t, g, "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait")
	time.Sleep(300 * time.Millisecond)
	pids, err := g.Pids(true)
	if err != nil || len(pids) > 5 || len(pids) == 0 {
		t.Errorf("%d processes, %v", len(pids), err)
	}
	destroy(t, g)
	cmd.Wait()
}

func TestQuotaBites(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two seconds")
	}
	g := newGroup(t, "quota", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(20000)), Period: ptr(uint64(100000))}})
	cmd := start(t, g, "while :; do :; done")
	defer cmd.Wait()
	first, _ := g.Stats()
	begin := time.Now()
	time.Sleep(2 * time.Second)
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	share := float64(s.CPU.Usage-first.CPU.Usage) / float64(time.Since(begin))
	t.Logf("%.1f %% of a CPU, throttled in %d of %d periods", share*100, s.CPU.Throttled, s.CPU.Periods)
	// Upwards the limit is hard; a busy machine may give less.
	if share > 0.23 || s.CPU.Throttled == 0 || s.CPU.Usage == 0 {
		t.Errorf("a quota of 20 %% gave %.1f %%", share*100)
	}
	destroy(t, g)
}

func TestDevices(t *testing.T) {
	deny := specs.LinuxDeviceCgroup{Access: "rwm"}
	zero := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: ptr(int64(1)), Minor: ptr(int64(11)), Access: "r"} // kmsg
	for _, c := range []struct {
		name  string
		rules []specs.LinuxDeviceCgroup
		// whether the shell's command may work
		null, kmsgRead, kmsgWrite, ttyS bool
	}{
		{"nothing listed", nil, true, false, false, false},
		{"deny all", []specs.LinuxDeviceCgroup{deny}, true, false, false, false},
		{"one for reading", []specs.LinuxDeviceCgroup{deny, zero}, true, true, false, false},
		{"all", []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, true, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGroup(t, "devices-"+strings.ReplaceAll(c.name, " ", "-"), &specs.LinuxResources{Devices: c.rules})
			for _, try := range []struct {
				command string
				want    bool
			}{
				{": >/dev/null", c.null}, {": </dev/kmsg", c.kmsgRead}, {": >>/dev/kmsg", c.kmsgWrite}, {": <>/dev/kmsg", c.kmsgWrite},
			} {
				if err := start(t, g, try.command).Wait(); (err == nil) != try.want {
					t.Errorf("%q: %v", try.command, err)
				}
			}
		})
	}
}

func TestDevicesKeepTheirOrder(t *testing.T) {
	n := func(major, minor int64) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "rw"}
	}
	g := newGroup(t, "order", &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, n(10, 229), n(4, 5), n(10, 200)}})
	d := g.dirOf("devices")
	if d == nil {
		t.Skip("cgroup v2 has no list to read")
	}
	list := readIn(t, g, "devices", "devices.list")
	if !strings.HasPrefix(list, "c 10:229 rw\nc 4:5 rw\nc 10:200 rw\n") {
		t.Errorf("devices.list is\n%s", list)
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		r    specs.LinuxResources
		kind error
		text string
	}{
		{"quota", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(100))}}, container.ErrInvalid, "below 1000"},
		{"period", specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(10))}}, container.ErrInvalid, "1000 to 1000000"},
		{"idle", specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(2))}}, container.ErrInvalid, "0 or 1"},
		{"burst", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(2000)), Burst: ptr(uint64(3000))}}, container.ErrInvalid, "more than the quota"},
		{"cpus", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}, container.ErrInvalid, "this machine has"},
		{"cpus text", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-x"}}, container.ErrInvalid, "not a number"},
		{"swap below memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(10)), Swap: ptr(int64(9))}}, container.ErrInvalid, "memory+swap limit should be >= memory limit"},
		{"memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-5))}}, container.ErrInvalid, "number of bytes"},
		{"swappiness", specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(101))}}, container.ErrInvalid, "0 to 100"},
		{"weight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(5))}}, container.ErrInvalid, "10 to 1000"},
		{"leaf weight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: ptr(uint16(50))}}, container.ErrUnsupported, "CFQ"},
		{"no disk", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: 4000}}}}}, container.ErrInvalid, "no such block device"},
		{"huge page", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB"}}}, container.ErrInvalid, "no huge pages"},
		{"huge page path", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../../x"}}}, container.ErrInvalid, "page size"},
		{"device type", specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Type: "x"}}}, container.ErrInvalid, "not a, b or c"},
		{"device access", specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Type: "c", Access: "rx"}}}, container.ErrInvalid, "letters"},
		{"unified path", specs.LinuxResources{Unified: map[string]string{"../x.y": "1"}}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Check(&c.r)
			if err == nil || c.kind != nil && !errors.Is(err, c.kind) && !errors.Is(err, container.ErrUnsupported) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	c, err := Measure()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", c)
	if c.CPUs < 1 || c.Memory < 64<<20 || len(c.Controllers) == 0 {
		t.Error("that can't be")
	}
}
