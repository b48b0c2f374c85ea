// Package primer walks the container primer claim by claim, each on a real container. docs/how-it-works.md
// tells the same in prose.
package primer

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gourd/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// running starts a container that sleeps.
func running(g *harness.Gourd, flags ...string) (name, pid string) {
	g.T.Helper()
	args := append([]string{"run", "-d", "--name", "box"}, flags...)
	g.Must(append(args, g.Busybox(), "sleep", "1000")...)
	return "box", g.Pid("box")
}

// Chapter 1: "on the host the process is PID 1322, in the container it is PID 1".
func TestSameProcessTwoNumbers(t *testing.T) {
	g := harness.New(t)
	name, pid := running(g)
	if pid == "1" {
		t.Fatal("the container's process has pid 1 on the host")
	}
	inside := g.Must("exec", name, "ps", "-o", "pid,args")
	if !regexp.MustCompile(`(?m)^ *1 sleep 1000$`).MatchString(inside) {
		t.Errorf("inside, pid 1 is not the command:\n%s", inside)
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^NSpid:\t` + pid + `\t1$`).Match(status) {
		t.Errorf("the kernel does not give host pid %s the inner pid 1:\n%s", pid, status)
	}
	// It sees itself and what exec started, none of the host's processes.
	if n := len(strings.Split(inside, "\n")); n > 4 {
		t.Errorf("%d processes are seen inside:\n%s", n, inside)
	}
}

// Chapter 1: mount, UTS, IPC, network and user namespaces, and the three that came later.
func TestEveryNamespaceIsItsOwn(t *testing.T) {
	g := harness.New(t)
	_, pid := running(g)
	for _, ns := range []string{"mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"} {
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		inner, err := os.Readlink("/proc/" + pid + "/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if host == inner {
			t.Errorf("the %s namespace is the host's: %s", ns, host)
		}
	}
}

// What changes inside is unchanged outside, namespace by namespace.
func TestInsideChangesOutsideStays(t *testing.T) {
	g := harness.New(t)
	name, pid := running(g, "--hostname", "inner", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN")
	hostname, _ := os.Hostname()
	for _, c := range []struct{ what, change, show, want string }{
		{"uts", "hostname changed", "hostname", "changed"},
		{"mount", "mount -t tmpfs none /tmp && touch /tmp/mark", "ls /tmp", "mark"},
		{"net", "ip addr add 203.0.113.7/32 dev lo", "ip addr show lo | grep -c 203.0.113.7", "1"},
		{"user", "true", "id -u", "0"},
	} {
		g.Must("exec", name, "sh", "-c", c.change)
		if got := g.Must("exec", name, "sh", "-c", c.show); strings.TrimSpace(got) != c.want {
			t.Errorf("%s: inside it shows %q; want %q", c.what, got, c.want)
		}
	}
	if now, _ := os.Hostname(); now != hostname {
		t.Errorf("the host's name became %q", now)
	}
	if b, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(b), g.Root+"/") {
		t.Errorf("a mount of the container is seen on the host:\n%s", b)
	}
	if b, _ := os.ReadFile("/proc/net/fib_trie"); strings.Contains(string(b), "203.0.113.7") {
		t.Error("the container's address is on the host")
	}
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	uid := regexp.MustCompile(`(?m)^Uid:\t(\d+)`).FindSubmatch(status)
	if uid == nil || string(uid[1]) == "0" {
		t.Errorf("root inside is uid %s on the host", uid[1])
	}
}

// IPC: a message queue made inside is not seen outside.
func TestMessageQueuesAreApart(t *testing.T) {
	g := harness.New(t)
	name, pid := running(g)
	before, _ := os.ReadFile("/proc/sysvipc/shm")
	inside, err := os.ReadFile("/proc/" + pid + "/root/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(inside), "\n") != 1 {
		t.Errorf("shared memory segments are seen in a new IPC namespace:\n%s", inside)
	}
	g.Must("exec", name, "sh", "-c", "test -d /dev/mqueue && touch /dev/mqueue/inner")
	if _, err := os.Stat("/dev/mqueue/inner"); err == nil {
		t.Error("the container's message queue is on the host")
	}
	if after, _ := os.ReadFile("/proc/sysvipc/shm"); string(after) != string(before) {
		t.Error("the host's shared memory segments changed")
	}
}

// Time: the container's boot clock may be shifted, the host's stays.
func TestTimeNamespaceShiftsTheBootClock(t *testing.T) {
	g := harness.New(t)
	uptime := func(text string) float64 {
		f, err := strconv.ParseFloat(strings.Fields(text)[0], 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	inside := uptime(g.Must("run", "--rm", "--time-offset", "24h", g.Busybox(), "cat", "/proc/uptime"))
	host, _ := os.ReadFile("/proc/uptime")
	if shift := inside - uptime(string(host)); shift < 86000 || shift > 86500 {
		t.Errorf("inside it is %.0f s later; want a day", shift)
	}
}

// Chapter 2.1: one kernel, and one wall clock: it can't be set from inside, and the host's does not move.
func TestOneKernelOneWallClock(t *testing.T) {
	g := harness.New(t)
	name, _ := running(g)
	host, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	if inner := g.Must("exec", name, "uname", "-r"); inner != strings.TrimSpace(string(host)) {
		t.Errorf("inside the kernel is %s, on the host %s", inner, host)
	}
	// Trying to set it belongs in the virtual machine (test/vm). Here it is enough that the right is missing
	// in every set: settimeofday(2) needs CAP_SYS_TIME in the first user namespace.
	const sysTime = 25
	for _, set := range []string{"CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"} {
		hex := g.Must("exec", name, "awk", "/^"+set+":/ { print $2 }", "/proc/self/status")
		mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if mask>>sysTime&1 != 0 {
			t.Errorf("%s has CAP_SYS_TIME: %s", set, hex)
		}
	}
	if os.Getenv("GOURD_TEST_VM") != "" {
		if r := g.Run("exec", name, "date", "-s", "2030-01-01 00:00:00"); !strings.Contains(r.Stderr, "not permitted") {
			t.Errorf("date -s inside: exit code %d, %s", r.Code, r.Stderr)
		}
		if time.Now().Year() >= 2030 {
			t.Error("the container moved the machine's clock")
		}
	}
}

// Chapter 2.2: the two files of the CPU controller.
func TestQuotaStandsInTheCgroupFiles(t *testing.T) {
	g := harness.New(t)
	_, pid := running(g, "--cpu-period=100000", "--cpu-quota=20000")
	if v2(t) {
		want(t, cgroupFile(t, pid, "", "cpu.max"), "20000 100000")
		return
	}
	want(t, cgroupFile(t, pid, "cpu", "cpu.cfs_period_us"), "100000")
	want(t, cgroupFile(t, pid, "cpu", "cpu.cfs_quota_us"), "20000")
	id := g.Must("inspect", "-f", "{{.Id}}", "box")
	if _, err := os.Stat("/sys/fs/cgroup/cpu/gourd/" + id + "/cpu.cfs_quota_us"); err != nil {
		t.Errorf("not where the primer looks: %v", err)
	}
}

// A busy loop under a fifth of a CPU uses a fifth of a CPU, within 10 %.
func TestQuotaBites(t *testing.T) {
	g := harness.New(t)
	g.Must("run", "-d", "--name", "box", "--cpu-period=100000", "--cpu-quota=20000", g.Busybox(), "sh", "-c", "while :; do :; done")
	pid := g.Pid("box")
	usage := func() float64 {
		if v2(t) {
			m := regexp.MustCompile(`usage_usec (\d+)`).FindStringSubmatch(cgroupFile(t, pid, "", "cpu.stat"))
			n, _ := strconv.ParseFloat(m[1], 64)
			return n / 1e6
		}
		n, _ := strconv.ParseFloat(strings.TrimSpace(cgroupFile(t, pid, "cpuacct", "cpuacct.usage")), 64)
		return n / 1e9
	}
	// A machine under load may give less, never more: the best of a few rounds is what the quota allows.
	best := 0.0
	for range 3 {
		u, at := usage(), time.Now()
		time.Sleep(2 * time.Second)
		best = max(best, (usage()-u)/time.Since(at).Seconds())
		if best > 0.18 && best < 0.22 {
			break
		}
	}
	if best < 0.18 || best > 0.22 {
		t.Errorf("a busy loop used %.3f of a CPU; want 0.2 within 10 %%", best)
	}
}

// A memory hog is killed at its limit, and inspect says why.
func TestMemoryLimitKills(t *testing.T) {
	g := harness.New(t)
	r := g.Run("run", "--name", "hog", "-m", "32m", "--memory-swap", "32m", g.Busybox(), "sh", "-c",
		"dd if=/dev/zero of=/dev/shm/fill bs=1M count=64; tail /dev/zero")
	if r.Code != 137 {
		t.Errorf("exit code %d; want 137: %s", r.Code, r.Stderr)
	}
	want(t, g.Must("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "hog"), "true 137")
	g.Must("run", "--name", "modest", "-m", "32m", g.Busybox(), "true")
	want(t, g.Must("inspect", "-f", "{{.State.OOMKilled}}", "modest"), "false")
}

// A fork bomb stops at the limit of processes; the container can be removed.
func TestPidsLimitStopsAForkBomb(t *testing.T) {
	g := harness.New(t)
	// Its first process forks no more after the first time: a shell that can't fork ends.
	g.Must("run", "-d", "--name", "bomb", "--pids-limit", "30", g.Busybox(), "sh", "-c", "f() { f | f & }; f; exec sleep 1000")
	pid := g.Pid("bomb")
	most, refused := 0, 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && refused == 0; time.Sleep(5 * time.Millisecond) {
		n, _ := strconv.Atoi(strings.TrimSpace(cgroupFile(t, pid, "pids", "pids.current")))
		most = max(most, n)
		refused, _ = strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(cgroupFile(t, pid, "pids", "pids.events")), "max "))
	}
	if most > 30 {
		t.Errorf("%d processes under a limit of 30", most)
	}
	if refused == 0 {
		t.Error("no fork was refused")
	}
	g.Must("rm", "-f", "bomb")
}

// Block I/O is throttled for direct I/O.
func TestBlkioThrottleBites(t *testing.T) {
	g := harness.New(t)
	device := diskOf(t, "/var/tmp")
	dir := t.TempDir()
	write := func(flags ...string) time.Duration {
		args := append([]string{"run", "--rm", "-v", dir + ":/out"}, flags...)
		r := g.Run(append(args, g.Busybox(), "dd", "if=/dev/zero", "of=/out/file", "bs=1M", "count=4", "oflag=direct")...)
		if r.Code != 0 {
			t.Fatalf("dd: %s", r.Stderr)
		}
		return r.Took
	}
	write() // imports the image
	if took := write("--device-write-bps", device+":2mb"); took < 1500*time.Millisecond {
		t.Errorf("4 MiB at 2 MiB/s took %v", took)
	}
}

// Chapter 3: the container's root is another tree, a whole system without a kernel.
func TestRootIsTheImage(t *testing.T) {
	g := harness.New(t)
	name, pid := running(g)
	if ls := g.Must("exec", name, "ls", "/"); strings.Contains(ls, "boot") || !strings.Contains(ls, "bin") {
		t.Errorf("ls /: %s", ls)
	}
	g.Must("exec", name, "sh", "-c", "echo inside > /mark && rm /etc/group")
	if _, err := os.Stat("/mark"); err == nil {
		t.Error("the file is on the host")
	}
	// Copy-on-write: a second container of the image does not see the first one's changes.
	want(t, g.Must("run", "--rm", "busybox", "sh", "-c", "ls /mark 2>/dev/null; head -n 1 /etc/group"), "root:x:0:")
	root, err := os.Readlink("/proc/" + pid + "/root")
	if err != nil || root != "/" {
		t.Errorf("its root is %q, %v: chrooted instead of pivoted?", root, err)
	}
	// The old root is gone, not hidden: no mount of the host is left in its table.
	mounts, _ := os.ReadFile("/proc/" + pid + "/mountinfo")
	if strings.Contains(string(mounts), " /var/tmp ") || !strings.Contains(string(mounts), " / / ") {
		t.Errorf("mounts inside:\n%s", mounts)
	}
}

// Chapter 1: one process; with a supervisor as the common parent, several.
func TestSupervisorRunsTwoServices(t *testing.T) {
	g := harness.New(t)
	conf := filepath.Join(t.TempDir(), "supervisord.conf")
	os.WriteFile(conf, []byte(`[supervisord]
nodaemon=true
user=root
logfile=/dev/null
logfile_maxbytes=0
pidfile=/tmp/supervisord.pid
[program:one]
command=/bin/sleep 1001
[program:two]
command=/bin/sleep 1002
`), 0o644)
	g.Must("run", "-d", "--name", "many", "-v", conf+":/tmp/supervisord.conf:ro", "--rootfs", "/:O", "/usr/bin/supervisord", "-c", "/tmp/supervisord.conf")
	harness.Eventually(t, "supervisord runs both services", func() bool {
		top := g.Run("top", "many", "-o", "pid,ppid,args").Stdout
		return strings.Contains(top, "sleep 1001") && strings.Contains(top, "sleep 1002")
	})
	pid := g.Pid("many")
	top := g.Must("top", "many", "-o", "pid,ppid,args")
	if n := strings.Count(top, " "+pid+" "); n < 2 {
		t.Errorf("the services' parent is not the container's first process %s:\n%s", pid, top)
	}
}

// An orphan that ends is reaped by --init.
func TestInitReapsZombies(t *testing.T) {
	g := harness.New(t)
	g.Must("run", "-d", "--name", "box", "--init", g.Busybox(), "sleep", "1000")
	g.Must("exec", "box", "sh", "-c", "(sleep 0.2 &) ; true")
	time.Sleep(time.Second)
	if ps := g.Must("exec", "box", "ps", "-o", "pid,stat,args"); strings.Contains(ps, "Z") || strings.Contains(ps, "sleep 0.2") {
		t.Errorf("a zombie stays:\n%s", ps)
	}
	if ps := g.Must("exec", "box", "ps", "-o", "pid,args"); !regexp.MustCompile(`(?m)^ *1 .*init`).MatchString(ps) {
		t.Errorf("pid 1 is not the init:\n%s", ps)
	}
	start := time.Now()
	g.Must("stop", "box")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("stop took %v: the init did not forward the signal", took)
	}
	want(t, g.Must("inspect", "-f", "{{.State.ExitCode}}", "box"), "143")
}

func want(t *testing.T, got, wanted string) {
	t.Helper()
	if strings.TrimSpace(got) != wanted {
		t.Errorf("got %q; want %q", strings.TrimSpace(got), wanted)
	}
}

func v2(t *testing.T) bool {
	t.Helper()
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// cgroupFile reads a file of the cgroup that a process is in. On v2 the controller does not matter.
func cgroupFile(t *testing.T, pid, controller, file string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) < 3 {
			continue
		}
		dir := ""
		switch {
		case v2(t) && f[0] == "0":
			dir = "/sys/fs/cgroup" + f[2]
		case !v2(t) && contains(strings.Split(f[1], ","), controller):
			dir = fmt.Sprintf("/sys/fs/cgroup/%s%s", controller, f[2])
		default:
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	t.Fatalf("process %s is in no cgroup of %s:\n%s", pid, controller, b)
	return ""
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// diskOf gives the device that a directory's file system is on.
func diskOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	best, device := "", ""
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		i := strings.Index(line, " - ")
		if len(f) < 5 || i < 0 {
			continue
		}
		source := strings.Fields(line[i+3:])[1]
		if strings.HasPrefix(source, "/dev/") && strings.HasPrefix(dir+"/", strings.TrimSuffix(f[4], "/")+"/") && len(f[4]) > len(best) {
			best, device = f[4], source
		}
	}
	if device == "" {
		t.Skip("needs a block device below " + dir)
	}
	return device
}
