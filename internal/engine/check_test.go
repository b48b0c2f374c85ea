package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/image"

	"golang.org/x/sys/unix"
)

// plainMachine is a machine with everything a usual one has.
func plainMachine() *machine {
	return &machine{
		CPUs: 2, Online: "0-1", MemNodes: "0", Hostname: "machine", Bounding: 1<<41 - 1, LastCap: 40, Time: true,
		OpenMax: 1 << 20, Resource: true,
		Limit: func(int) unix.Rlimit { return unix.Rlimit{Cur: 1024, Max: 1 << 20} },
	}
}

func testEngine(t *testing.T) *Engine {
	t.Helper()
	cfg := DefaultConfig()
	dir := t.TempDir()
	cfg.Root, cfg.State = filepath.Join(dir, "root"), filepath.Join(dir, "state")
	e, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var testImage = &image.ContainerConfig{
	Entrypoint: []string{"/bin/echo", "E"}, Cmd: []string{"C"}, Env: []string{"PATH=/bin", "FOO=bar"},
	User: "1000", WorkingDir: "/w", StopSignal: "SIGUSR1", Labels: map[string]string{"a": "image", "b": "image"},
	Volumes: map[string]struct{}{"/vol": {}}, ExposedPorts: map[string]struct{}{"80/tcp": {}},
}

func ptr[T any](v T) *T { return &v }

// TestRefused: every case is refused before anything is made, with the sentinel and the telling word.
func TestRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	type R = CreateRequest
	bind := func(m MountRequest) R {
		m.Type = "bind"
		return R{Mounts: []MountRequest{m}}
	}
	for name, c := range map[string]struct {
		r    R
		says string
	}{
		"name":                    {R{Name: "-x"}, "begins with"},
		"memory":                  {R{Resources: Resources{Memory: 1 << 20}}, "6MB"},
		"swap without memory":     {R{Resources: Resources{MemorySwap: 1 << 26}}, "--memory"},
		"swap below memory":       {R{Resources: Resources{Memory: 1 << 26, MemorySwap: 1 << 25}}, "smaller"},
		"reservation above limit": {R{Resources: Resources{Memory: 1 << 26, MemoryReservation: 1 << 27}}, "larger"},
		"swappiness":              {R{Resources: Resources{MemorySwappiness: ptr(int64(101))}}, "100"},
		"cpus too few":            {R{Resources: Resources{CPUs: "0.001"}}, "at least 0.01"},
		"cpus too many":           {R{Resources: Resources{CPUs: "1000"}}, "2.00"},
		"cpus not a number":       {R{Resources: Resources{CPUs: "1e0"}}, "decimal"},
		"cpus negative":           {R{Resources: Resources{CPUs: "-1"}}, "decimal"},
		"cpus too precise":        {R{Resources: Resources{CPUs: "1.0000000001"}}, "nine"},
		"cpus and quota":          {R{Resources: Resources{CPUs: "1", CPUQuota: 50000}}, "combined"},
		"quota":                   {R{Resources: Resources{CPUQuota: 999}}, "1000"},
		"period":                  {R{Resources: Resources{CPUPeriod: 999}}, "1000"},
		"cpuset":                  {R{Resources: Resources{CpusetCPUs: "0,99"}}, "99 is not there"},
		"cpuset not a list":       {R{Resources: Resources{CpusetCPUs: "0-"}}, "range"},
		"cpuset huge":             {R{Resources: Resources{CpusetCPUs: "0-4000000000"}}, "range"},
		"mems":                    {R{Resources: Resources{CpusetMems: "1"}}, "1 is not there"},
		"blkio":                   {R{Resources: Resources{BlkioWeight: 9}}, "10 and 1000"},
		"oom score":               {R{Resources: Resources{OomScoreAdj: 1001}}, "1000"},
		"throttle of no device":   {R{Resources: Resources{DeviceReadBps: []Throttle{{"/dev/null", 1}}}}, "block device"},
		"ulimit name":             {R{Ulimits: []Ulimit{{"files", 1, 1}}}, "no such limit"},
		"ulimit soft above hard":  {R{Ulimits: []Ulimit{{"nofile", 20, 10}}}, "above"},
		"ulimit open files":       {R{Ulimits: []Ulimit{{"nofile", 10, 1 << 21}}}, "nr_open"},
		"sysctl of the host":      {R{Sysctls: map[string]string{"kernel.panic": "1"}}, "not a container's own"},
		"sysctl net host":         {R{Sysctls: map[string]string{"net.ipv4.ip_forward": "0"}, Network: NetworkRequest{Mode: "host"}}, "--network host"},
		"sysctl ipc host":         {R{Sysctls: map[string]string{"kernel.msgmax": "1"}, IPCMode: "host"}, "--ipc host"},
		"sysctl path":             {R{Sysctls: map[string]string{"net/../kernel/core_pattern": "|x"}}, "form"},
		"sysctl injected":         {R{Sysctls: map[string]string{"kernel.shm_rmid_forced": "1\nkernel.core_pattern=|x"}}, "form"},
		"sysctl plus":             {R{Sysctls: map[string]string{"kernel.shm_rmid_forced=1+kernel.core_pattern": "|x"}}, "form"},
		"hostname long":           {R{Hostname: strings.Repeat("h", 65)}, "64"},
		"hostname label":          {R{Hostname: strings.Repeat("h", 64)}, "63"},
		"hostname space":          {R{Hostname: "a b"}, "letters"},
		"hostname uts host":       {R{Hostname: "h", UTSMode: "host"}, "--uts=host"},
		"rm and restart":          {R{AutoRemove: true, Restart: container.Restart{Name: "always"}}, "--rm"},
		"restart":                 {R{Restart: container.Restart{Name: "bogus"}}, "no such policy"},
		"restart always:3":        {R{Restart: container.Restart{Name: "always", MaxRetries: 3}}, "on-failure"},
		"restart on-failure:-1":   {R{Restart: container.Restart{Name: "on-failure", MaxRetries: -1}}, "negative"},
		"device":                  {R{Devices: []container.Device{{Host: "/dev/nosuch"}}}, "/dev/nosuch"},
		"device is a file":        {R{Devices: []container.Device{{Host: file}}}, "not a device"},
		"device permissions":      {R{Devices: []container.Device{{Host: "/dev/null", Permissions: "x"}}}, "permissions"},
		"capability":              {R{CapAdd: []string{"NOSUCH"}}, "no such capability"},
		"pid of no container":     {R{PidMode: "container:nosuch"}, "nosuch"},
		"pid mode":                {R{PidMode: "bogus"}, "no such mode"},
		"userns and privileged":   {R{Privileged: true, UserMode: "auto"}, "--privileged"},
		"userns and capability":   {R{CapAdd: []string{"SYS_TIME"}, UserMode: "auto"}, "SYS_TIME"},
		"keep-id of root":         {R{UserMode: "keep-id"}, "root"},
		"network of one's own":    {R{Network: NetworkRequest{Mode: "mine"}}, "not supported yet"},
		"mac without interface":   {R{Network: NetworkRequest{Mode: "none", MAC: "02:00:00:00:00:01"}}, "no interface"},
		"expose":                  {R{Network: NetworkRequest{Expose: []string{"70000"}}}, "port"},
		"bind source missing":     {bind(MountRequest{Source: "/nosuch/dir", Destination: "/x"}), "/nosuch/dir"},
		"bind source relative":    {bind(MountRequest{Source: "x", Destination: "/x"}), "absolute"},
		"bind destination":        {bind(MountRequest{Source: "/tmp", Destination: "x"}), "absolute"},
		"bind destination root":   {bind(MountRequest{Source: "/tmp", Destination: "/x/.."}), "'/'"},
		"bind propagation":        {bind(MountRequest{Source: "/tmp", Destination: "/x", Propagation: "bogus"}), "propagation"},
		"bind twice":              {R{Mounts: []MountRequest{{Type: "bind", Source: "/tmp", Destination: "/x"}, {Type: "tmpfs", Destination: "/x/"}}}, "already"},
		"volume":                  {R{Mounts: []MountRequest{{Type: "volume", Source: "data", Destination: "/x"}}}, "not supported yet"},
		"tmpfs option":            {R{Tmpfs: map[string]string{"/x": "bogus"}}, "no such tmpfs option"},
		"tmpfs size":              {R{Tmpfs: map[string]string{"/x": "size=huge"}}, "size=huge"},
		"tmpfs mode":              {R{Tmpfs: map[string]string{"/x": "mode=9"}}, "mode=9"},
		"env without name":        {R{Env: []string{"=x"}}, "no name"},
		"user too large":          {R{User: "2147483648:2147483648"}, "2147483647"},
		"user negative":           {R{User: "-1"}, "2147483647"},
		"group add":               {R{GroupAdd: []string{"99999999999"}}, "2147483647"},
		"workdir":                 {R{Workdir: "x"}, "absolute"},
		"stop signal":             {R{StopSignal: "NOSUCH"}, "no such signal"},
		"stop timeout":            {R{StopTimeout: ptr(-2)}, "seconds"},
		"shm size":                {R{ShmSize: -1}, "negative"},
		"no command":              {R{EntrypointSet: true, Entrypoint: []string{""}}, "no command specified"},
		"security option":         {R{SecurityOpt: []string{"bogus"}}, "no such option"},
		"seccomp":                 {R{SecurityOpt: []string{"seccomp=/no/text"}}, "profile"},
		"apparmor":                {R{SecurityOpt: []string{"apparmor=p"}}, "AppArmor"},
		"label":                   {R{SecurityOpt: []string{"label=type:x_t"}}, "SELinux"},
		"runtime":                 {R{Runtime: "nosuch"}, "no such runtime"},
		"runtime path":            {R{Runtime: "/nosuch/runc"}, "/nosuch/runc"},
		"cgroup parent":           {R{CgroupParent: "../x"}, "cgroup"},
		"log driver":              {R{Log: container.Log{Driver: "splunk"}}, "not supported yet"},
		"log option":              {R{Log: container.Log{Opts: map[string]string{"max-size": "x"}}}, "max-size=x"},
		"label without name":      {R{Labels: map[string]string{"": "x"}}, "no name"},
	} {
		t.Run(name, func(t *testing.T) {
			e := testEngine(t)
			_, err := e.check(&c.r, testImage, plainMachine())
			if err == nil {
				t.Fatal("accepted")
			}
			var typed *container.Error
			if !errors.As(err, &typed) || container.KindName(err) == "" {
				t.Errorf("no kind: %v", err)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not say %q", err, c.says)
			}
		})
	}
}

func TestCPUsExact(t *testing.T) {
	for cpus, want := range map[string]int64{"1.1": 110000, "0.29": 29000, "0.07": 7000, "1.123456789": 112345, "2": 200000, ".5": 50000, "0.01": 1000} {
		r := Resources{CPUs: cpus}
		if err := r.check(plainMachine()); err != nil {
			t.Errorf("%s: %v", cpus, err)
			continue
		}
		cpu := r.spec().CPU
		if *cpu.Quota != want || *cpu.Period != 100000 {
			t.Errorf("%s: quota %d of %d, want %d", cpus, *cpu.Quota, *cpu.Period, want)
		}
	}
}

func TestMemoryDefaultsToDoubleSwap(t *testing.T) {
	r := Resources{Memory: 64 << 20}
	if m := r.spec().Memory; *m.Limit != 64<<20 || *m.Swap != 128<<20 {
		t.Errorf("limit %d, swap %d", *m.Limit, *m.Swap)
	}
}

func TestCapabilities(t *testing.T) {
	all := plainMachine().availableCaps(true)
	for name, c := range map[string]struct {
		add, drop []string
		has, not  string
		count     int
	}{
		"default":      {nil, nil, "CAP_CHOWN", "CAP_SYS_ADMIN", 14},
		"add":          {[]string{"net_admin"}, nil, "CAP_NET_ADMIN", "", 15},
		"drop":         {nil, []string{"cap_chown"}, "CAP_KILL", "CAP_CHOWN", 13},
		"all":          {[]string{"all"}, nil, "CAP_BPF", "", 41},
		"all but":      {[]string{"ALL"}, []string{"SYS_ADMIN"}, "CAP_BPF", "CAP_SYS_ADMIN", 40},
		"only":         {[]string{"CHOWN"}, []string{"ALL"}, "CAP_CHOWN", "CAP_KILL", 1},
		"drop and add": {[]string{"CHOWN"}, []string{"CHOWN"}, "CAP_CHOWN", "", 14},
	} {
		add, err := normalizeCaps(c.add)
		if err != nil {
			t.Fatal(err)
		}
		drop, err := normalizeCaps(c.drop)
		if err != nil {
			t.Fatal(err)
		}
		set := strings.Join(capabilities(add, drop, false, all), " ") + " "
		if !strings.Contains(set, c.has+" ") || c.not != "" && strings.Contains(set, c.not+" ") || strings.Count(set, " ") != c.count {
			t.Errorf("%s: %s", name, set)
		}
	}
}

func TestSignals(t *testing.T) {
	for given, want := range map[string]string{
		"TERM": "SIGTERM", "sigusr1": "SIGUSR1", "10": "SIGUSR1", "9": "SIGKILL", "RTMIN": "SIGRTMIN+0", "SIGRTMIN+3": "SIGRTMIN+3",
		"RTMAX-1": "SIGRTMIN+29", "37": "SIGRTMIN+3", "NOSUCH": "", "0": "", "65": "", "32": "", "": "", "RTMIN+99": "", "-9": "",
	} {
		got, err := signalName(given)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
}

func TestEntryPointAndEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		r    CreateRequest
		args string
	}{
		"image's":         {CreateRequest{}, "/bin/echo E C"},
		"argument":        {CreateRequest{Cmd: []string{"arg"}}, "/bin/echo E arg"},
		"emptied":         {CreateRequest{EntrypointSet: true, Entrypoint: []string{""}, Cmd: []string{"echo", "foo"}}, "echo foo"},
		"new drops CMD":   {CreateRequest{EntrypointSet: true, Entrypoint: []string{"/bin/echo"}}, "/bin/echo"},
		"new and command": {CreateRequest{EntrypointSet: true, Entrypoint: []string{"sh"}, Cmd: []string{"-c", "x"}}, "sh -c x"},
	} {
		p, err := merge(&c.r, testImage)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := strings.Join(p.Args(), " "); got != c.args {
			t.Errorf("%s: %q", name, got)
		}
	}
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"none":         {nil, "HOSTNAME=h PATH=/bin FOO=bar"},
		"last wins":    {[]string{"A=1", "A=2"}, "HOSTNAME=h PATH=/bin FOO=bar A=2"},
		"removed":      {[]string{"FOO"}, "HOSTNAME=h PATH=/bin"},
		"emptied":      {[]string{"FOO="}, "HOSTNAME=h PATH=/bin FOO="},
		"own path":     {[]string{"PATH"}, defaultPath + " HOSTNAME=h FOO=bar"},
		"own hostname": {[]string{"HOSTNAME=x"}, "PATH=/bin FOO=bar HOSTNAME=x"},
	} {
		p, err := merge(&CreateRequest{Env: c.env}, testImage)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := strings.Join(p.processEnv("h", false), " "); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"512": 512, "64k": 65536, "10M": 10 << 20, "1.5g": 3 << 29, "2GiB": 2 << 30, "1kb": 1024, "0": 0} {
		if n, err := ParseSize(s); n != want || err != nil {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "k", "-1", "1x", "1e3", "0x10", "inf", "nan", "9999999999g", "1_0"} {
		if n, err := ParseSize(s); err == nil {
			t.Errorf("%q: %d", s, n)
		}
	}
}

func TestImpliedHostNamespaceIsSaidOnce(t *testing.T) {
	e := testEngine(t)
	d, err := e.check(&CreateRequest{Privileged: true, PidMode: "host", CapAdd: []string{"ALL"}}, testImage, plainMachine())
	if err != nil {
		t.Fatal(err)
	}
	if d.modes.User != "host" || len(d.notices) != 1 || !strings.Contains(d.notices[0], "--userns=host") {
		t.Errorf("mode %q, notices %q", d.modes.User, d.notices)
	}
	d, err = e.check(&CreateRequest{Privileged: true, UserMode: "host"}, testImage, plainMachine())
	if err != nil || len(d.notices) != 0 {
		t.Errorf("asked for: %v, notices %q", err, d.notices)
	}
}

func TestDurationIsAnOffsetOfBothClocks(t *testing.T) {
	e := testEngine(t)
	for offset, want := range map[time.Duration][2]int64{
		90 * time.Minute: {5400, 0}, -1500 * time.Millisecond: {-2, 500000000}, -2 * time.Second: {-2, 0},
	} {
		d, err := e.check(&CreateRequest{TimeOffset: offset}, testImage, plainMachine())
		if err != nil {
			t.Fatal(err)
		}
		got := d.linuxSpec().TimeOffsets
		for _, clock := range []string{"monotonic", "boottime"} {
			if o := got[clock]; o.Secs != want[0] || int64(o.Nanosecs) != want[1] {
				t.Errorf("%v %s: %+v", offset, clock, o)
			}
		}
	}
}
