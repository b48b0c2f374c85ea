package runtime

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// busyboxRoot makes a root file system of Debian's busybox-static.
func busyboxRoot(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containers need root here")
	}
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("no /bin/busybox: install busybox-static")
	}
	root := t.TempDir()
	// t.TempDir is closed to others; the container's root is another user.
	for dir := root; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	for _, dir := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), binary, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "true", "cat", "id", "ls", "sleep", "ps", "mount", "hostname", "stat", "echo", "tty", "env", "pwd", "touch", "readlink", "grep", "kill", "umount", "test", "ulimit", "ip"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"), 0o644)
	return root
}

func mappings() []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: 700000, Size: 65536}}
}

// testSpec is a container with all namespaces and docker's usual mounts but the cgroups.
func testSpec(userNS bool, args ...string) *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE", "CAP_SETPCAP", "CAP_DAC_OVERRIDE", "CAP_FOWNER"}
	s := &specs.Spec{
		Version: "1.3.0",
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.MountNamespace},
				{Type: specs.CgroupNamespace},
			},
			MaskedPaths:   []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware", "/proc/nothing"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if userNS {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings, s.Linux.GIDMappings = mappings(), mappings()
	}
	return s
}

// modes runs a test with a user namespace and with host ids.
func modes(t *testing.T, test func(t *testing.T, userNS bool)) {
	t.Run("userns", func(t *testing.T) { test(t, true) })
	t.Run("hostids", func(t *testing.T) { test(t, false) })
}

// testConfig is a container on an idmapped copy-on-write overlay over busybox.
func testConfig(t testing.TB, spec *specs.Spec) *Config {
	root := busyboxRoot(t)
	return &Config{ID: "test", Spec: spec, RootFS: &container.RootFS{Layers: []container.Layer{{Dir: root}}, Idmap: true}}
}

// output runs a container to its end and returns what it printed and its exit code.
func output(t testing.TB, c *Config) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdio = [3]*os.File{nil, w, w}
	k, err := Run(c)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	b, _ := io.ReadAll(r)
	ws, err := k.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(b), ws.ExitStatus()
}

func TestRunTrue(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		if out, code := output(t, testConfig(t, testSpec(userNS, "true"))); out != "" || code != 0 {
			t.Fatalf("true: exit %d, output %q", code, out)
		}
	})
}
