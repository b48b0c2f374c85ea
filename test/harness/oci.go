package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// OCI drives an OCI runtime by its command line: gourd-runtime, or another one to compare with.
type OCI struct {
	T   testing.TB
	Bin string
	Dir string // of the test: bundles, and the runtime's --root
	Env []string
}

// NewOCI makes a --root of its own for the runtime at path bin ("" is the built gourd-runtime). When the test
// ends its containers are removed, and a cgroup or mount that is left fails the test.
func NewOCI(t testing.TB, bin string) *OCI {
	t.Helper()
	if bin == "" {
		bin = Bin(t, "gourd-runtime")
	}
	dir, err := os.MkdirTemp("/var/tmp", "gourd-oci-")
	if err != nil {
		t.Fatal(err)
	}
	o := &OCI{T: t, Bin: bin, Dir: dir}
	t.Cleanup(func() {
		entries, _ := os.ReadDir(o.Root())
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "~") {
				o.Run("delete", "--force", e.Name())
			}
		}
		for _, left := range o.leftovers() {
			t.Errorf("left behind: %s", left)
		}
		os.RemoveAll(dir)
	})
	return o
}

// Root is the runtime's --root.
func (o *OCI) Root() string { return filepath.Join(o.Dir, "state") }

// Cgroup is the parent of the test's cgroups.
func (o *OCI) Cgroup() string { return "/" + filepath.Base(o.Dir) }

func (o *OCI) leftovers() []string {
	var left []string
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + o.Cgroup() + "/*")
	for _, g := range groups {
		if st, err := os.Stat(g); err == nil && st.IsDir() {
			left = append(left, "cgroup "+g)
		}
	}
	for _, parent := range []string{"/sys/fs/cgroup" + o.Cgroup(), "/sys/fs/cgroup/*" + o.Cgroup()} {
		found, _ := filepath.Glob(parent)
		for _, f := range found {
			os.Remove(f) // the test's own parent, made with its first container
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, o.Dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	return left
}

// Command prepares a call of the runtime.
func (o *OCI) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(o.Bin, append([]string{"--root", o.Root()}, args...)...)
	cmd.Env = append(os.Environ(), o.Env...)
	return cmd
}

// Run calls the runtime. What a container holds of its output is not waited for.
func (o *OCI) Run(args ...string) Result { return o.RunInput("", args...) }

// RunInput is Run with something on standard input. Quotes in log lines are given without their backslashes.
func (o *OCI) RunInput(input string, args ...string) Result {
	o.T.Helper()
	cmd := o.Command(args...)
	// Files, not pipes: a container that goes on holds them open.
	out, errOut := o.file(), o.file()
	defer out.Close()
	defer errOut.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), out, errOut
	start := time.Now()
	if err := cmd.Start(); err != nil {
		o.T.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Wait()
	if !timer.Stop() {
		o.T.Errorf("%s %s: not done after a minute", o.Bin, strings.Join(args, " "))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		o.T.Fatal(err)
	}
	return Result{Stdout: read(out), Stderr: strings.ReplaceAll(read(errOut), `\"`, `"`), Code: cmd.ProcessState.ExitCode(), Took: time.Since(start)}
}

func (o *OCI) file() *os.File {
	f, err := os.CreateTemp(o.Dir, "output-")
	if err != nil {
		o.T.Fatal(err)
	}
	return f
}

func read(f *os.File) string {
	b, _ := os.ReadFile(f.Name())
	os.Remove(f.Name())
	return string(b)
}

// Must is Run for a call that has to succeed; it gives stdout.
func (o *OCI) Must(args ...string) string {
	o.T.Helper()
	r := o.Run(args...)
	if r.Code != 0 {
		o.T.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// State asks for a container's state.
func (o *OCI) State(id string) specs.State {
	o.T.Helper()
	var st specs.State
	if err := json.Unmarshal([]byte(o.Must("state", id)), &st); err != nil {
		o.T.Fatal(err)
	}
	return st
}

// WaitStatus waits until a container has this status.
func (o *OCI) WaitStatus(id string, want specs.ContainerState) {
	o.T.Helper()
	for range 500 {
		if o.State(id).Status == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	o.T.Fatalf("container %s is %s, want %s", id, o.State(id).Status, want)
}

// Bundle is a bundle on disk.
type Bundle struct {
	o    *OCI
	Dir  string
	Spec *specs.Spec
}

// Bundle makes a bundle with busybox in its root filesystem that runs args. Change Spec and call Write.
func (o *OCI) Bundle(args ...string) *Bundle {
	o.T.Helper()
	dir, err := os.MkdirTemp(o.Dir, "bundle-")
	if err != nil {
		o.T.Fatal(err)
	}
	b := &Bundle{o: o, Dir: dir, Spec: dockerSpec(args)}
	b.Spec.Linux.CgroupsPath = o.Cgroup() + "/" + filepath.Base(dir)
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, "rootfs", d), 0o755); err != nil {
			o.T.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		o.T.Fatalf("%v: apt-get install busybox-static", err)
	}
	b.File("bin/busybox", string(busybox), 0o755)
	out, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		o.T.Fatal(err)
	}
	for applet := range bytes.Lines(out) {
		name := strings.TrimSpace(string(applet))
		if name != "busybox" {
			os.Symlink("busybox", filepath.Join(dir, "rootfs/bin", name))
		}
	}
	b.File("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n", 0o644)
	b.File("etc/group", "root:x:0:\nuser:x:1000:\n", 0o644)
	return b.Write()
}

// File puts a file into the root filesystem.
func (b *Bundle) File(name, content string, mode os.FileMode) {
	b.o.T.Helper()
	if err := os.WriteFile(filepath.Join(b.Dir, "rootfs", name), []byte(content), mode); err != nil {
		b.o.T.Fatal(err)
	}
}

// Write writes config.json.
func (b *Bundle) Write() *Bundle {
	b.o.T.Helper()
	text, err := json.MarshalIndent(b.Spec, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(b.Dir, "config.json"), text, 0o644)
	}
	if err != nil {
		b.o.T.Fatal(err)
	}
	return b
}

// dockerSpec is what docker writes for a container without options, on cgroup v1: namespaces, mounts, masks,
// capabilities, limits.
func dockerSpec(args []string) *specs.Spec {
	caps := []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
	memory, pids := int64(256<<20), int64(100)
	return &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"}, Hostname: "oci",
		Process: &specs.Process{
			Args: args, Cwd: "/", Env: []string{"PATH=/bin", "HOME=/root"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.MountNamespace},
				{Type: specs.NetworkNamespace},
				{Type: specs.UTSNamespace},
				{Type: specs.PIDNamespace},
				{Type: specs.IPCNamespace},
				{Type: specs.CgroupNamespace},
			},
			Resources: &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
				Memory:  &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids},
			},
			MaskedPaths: []string{
				"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// ID gives an id for a container of this test.
func (o *OCI) ID(name string) string { return fmt.Sprintf("%s-%s", name, filepath.Base(o.Dir)) }

// OldRunc is Debian 12's runc 1.1, which has some of the holes that the security tests replay: there they must show.
func OldRunc(t testing.TB) string {
	t.Helper()
	const path = "/usr/sbin/runc"
	out, err := exec.Command(path, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "runc version 1.1.") {
		t.Skipf("needs runc 1.1 to show that the attack works (%s): %s %v", path, out, err)
	}
	return path
}
