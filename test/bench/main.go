// Command bench measures gourd beside its peers: runs in random order, round by round, medians, and the
// ratio that each goal speaks of. It never fails because something is slow; it does when a command that
// it times doesn't succeed, since the time of an error is no time.
//
//	go run ./test/bench [-n rounds] [-only regexp] [-json]
//
// gourd's binaries are those in bin/ (`make build`). Peers are measured where they are installed:
//
//	apt-get install --no-install-recommends docker.io podman crun runc bubblewrap busybox-static iptables
//
// Everything runs in namespaces of the benchmark's own (process ids, mounts, network), below one
// temporary directory and one cgroup, with its own dockerd. Whatever ends it, nothing is left.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// options are the command line.
type options struct {
	rounds  int
	only    *regexp.Regexp
	json    bool
	logSize int // MiB
	idle    int
	bin     string
}

func parseOptions() (options, error) {
	var o options
	only := flag.String("only", "", "run the cases whose name matches this regular `expression`")
	flag.IntVar(&o.rounds, "n", 40, "`rounds` of each case (slow cases take fewer)")
	flag.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	flag.IntVar(&o.logSize, "log-size", 1024, "`MiB` that a container writes to its log")
	flag.IntVar(&o.idle, "idle", 50, "`containers` that run while memory is measured")
	flag.StringVar(&o.bin, "bin", "bin", "`directory` of gourd's binaries")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.rounds < 1 || o.logSize < 1 || o.idle < 1 || flag.NArg() > 0 {
		return o, errors.New("-n, -log-size and -idle are at least 1, and there are no arguments")
	}
	o.bin, err = filepath.Abs(o.bin)
	return o, err
}

// insideVar carries the working directory to the process inside the namespaces.
const insideVar = "GOURD_BENCH_INSIDE"

func main() {
	o, err := parseOptions()
	if err == nil {
		if dir := os.Getenv(insideVar); dir != "" {
			err = inside(o, dir)
		} else {
			err = outside()
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// outside starts the benchmark in namespaces of its own and tidies after it: with their first process
// the kernel ends all others, so only files and cgroups can be left.
func outside() error {
	if os.Getuid() != 0 {
		return errors.New("it makes real containers: run it as root")
	}
	dir, err := os.MkdirTemp("/var/tmp", "gourd-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer removeCgroups()
	for _, d := range stubborn {
		if _, err := os.Lstat(d); os.IsNotExist(err) {
			defer os.Remove(d)
		}
	}
	signal.Ignore(unix.SIGINT, unix.SIGTERM) // the process inside gets them too, or is told below
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVar+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
	}
	runtime.LockOSThread() // the parent-death signal follows the thread
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for range stop {
			cmd.Process.Signal(unix.SIGTERM)
		}
	}()
	return cmd.Wait()
}

// inside is process 1 of the namespaces.
func inside(o options, dir string) error {
	if err := furnish(dir); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer cancel()
	b := &bench{options: o, dir: dir, report: newReport(), loaded: map[string]bool{}}
	if err := makeRootfs(b.rootfs()); err != nil {
		return err
	}
	for _, c := range cases() {
		if !o.only.MatchString(c.name) {
			continue
		}
		if err := b.run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	b.stopDocker()
	if o.json {
		return b.report.writeJSON(os.Stdout)
	}
	b.report.writeTable(os.Stdout)
	return nil
}

// furnish makes the new namespaces fit to work in: nothing mounted here spreads, /proc shows the new
// process ids, loopback is up, the directories in which engines keep state of their own choice are empty
// and in memory, and where the host has both cgroup versions the second one is hidden.
func furnish(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	const resolvers = "/run/systemd/resolve/resolv.conf"
	text, noResolvers := os.ReadFile(resolvers)
	for _, d := range append([]string{filepath.Join(dir, "run"), "/run", "/dev/shm"}, stubborn...) {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", d, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", d, err)
		}
	}
	if noResolvers == nil {
		if err := os.MkdirAll(filepath.Dir(resolvers), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(resolvers, text, 0o644); err != nil {
			return err
		}
	}
	if err := hideUnified(); err != nil {
		return err
	}
	return exec.Command("ip", "link", "set", "lo", "up").Run()
}

// stubborn are directories in which engines keep something whatever they are told: podman its network
// plugins' addresses and a cache, dockerd a key.
var stubborn = []string{"/var/lib/cni", "/var/lib/containers", "/etc/docker"}

// hideUnified puts an empty tmpfs where a hybrid host has cgroup v2: crun refuses such a host, and exits
// so fast that it would look good.
func hideUnified() error {
	const unified = "/sys/fs/cgroup/unified"
	var st unix.Statfs_t
	if unix.Statfs(unified, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	if err := unix.Unmount(unified, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("hide %s: %w", unified, err)
	}
	if err := unix.Mount("tmpfs", unified, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("hide %s: %w", unified, err)
	}
	return nil
}
