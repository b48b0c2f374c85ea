package runtime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// sh runs a shell command in a container of its own.
func sh(t *testing.T, spec *specs.Spec, command string) string {
	t.Helper()
	spec.Process.Args = []string{"sh", "-c", command}
	out, code := output(t, testConfig(t, spec))
	if code != 0 {
		t.Fatalf("%s: exit %d: %s", command, code, out)
	}
	return out
}

func TestNamespaces(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		out := sh(t, spec, "for n in cgroup ipc mnt net pid time user uts; do echo $n $(readlink /proc/self/ns/$n); done; hostname; echo $$")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 10 || lines[8] != "box" || lines[9] != "1" {
			t.Fatalf("unexpected output %q", out)
		}
		for _, line := range lines[:8] {
			name, inside, _ := strings.Cut(line, " ")
			outside, err := os.Readlink("/proc/self/ns/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if differs := inside != outside; differs != (name != "user" || userNS) {
				t.Errorf("namespace %s: inside %s, outside %s", name, inside, outside)
			}
		}
	})
}

func TestNothingOfTheHostIsMounted(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		out := sh(t, testSpec(userNS), "cat /proc/self/mountinfo")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var places []string
		for _, l := range lines {
			places = append(places, strings.Fields(l)[4])
		}
		slices.Sort(places)
		allowed := []string{"/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/proc", "/sys"}
		allowed = append(allowed, testSpec(false).Linux.MaskedPaths...)
		allowed = append(allowed, testSpec(false).Linux.ReadonlyPaths...)
		for _, p := range places {
			if !slices.Contains(allowed, p) {
				t.Errorf("%s is mounted", p)
			}
		}
		if places[0] != "/" || places[1] == "/" {
			t.Errorf("mounts %q: not exactly one root", places)
		}
	})
}

func TestMasksAndReadonlyPaths(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		spec.Linux.MaskedPaths = append(spec.Linux.MaskedPaths, "/etc/passwd", "/root")
		out := sh(t, spec, `for f in /proc/keys /proc/timer_list /etc/passwd; do echo "$f: $(cat $f | wc -c)"; done 2>&1
			ls -A /sys/firmware /root; echo x 2>/dev/null >/proc/sys/kernel/core_pattern && echo BAD; touch /root/x 2>/dev/null && echo BAD; true`)
		if strings.Contains(out, "BAD") || strings.Count(out, ": 0\n") != 0 && strings.Contains(out, "BAD") {
			t.Fatal(out)
		}
	})
}

func TestDevices(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		mode, uid := os.FileMode(0o640), uint32(7)
		spec := testSpec(userNS)
		spec.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &mode, UID: &uid},
			{Path: "/opt/fuse", Type: "c", Major: 10, Minor: 229},
			{Path: "/dev/pipe", Type: "p"},
		}
		out := sh(t, spec, `echo x >/dev/null; (echo x >/dev/full) 2>&1; cat /dev/zero | busybox head -c 3 | busybox wc -c
			stat -c '%F %a %t:%T %u' /dev/net/tun /opt/fuse /dev/pipe /dev/tty /dev/null; readlink /dev/fd; readlink /dev/ptmx; ls /dev`)
		for _, want := range []string{
			"No space left", "3\n", "character special file 640 a:c8 7\n", "character special file 666 a:e5 0\n", "fifo 666 0:0 0\n",
			"character special file 666 5:0 0\n", "character special file 666 1:3 0\n", "/proc/self/fd\npts/ptmx\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in %s", want, out)
			}
		}
	})
}

func TestWithoutDevMount(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		spec.Mounts = spec.Mounts[:1] // proc
		spec.Linux.MaskedPaths = []string{"/proc/keys", "/etc/passwd"}
		if out := sh(t, spec, `echo x >/dev/null; stat -c %t:%T /dev/null /dev/zero; cat /etc/passwd; cat /proc/self/mountinfo | busybox wc -l`); out != "1:3\n1:5\n14\n" {
			t.Fatal(out)
		}
	})
}

func TestIDsOnDisk(t *testing.T) {
	spec := testSpec(true)
	c := testConfig(t, spec)
	dir := t.TempDir()
	for i, name := range []string{"upper", "work"} {
		os.Mkdir(filepath.Join(dir, name), 0o755)
		os.Chown(filepath.Join(dir, name), 700000, 700000)
		_ = i
	}
	c.RootFS.Upper, c.RootFS.Work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	spec.Process.Args = []string{"sh", "-c", "touch /file; busybox chown 1000:1000 /etc/passwd; stat -c %u:%g /bin/busybox /file /etc/passwd; cat /proc/self/uid_map"}
	c.RootFS.Layers = append(c.RootFS.Layers, container.Layer{Dir: t.TempDir()})
	out, code := output(t, c)
	if code != 0 || !strings.HasPrefix(out, "0:0\n0:0\n1000:1000\n") || strings.Join(strings.Fields(out[len("0:0\n0:0\n1000:1000\n"):]), " ") != "0 700000 65536" {
		t.Fatalf("exit %d: %s", code, out)
	}
	for name, uid := range map[string]uint32{"file": 700000, "etc/passwd": 701000} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(c.RootFS.Upper, name), &st); err != nil || st.Uid != uid {
			t.Errorf("%s belongs to %d on the host (%v)", name, st.Uid, err)
		}
	}
}

// TestOverlayByPath builds the same overlay in the way of kernels before 6.13.
func TestOverlayByPath(t *testing.T) {
	lower, dir := busyboxRoot(t), t.TempDir()
	upper, work := filepath.Join(dir, "a:b,c"), filepath.Join(dir, "w")
	os.Mkdir(upper, 0o755)
	os.Mkdir(work, 0o755)
	b := &build{}
	var layers []int
	for _, l := range []string{lower, t.TempDir()} {
		fd, err := b.openLayer(l, false)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		layers = append(layers, fd)
	}
	fs := &container.RootFS{Upper: upper, Work: work, Volatile: true}
	fd, err := b.overlayByPath(layers, fs, unix.MOUNT_ATTR_NODEV)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	f, err := unix.Openat(fd, "new", unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(f)
	if err := unix.Faccessat(fd, "bin/busybox", unix.X_OK, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(upper, "new")); err != nil {
		t.Fatal(err)
	}
}

func TestBinds(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		host := t.TempDir()
		os.WriteFile(filepath.Join(host, "file"), []byte("hello\n"), 0o644)
		if err := unix.Mount("tmpfs", filepath.Join(host), "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		defer unix.Unmount(host, unix.MNT_DETACH)
		os.WriteFile(filepath.Join(host, "file"), []byte("hello\n"), 0o644)
		os.Mkdir(filepath.Join(host, "sub"), 0o755)
		unix.Mount("tmpfs", filepath.Join(host, "sub"), "tmpfs", 0, "")
		defer unix.Unmount(filepath.Join(host, "sub"), unix.MNT_DETACH)
		spec := testSpec(userNS)
		options := []string{"rbind", "rro", "nosuid"}
		if userNS {
			options = append(options, "ridmap")
		}
		spec.Mounts = append(spec.Mounts,
			specs.Mount{Destination: "/new/place", Source: host, Type: "bind", Options: options},
			specs.Mount{Destination: "/etc/extra", Source: filepath.Join(host, "file"), Type: "bind", Options: []string{"bind", "ro"}})
		out := sh(t, spec, `cat /etc/extra /new/place/file; stat -c %u /new/place/file; touch /new/place/x /new/place/sub/x 2>&1; echo x 2>&1 >/etc/extra; true`)
		if !strings.HasPrefix(out, "hello\nhello\n0\n") || strings.Count(out, "Read-only file system") != 3 {
			t.Fatal(out)
		}
	})
}

func TestTerminal(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS, "sh", "-c", "tty; stat -c %u:%t:%T /dev/console /dev/pts/0; echo x >/dev/tty; stty size 2>/dev/null || busybox stty size")
		spec.Process.Terminal = true
		spec.Process.ConsoleSize = &specs.Box{Height: 33, Width: 77}
		spec.Process.User = specs.User{UID: 1000, GID: 1000}
		k, err := Run(testConfig(t, spec))
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		b, _ := io.ReadAll(k.Console)
		if ws, err := k.Wait(); err != nil || ws.ExitStatus() != 0 {
			t.Errorf("wait: %v %v", ws, err)
		}
		if got := strings.ReplaceAll(string(b), "\r", ""); got != "/dev/pts/0\n1000:88:0\n1000:88:0\nx\n33 77\n" {
			t.Errorf("output %q", got)
		}
	})
}

func TestExitCodes(t *testing.T) {
	root := busyboxRoot(t)
	for name, text := range map[string]string{"s1": "#!/bin/nonexistent\n", "s2": "#!/bin/sh\r\necho\n", "s3": "echo hi\n"} {
		os.WriteFile(filepath.Join(root, "bin", name), []byte(text), 0o755)
	}
	for _, test := range []struct {
		command string
		code    int
		words   string
	}{
		{"nosuch", 127, `exec: "nosuch": executable file not found in $PATH`},
		{"/nosuch", 127, `exec: "/nosuch": stat /nosuch: no such file or directory`},
		{"/etc", 126, `exec: "/etc": is a directory`},
		{"/etc/passwd", 126, `exec: "/etc/passwd": permission denied`},
		{"/bin/s1", 127, `exec: "/bin/s1": no such file or directory; /bin/s1 needs /bin/nonexistent`},
		{"/bin/s2", 127, "Windows line ends"},
		{"/bin/s3", 126, `exec: "/bin/s3": exec format error; it is a script without a #! line`},
	} {
		modes(t, func(t *testing.T, userNS bool) {
			c := &Config{ID: "x", Spec: testSpec(userNS, test.command), RootFS: &container.RootFS{Layers: []container.Layer{{Dir: root}}, Idmap: true}}
			k, err := Run(c)
			if err == nil {
				k.Kill(unix.SIGKILL)
				k.Wait()
				t.Fatalf("%s runs", test.command)
			}
			if container.ExitCode(err) != test.code || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%s: code %d: %v", test.command, container.ExitCode(err), err)
			}
		})
	}
}

func TestPathRules(t *testing.T) {
	// A directory and a file without x are passed over, as execvp(3) does.
	root := busyboxRoot(t)
	os.MkdirAll(filepath.Join(root, "a/tool"), 0o755)
	os.MkdirAll(filepath.Join(root, "b"), 0o755)
	os.WriteFile(filepath.Join(root, "b/tool"), nil, 0o644)
	os.Link(filepath.Join(root, "bin/busybox"), filepath.Join(root, "tool"))
	os.WriteFile(filepath.Join(root, "bin/tool"), []byte("#!/bin/sh\necho found $0\n"), 0o755)
	spec := testSpec(false, "tool")
	spec.Process.Env = []string{"PATH=/none:/a:/b:/bin"}
	if out, _ := output(t, &Config{ID: "x", Spec: spec, RootFS: &container.RootFS{Layers: []container.Layer{{Dir: root}}}}); out != "found /bin/tool\n" {
		t.Fatal(out)
	}
}

func TestProcessAttributes(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		umask, oom := uint32(0o077), 321
		spec := testSpec(userNS)
		spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}, Umask: &umask}
		spec.Process.OOMScoreAdj = &oom
		spec.Process.NoNewPrivileges = true
		spec.Process.Env = []string{"PATH=/bin", "A=b c"}
		spec.Process.Cwd = "/home/user"
		spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 0}}
		spec.Process.Capabilities.Inheritable = []string{"CAP_CHOWN"}
		out := sh(t, spec, `id -u; id -g; id -G; umask; cat /proc/self/oom_score_adj; pwd; stat -c %u:%g .; ulimit -Sn; ulimit -Hn; ulimit -c
			grep -e NoNewPrivs -e CapInh -e CapEff -e CapBnd /proc/self/status; env | busybox sort`)
		want := "1000\n1001\n1001 5 6\n0077\n321\n/home/user\n1000:1001\n100\n200\n0\nCapInh:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000000005eb\nNoNewPrivs:\t1\nA=b c\nHOME=/home/user\nPATH=/bin\nPWD=/home/user\nSHLVL=1\n"
		if out != want {
			t.Fatalf("got  %q\nwant %q", out, want)
		}
	})
}

func TestAmbientCapabilities(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		spec.Process.User = specs.User{UID: 1000, GID: 1000}
		spec.Process.Capabilities.Ambient = []string{"CAP_NET_BIND_SERVICE"}
		spec.Process.Capabilities.Bounding = append(spec.Process.Capabilities.Bounding, "CAP_TOMORROW")
		if out := sh(t, spec, `grep -e CapEff -e CapAmb /proc/self/status`); out != "CapEff:\t0000000000000400\nCapAmb:\t0000000000000400\n" {
			t.Fatal(out)
		}
	})
}

func TestClampedRights(t *testing.T) {
	if boundingSet()&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		t.Skip("this process has CAP_SYS_RESOURCE: nothing to clamp")
	}
	spec := testSpec(false, "sh", "-c", "ulimit -Hn")
	spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 20, Hard: 1 << 20}}
	spec.Process.Capabilities.Bounding = append(spec.Process.Capabilities.Bounding, "CAP_SYS_RESOURCE")
	k, err := Run(testConfig(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if ws, _ := k.Wait(); ws.ExitStatus() != 0 || len(k.Notices) != 2 {
		t.Fatalf("exit %d, notices %q", ws.ExitStatus(), k.Notices)
	}
}

func TestSysctls(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "79", "kernel.msgmax": "8190", "net/ipv4/conf/lo/log_martians": "1"}
		if out := sh(t, spec, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/sys/net/ipv4/conf/lo/log_martians"); out != "79\n8190\n1\n" {
			t.Fatal(out)
		}
	})
	for _, name := range []string{"kernel.core_pattern", "vm.swappiness", "net.ipv4../../kernel.core_pattern", "kernel.shm_rmid_forced=1+kernel.core_pattern", "net//x", ""} {
		spec := testSpec(false, "true")
		spec.Linux.Sysctl = map[string]string{name: "1"}
		if _, err := Plan(testConfig(t, spec)); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("sysctl %q: %v", name, err)
		}
	}
}

func TestTimeOffsets(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 864000}}
		if out := sh(t, spec, "cat /proc/uptime"); len(out) < 6 || out < "86" {
			t.Fatal(out)
		}
		out := sh(t, spec, "busybox cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets")
		var up int
		fmt.Sscan(out, &up)
		if up < 864000 || !strings.Contains(out, "864000") {
			t.Fatal(out)
		}
	})
}

func TestSeccomp(t *testing.T) {
	profile := `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64"],"syscalls":[{"names":["mkdir","mkdirat","getcwd"],"action":"SCMP_ACT_ERRNO","errnoRet":93}]}`
	modes(t, func(t *testing.T, userNS bool) {
		for _, nnp := range []bool{false, true} {
			spec := testSpec(userNS, "sh", "-c", "busybox mkdir /x 2>&1; grep -e Seccomp: -e CapEff /proc/self/status")
			spec.Process.NoNewPrivileges = nnp
			c := testConfig(t, spec)
			c.Seccomp, c.StateDir = []byte(profile), t.TempDir()
			out, _ := output(t, c)
			if !strings.Contains(out, "Protocol not supported") || !strings.Contains(out, "Seccomp:\t2") || !strings.Contains(out, "CapEff:\t00000000000005eb") {
				t.Fatal(out)
			}
		}
	})
}

func TestNoDescriptorsLeak(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil { // without O_CLOEXEC
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	modes(t, func(t *testing.T, userNS bool) {
		before := openFiles(t)
		// The shell's own glob opens the directory as 3.
		if out := sh(t, testSpec(userNS), "echo /proc/1/fd/*"); out != "/proc/1/fd/0 /proc/1/fd/1 /proc/1/fd/2 /proc/1/fd/3\n" {
			t.Fatal(out)
		}
		if after := openFiles(t); after > before {
			t.Errorf("%d descriptors are open, before %d", after, before)
		}
	})
}

func openFiles(t *testing.T) int {
	linux.ReadProc(os.Getpid(), "stat") // opens /proc once for ever
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestWorkingDirectoryStaysInside(t *testing.T) {
	dir, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	for fd := 3; fd < 40; fd++ {
		spec := testSpec(false, "sh", "-c", "ls /; pwd")
		spec.Process.Cwd = fmt.Sprintf("/proc/self/fd/%d", fd)
		c := testConfig(t, spec)
		k, err := Run(c)
		if err != nil {
			continue
		}
		ws, _ := k.Wait()
		k.Close()
		t.Errorf("cwd %s: the container ran (exit %d)", spec.Process.Cwd, ws.ExitStatus())
	}
}

func TestHostileRoot(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		host := t.TempDir()
		os.Chmod(host, 0o777)
		root := busyboxRoot(t)
		for _, dir := range []string{"dev", "tmp"} {
			os.Remove(filepath.Join(root, dir))
			if err := os.Symlink(host, filepath.Join(root, dir)); err != nil {
				t.Fatal(err)
			}
		}
		os.Symlink("../../../../../../.."+host, filepath.Join(root, "vol"))
		os.Symlink("/proc/self/root"+host, filepath.Join(root, "magic"))
		spec := testSpec(userNS, "true")
		spec.Mounts = append(spec.Mounts,
			specs.Mount{Destination: "/vol/a", Type: "tmpfs", Source: "tmpfs"},
			specs.Mount{Destination: "/tmp/b/c", Type: "tmpfs", Source: "tmpfs"},
			specs.Mount{Destination: "/magic/d", Type: "tmpfs", Source: "tmpfs"},
			specs.Mount{Destination: "/tmp/file", Type: "bind", Source: "/etc/hostname", Options: []string{"bind"}})
		spec.Process.Cwd = "/tmp/w"
		k, err := Run(&Config{ID: "x", Spec: spec, RootFS: &container.RootFS{Layers: []container.Layer{{Dir: root}}, Idmap: true}})
		if err == nil {
			k.Wait()
			k.Close()
		}
		list, _ := os.ReadDir(host)
		for _, e := range list {
			t.Errorf("on the host there is %s now", e.Name())
		}
		for _, link := range []string{"proc", "sys"} {
			os.Remove(filepath.Join(root, link))
			os.Symlink("/etc", filepath.Join(root, link))
			if k, err := Run(&Config{ID: "x", Spec: testSpec(userNS, "true"), RootFS: &container.RootFS{Layers: []container.Layer{{Dir: root}}, Idmap: true}}); err == nil {
				k.Wait()
				t.Errorf("a container with /%s as a link ran", link)
			}
			os.Remove(filepath.Join(root, link))
			os.Mkdir(filepath.Join(root, link), 0o755)
		}
	})
}

func TestFailuresLeaveNothing(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		boom := errors.New("boom")
		for name, change := range map[string]func(c *Config){
			"on root":       func(c *Config) { c.OnRoot = func(*os.File, *specs.Spec) error { return boom } },
			"on namespaces": func(c *Config) { c.OnNamespaces = func(int) error { return boom } },
			"killed":        func(c *Config) { c.OnNamespaces = func(pid int) error { return unix.Kill(pid, unix.SIGKILL) } },
			"bad mount": func(c *Config) {
				c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{"nonsense=1"}})
			},
			"no source": func(c *Config) {
				c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/none"})
			},
			"no root": func(c *Config) { c.RootFS.Layers[0].Dir = "/none" },
			"no dir":  func(c *Config) { c.Spec.Process.Cwd = "/etc/passwd" },
			"no file": func(c *Config) { c.Spec.Process.Args[0] = "nosuch" },
		} {
			c := testConfig(t, testSpec(userNS, "true"))
			change(c)
			files, mounts := openFiles(t), mountCount(t)
			k, err := Create(c)
			if err == nil {
				k.Kill(unix.SIGKILL)
				k.Wait()
				t.Errorf("%s: no error", name)
				continue
			}
			t.Logf("%s: %v", name, err)
			if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("%s: a child is left", name)
			}
			if n := openFiles(t); n > files {
				t.Errorf("%s: %d descriptors are left", name, n-files)
			}
			if n := mountCount(t); n != mounts {
				t.Errorf("%s: %d mounts are left", name, n-mounts)
			}
		}
	})
}

func mountCount(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func TestCreateThenStart(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		r, w, _ := os.Pipe()
		defer r.Close()
		c := testConfig(t, testSpec(userNS, "echo", "started"))
		c.Stdio = [3]*os.File{nil, w, w}
		c.ExecFIFO = filepath.Join(t.TempDir(), "exec.fifo")
		if err := MakeFIFO(c.ExecFIFO); err != nil {
			t.Fatal(err)
		}
		k, err := Create(c)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		k.Close() // as the process that created it, when it ends
		time.Sleep(20 * time.Millisecond)
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", k.Pid))
		if !strings.HasPrefix(string(comm), "gourd-init") {
			t.Errorf("before start it is %q", comm)
		}
		if err := StartCreated(c.ExecFIFO); err != nil {
			t.Fatal(err)
		}
		if err := StartCreated(c.ExecFIFO); !errors.Is(err, container.ErrConflict) {
			t.Errorf("second start: %v", err)
		}
		b, _ := io.ReadAll(r)
		if ws, err := k.Wait(); err != nil || string(b) != "started\n" {
			t.Fatalf("%v %v %q", ws, err, b)
		}
	})
}

func TestStartCreatedTellsFailure(t *testing.T) {
	root := busyboxRoot(t)
	os.WriteFile(filepath.Join(root, "bin/bad"), []byte("nothing\n"), 0o755)
	c := &Config{ID: "x", Spec: testSpec(true, "/bin/bad"), RootFS: &container.RootFS{Layers: []container.Layer{{Dir: root}}, Idmap: true}}
	c.ExecFIFO = filepath.Join(t.TempDir(), "exec.fifo")
	MakeFIFO(c.ExecFIFO)
	k, err := Create(c)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Wait()
	defer k.Close()
	if err := StartCreated(c.ExecFIFO); !errors.Is(err, container.ErrNotExecutable) || !strings.Contains(err.Error(), `exec: "/bin/bad": exec format error`) {
		t.Fatal(err)
	}
}

func TestPlanNamesTheSameSteps(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		c := testConfig(t, testSpec(userNS, "true"))
		plan, err := Plan(c)
		if err != nil {
			t.Fatal(err)
		}
		k, err := Run(c)
		if err != nil {
			t.Fatal(err)
		}
		k.Wait()
		done := k.Steps()
		k.Close()
		if len(plan) != len(done) {
			t.Fatalf("%d steps planned, %d done", len(plan), len(done))
		}
		for i := range plan {
			if plan[i].Name != done[i].Name {
				t.Errorf("step %d: planned %q, done %q", i, plan[i].Name, done[i].Name)
			}
			if done[i].At == 0 && i < len(done)-1 {
				t.Errorf("step %q has no time", done[i].Name)
			}
		}
		for _, s := range done {
			t.Logf("%8s %-6s %s %v", s.At, s.Where, s.Name, s.Calls)
		}
	})
}
