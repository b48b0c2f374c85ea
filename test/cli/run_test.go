// Package cli drives the built gourd as a user does: every verb, with its output and exit code, and the
// public bug reports of other engines as cases with the right result. A case names its report.
package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gourd/test/harness"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) { harness.Main(m) }

// want compares a command's standard output and exit code.
func want(t *testing.T, r harness.Result, code int, stdout string) {
	t.Helper()
	if diff := cmp.Diff(stdout, r.Stdout); diff != "" || r.Code != code {
		t.Errorf("exit code %d, want %d; standard error: %s%s", r.Code, code, r.Stderr, diff)
	}
}

// none fails the test if a container exists.
func none(t *testing.T, g *harness.Gourd) {
	t.Helper()
	if ids := g.Must("ps", "-aq"); ids != "" {
		t.Errorf("containers were made: %s", ids)
	}
}

func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHello(t *testing.T) {
	g := harness.New(t)
	r := g.Run("run", "--rm", "gourd/hello")
	if r.Code != 0 || !strings.Contains(r.Stdout, "pid") {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	none(t, g)
}

// RUN-01: containers/podman#367, vmware/vic#5658.
func TestExitCodesOfStarting(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for command, code := range map[string]int{"/etc": 126, "/etc/passwd": 126, "/nosuch": 127, "nosuch": 127, "true": 0, "false": 1} {
		if r := g.Run("run", "--rm", "busybox", command); r.Code != code {
			t.Errorf("run %s: exit code %d, want %d: %s", command, r.Code, code, r.Stderr)
		}
	}
	none(t, g)
	g.Fails(127, []string{"/nosuch"}, "run", "-d", "--name", "c", "busybox", "/nosuch")
	if got := g.Must("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c"); got != "created 127" {
		t.Errorf("state %q", got)
	}
	if got := g.Must("inspect", "-f", "{{.State.Error}}", "c"); !strings.Contains(got, "/nosuch") {
		t.Errorf("error %q does not name the program", got)
	}
	want(t, g.Run("run", "--rm", "busybox", "sh", "-c", "exit 42"), 42, "")
	want(t, g.Run("run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"), 137, "")
}

// RUN-02: moby#29420, opencontainers/runc#1773.
func TestScriptsWithoutInterpreter(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	dir := t.TempDir()
	for _, tt := range []struct {
		text  string
		code  int
		words []string
	}{
		{"#!/bin/nonexistent\n", 127, []string{"/f", "/bin/nonexistent"}},
		{"#!/bin/sh\r\necho hi\r\n", 127, []string{"/f", "Windows line end"}},
		{"echo hi\n", 126, []string{"/f", "exec format error"}},
		{"#!/bin/sh\necho hi\n", 0, nil},
	} {
		path := write(t, dir, "f", tt.text, 0o755)
		g.Fails(tt.code, tt.words, "run", "--rm", "-v", path+":/f", "busybox", "/f")
	}
}

// RUN-03: moby#45689, moby#49655.
func TestOutputIsCompleteThoughTheReaderIsSlow(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for range 5 {
		cmd := g.Command("run", "--rm", "busybox", "sh", "-c", "dd if=/dev/zero bs=8192 count=1024 2>/dev/null")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		n, buf := 0, make([]byte, 4096)
		for {
			m, err := out.Read(buf)
			if n += m; err != nil {
				break
			}
		}
		if err := cmd.Wait(); err != nil || n != 8388608 {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	want(t, g.Run("run", "--rm", "busybox", "sh", "-c", "head -c 50000000 /dev/zero | wc -c; head -c 50000000 /dev/zero | tr '\\0' a | wc -c"), 0, "50000000\n50000000\n")
	if r := g.Run("run", "--rm", "busybox", "sh", "-c", "head -c 50000000 /dev/zero"); len(r.Stdout) != 50000000 {
		t.Errorf("%d bytes of one line without an end", len(r.Stdout))
	}
}

// RUN-04: docker/cli#3464.
func TestWorkingDirectoryBelongsToTheUser(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	want(t, g.Run("run", "--rm", "-u", "1000:1000", "-w", "/tmp/foo", "busybox", "stat", "-c", "%u:%g", "/tmp/foo"), 0, "1000:1000\n")
	want(t, g.Run("run", "--rm", "-u", "1000:1000", "-w", "/etc", "busybox", "stat", "-c", "%u:%g", "/etc"), 0, "0:0\n")
}

// RUN-05: moby#23498, docker/docs#6142, docker/compose#8751.
func TestEntrypoint(t *testing.T) {
	g := harness.New(t)
	g.Import("e", harness.BusyboxTar(t), `ENTRYPOINT ["/bin/echo","E"]`, `CMD ["C"]`)
	for _, tt := range []struct {
		args   []string
		stdout string
	}{
		{[]string{"e"}, "E C\n"}, {[]string{"e", "arg"}, "E arg\n"}, {[]string{"--entrypoint", "", "e", "echo", "foo"}, "foo\n"}, {[]string{"--entrypoint", "/bin/echo", "e"}, "\n"},
	} {
		want(t, g.Run(append([]string{"run", "--rm"}, tt.args...)...), 0, tt.stdout)
	}
	g.Fails(125, []string{"no command"}, "run", "--rm", "--entrypoint", "", "e")
	none(t, g)
}

// RUN-06: docker/docker-py#2655.
func TestWaitForAContainerThatRemovesItself(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for range 3 {
		g.Must("run", "-d", "--rm", "--name", "c", "busybox", "sh", "-c", "sleep 0.5; exit 6")
		want(t, g.Run("wait", "c"), 0, "6\n")
	}
	none(t, g)
}

// RUN-07.
func TestCidfile(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	file := filepath.Join(t.TempDir(), "F")
	g.Fails(127, nil, "run", "--rm", "--cidfile", file, "busybox", "nosuch")
	if _, err := os.Lstat(file); err == nil {
		t.Error("the file of a container that never was is still there")
	}
	g.Must("run", "--name", "c", "--cidfile", file, "busybox", "true")
	id, _ := os.ReadFile(file)
	if got := g.Must("inspect", "-f", "{{.Id}}", "c"); got != string(id) {
		t.Errorf("file has %q, the id is %q", id, got)
	}
	g.Must("rm", "c")
	g.Fails(125, []string{file, "exists"}, "run", "--cidfile", file, "busybox", "true")
	g.Fails(125, []string{file}, "create", "--cidfile", file, "busybox", "true")
	none(t, g)
	os.Remove(file)
	g.Fails(125, nil, "run", "--cidfile", file, "nosuchimage", "true")
	if _, err := os.Lstat(file); err == nil {
		t.Error("the file stays though no container was made")
	}
}

func TestStandardStreams(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	r := g.Run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
	if r.Stdout != "out\n" || r.Stderr != "err\n" {
		t.Errorf("out %q, err %q", r.Stdout, r.Stderr)
	}
	want(t, g.RunInput("one\ntwo\n", "run", "--rm", "-i", "busybox", "cat"), 0, "one\ntwo\n")
	want(t, g.RunInput("not for it\n", "run", "--rm", "busybox", "cat"), 0, "")
	want(t, g.RunInput(strings.Repeat("0123456789abcdef", 1<<18), "run", "--rm", "-i", "busybox", "wc", "-c"), 0, "4194304\n")
	r = g.Run("run", "--rm", "-a", "stderr", "busybox", "sh", "-c", "echo out; echo err >&2")
	if r.Stdout != "" || r.Stderr != "err\n" {
		t.Errorf("-a stderr: out %q, err %q", r.Stdout, r.Stderr)
	}
}

// ENV-01: docker/cli#5057, docker/cli#3328.
func TestEnvFileErrorsNameTheLine(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	dir := t.TempDir()
	file := write(t, dir, "env", "S=\"\n[a b]\nk=v\n\"\n", 0o600)
	g.Fails(125, []string{file, "line 2", "[a b]"}, "run", "--env-file", file, "busybox", "true")
	file = write(t, dir, "env2", "A B=1\n", 0o600)
	g.Fails(125, []string{file, "line 1", "A B=1"}, "create", "--env-file", file, "busybox", "true")
	none(t, g)
}

// ENV-02.
func TestWhichVariableWins(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Import("v", harness.BusyboxTar(t), "ENV FOO=bar")
	file := write(t, t.TempDir(), "env", "A=file\nB=file\n# note\n", 0o600)
	g.Env = []string{"HERE=caller"}
	show := func(args ...string) string {
		return g.Must(append(append([]string{"run", "--rm"}, args...), "sh", "-c", `echo "${A-unset} ${B-unset} ${FOO-unset} ${HERE-unset} ${GONE-unset}"`)...)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-e", "A=1", "-e", "A=2", "busybox"}, "2 unset unset unset unset"},
		{[]string{"--env-file", file, "-e", "A=flag", "busybox"}, "flag file unset unset unset"},
		{[]string{"-e", "A=flag", "--env-file", file, "busybox"}, "flag file unset unset unset"},
		{[]string{"-e", "HERE", "-e", "GONE", "busybox"}, "unset unset unset caller unset"},
		{[]string{"v"}, "unset unset bar unset unset"},
		{[]string{"-e", "FOO", "v"}, "unset unset unset unset unset"},
		{[]string{"-e", "FOO=", "v"}, "unset unset  unset unset"},
	} {
		if got := show(tt.args...); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.args, got, tt.want)
		}
	}
	g.Fails(125, []string{"=x"}, "run", "--rm", "-e", "=x", "busybox", "true")
}

func TestBadInputMakesNothing(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for _, tt := range []struct {
		args  []string
		words []string
	}{
		{[]string{"nosuchimage"}, []string{"nosuchimage"}},
		{[]string{"--name", "a/b", "busybox", "true"}, []string{"a/b"}},
		{[]string{"--name", "-x", "busybox", "true"}, []string{"-x"}},
		{[]string{"-m", "1k", "busybox", "true"}, []string{"6"}},
		{[]string{"-m", "1m", "busybox", "true"}, nil},
		{[]string{"--cpus", "1000", "busybox", "true"}, []string{"0.01"}},
		{[]string{"--cpus", "0.001", "busybox", "true"}, []string{"0.01"}},
		{[]string{"--cpus", "1", "--cpu-quota", "1000", "busybox", "true"}, nil},
		{[]string{"--memory-swap", "64m", "busybox", "true"}, nil},
		{[]string{"-m", "64m", "--memory-swap", "32m", "busybox", "true"}, nil},
		{[]string{"-m", "64m", "--memory-reservation", "128m", "busybox", "true"}, nil},
		{[]string{"--cpuset-cpus", "99", "busybox", "true"}, []string{"99"}},
		{[]string{"--ulimit", "nofile=20:10", "busybox", "true"}, []string{"nofile"}},
		{[]string{"--ulimit", "bogus=1", "busybox", "true"}, []string{"bogus"}},
		{[]string{"--sysctl", "kernel.panic=1", "busybox", "true"}, []string{"kernel.panic"}},
		{[]string{"--cap-add", "BOGUS", "busybox", "true"}, []string{"BOGUS"}},
		{[]string{"--network", "host", "--sysctl", "net.ipv4.ip_forward=0", "busybox", "true"}, []string{"net.ipv4.ip_forward"}},
		{[]string{"--device", "/dev/nosuch", "busybox", "true"}, []string{"/dev/nosuch"}},
		{[]string{"--cpu-quota", "100", "busybox", "true"}, nil},
		{[]string{"--cpu-period", "5", "busybox", "true"}, nil},
		{[]string{"--blkio-weight", "5", "busybox", "true"}, nil},
		{[]string{"--oom-score-adj", "2000", "busybox", "true"}, nil},
		{[]string{"--stop-signal", "NOSUCH", "busybox", "true"}, []string{"NOSUCH"}},
		{[]string{"--security-opt", "bogus=1", "busybox", "true"}, []string{"bogus"}},
		{[]string{"--log-driver", "bogus", "busybox", "true"}, []string{"bogus"}},
		{[]string{"--log-opt", "bogus=1", "busybox", "true"}, []string{"bogus"}},
		{[]string{"--runtime", "nosuch", "busybox", "true"}, []string{"nosuch"}},
		{[]string{"--network", "nosuch", "busybox", "true"}, []string{"nosuch"}},
		{[]string{"-h", strings.Repeat("h", 70), "busybox", "true"}, []string{"64"}},
		{[]string{"--platform", "linux/riscv64", "busybox", "true"}, []string{"riscv64"}},
		{[]string{"--pid", "container:nosuch", "busybox", "true"}, []string{"nosuch"}},
		{[]string{"--rootfs", "/nosuch", "true"}, []string{"/nosuch"}},
		{[]string{"--pull", "always", "busybox", "true"}, []string{"pull"}},
		{[]string{"-v", "/a:/b:bogus", "busybox", "true"}, []string{"bogus"}},
		{[]string{"-v", "/tmp:/", "busybox", "true"}, []string{"/"}},
		{[]string{"--mount", "type=bind,src=/nosuch,dst=/x", "busybox", "true"}, []string{"/nosuch"}},
		{[]string{"--memory-swappiness", "101", "-m", "64m", "busybox", "true"}, nil},
		{[]string{"--mac-address", "x", "busybox", "true"}, []string{"x"}},
	} {
		r := g.Fails(125, tt.words, append([]string{"run", "--rm"}, tt.args...)...)
		if n := strings.Count(strings.TrimSpace(r.Stderr), "\n"); n != 0 || !strings.HasPrefix(r.Stderr, "gourd: ") {
			t.Errorf("%v: not one line: %q", tt.args, r.Stderr)
		}
	}
	none(t, g)
}

func TestProcessFlags(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-h", "box", "busybox", "hostname"}, "box\n"},
		{[]string{"-w", "/tmp", "busybox", "pwd"}, "/tmp\n"},
		{[]string{"-u", "1000:33", "busybox", "sh", "-c", "id -u; id -g"}, "1000\n33\n"},
		{[]string{"-u", "nobody", "busybox", "id", "-un"}, "nobody\n"},
		{[]string{"--group-add", "777", "-u", "nobody", "busybox", "id", "-G"}, "65534 777\n"},
		{[]string{"--domainname", "example", "busybox", "cat", "/proc/sys/kernel/domainname"}, "example\n"},
		{[]string{"--read-only", "--tmpfs", "/run", "busybox", "sh", "-c", "touch /run/a && ! touch /a 2>/dev/null && echo ok"}, "ok\n"},
		{[]string{"--shm-size", "1m", "busybox", "sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'"}, "1024\n"},
		{[]string{"--ulimit", "nofile=512:1024", "busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn"}, "512\n1024\n"},
		{[]string{"--sysctl", "kernel.msgmax=4096", "busybox", "cat", "/proc/sys/kernel/msgmax"}, "4096\n"},
		{[]string{"--oom-score-adj", "300", "busybox", "cat", "/proc/self/oom_score_adj"}, "300\n"},
		{[]string{"--cap-drop", "ALL", "busybox", "grep", "CapEff", "/proc/self/status"}, "CapEff:\t0000000000000000\n"},
		{[]string{"--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"}, "NoNewPrivs:\t1\n"},
		{[]string{"--network", "none", "busybox", "ls", "/sys/class/net"}, "lo\n"},
		{[]string{"--init", "busybox", "cat", "/proc/1/comm"}, "gourd-init\n"},
	} {
		r := g.Run(append([]string{"run", "--rm"}, tt.args...)...)
		if r.Code != 0 || r.Stdout != tt.want {
			t.Errorf("%v: exit code %d, %q, want %q; %s", tt.args, r.Code, r.Stdout, tt.want, r.Stderr)
		}
	}
}

// RES-02: moby#28456.
func TestCPUsAreExact(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for cpus, nano := range map[string]string{"1.1": "1100000000", "0.29": "290000000", "0.07": "70000000", "1.123456789": "1123456789"} {
		name := "c" + strings.ReplaceAll(cpus, ".", "-")
		g.Must("create", "--name", name, "--cpus", cpus, "busybox", "true")
		if got := g.Must("inspect", "-f", "{{.HostConfig.NanoCpus}}", name); got != nano {
			t.Errorf("--cpus %s: %s", cpus, got)
		}
	}
	quota := func(cpus string) string {
		return g.Must("run", "--rm", "--cgroupns", "host", "--cpus", cpus, "-v", "/sys/fs/cgroup:/cg:ro", "busybox", "sh", "-c",
			"cat /cg/cpu$(sed -n 's/.*:cpu,cpuacct:\\|.*:cpu://p' /proc/self/cgroup)/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /cg$(cut -d: -f3 /proc/self/cgroup)/cpu.max")
	}
	for cpus, want := range map[string]string{"1.1": "110000", "0.29": "29000", "0.07": "7000", "1.123456789": "112345"} {
		if got := quota(cpus); got != want {
			t.Errorf("--cpus %s: quota %q, want %s", cpus, got, want)
		}
	}
}

// NET-05: containers/podman#1745, #8466, #2504.
func TestHostsFileAndJoinedNetwork(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	hosts := g.Must("run", "--rm", "--add-host", "a.b:1.2.3.4", "--add-host", "v6:::1", "--add-host", "h:host-gateway", "-h", "hh", "busybox", "cat", "/etc/hosts")
	for _, line := range []string{"127.0.0.1\tlocalhost", "::1\t", "1.2.3.4\ta.b", "::1\tv6", "\th\n", "\thh"} {
		if !strings.Contains(hosts+"\n", line) {
			t.Errorf("no %q in\n%s", line, hosts)
		}
	}
	g.Must("run", "-d", "--name", "x", "-h", "xhost", "busybox", "sleep", "100")
	if a, b := g.Must("exec", "x", "cat", "/etc/hosts"), g.Must("run", "--rm", "--net", "container:x", "busybox", "cat", "/etc/hosts"); a != b {
		t.Errorf("hosts files differ:\n%s\n--\n%s", a, b)
	}
	want(t, g.Run("run", "--rm", "--net", "container:x", "busybox", "hostname"), 0, "xhost\n")
	for _, flags := range [][]string{{"-h", "y"}, {"-p", "80:80"}, {"--add-host", "a:1.2.3.4"}} {
		g.Fails(125, nil, append(append([]string{"run", "--rm", "--net", "container:x"}, flags...), "busybox", "true")...)
	}
	g.Fails(125, []string{fmt.Sprint(64)}, "run", "--rm", "-h", strings.Repeat("x", 65), "busybox", "true")
}
