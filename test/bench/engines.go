package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const image = "localhost/bench:latest"

// engine is one with docker's command line.
type engine struct {
	name    string
	cli     []string // the command with its global options
	run     []string // options that each run needs here
	log     []string // options that make its log rotate as gourd's does by default
	monitor string   // how the name of its process per container begins
	daemons func() []int
}

func (e engine) args(args ...string) []string { return append(slices.Clone(e.cli), args...) }

func (e engine) runArgs(options []string, command ...string) []string {
	argv := append(e.args("run"), e.run...)
	argv = append(append(argv, options...), image)
	return append(argv, command...)
}

// timed is timed with what the engine's daemons used added.
func (e engine) timed(ctx context.Context, argv []string) (sample, error) {
	before := daemonCPU(e.daemons()...)
	s, err := timed(ctx, argv)
	s.cpu += daemonCPU(e.daemons()...) - before
	return s, err
}

// engines gives those that are installed and have loaded the image.
func (b *bench) engines(ctx context.Context, c string) ([]engine, error) {
	archive := filepath.Join(b.dir, "image.tar")
	if _, err := os.Stat(archive); err != nil {
		if err := makeImage(archive, b.rootfs(), image); err != nil {
			return nil, err
		}
	}
	var ready []engine
	for _, open := range []struct {
		name string
		f    func(context.Context) (engine, error)
	}{{gourdName, b.openGourd}, {"docker", b.openDocker}, {"podman", b.openPodman}} {
		e, err := open.f(ctx)
		if err == nil && !b.loaded[open.name] {
			err = command(ctx, e.args("load", "--input", archive)...)
		}
		if ctx.Err() != nil {
			return nil, errors.New("stopped")
		}
		if err != nil {
			b.skip(c, open.name, err.Error())
			continue
		}
		b.loaded[open.name] = true
		ready = append(ready, e)
	}
	return ready, nil
}

func noDaemons() []int { return nil }

func (b *bench) openGourd(context.Context) (engine, error) {
	path, err := exec.LookPath(filepath.Join(b.bin, "gourd"))
	if err != nil {
		return engine{}, fmt.Errorf("%w: run `make build`", err)
	}
	return engine{name: gourdName, monitor: "gourd-monitor", daemons: noDaemons,
		cli: []string{path, "--root", filepath.Join(b.dir, "gourd"), "--state", b.state("gourd")},
		run: []string{"--cgroup-parent", cgroupRoot + "/gourd"}}, nil
}

func (b *bench) openPodman(context.Context) (engine, error) {
	path, err := exec.LookPath("podman")
	if err != nil {
		return engine{}, err
	}
	return engine{name: "podman", monitor: "conmon", daemons: noDaemons,
		cli: []string{path, "--root", filepath.Join(b.dir, "podman"), "--runroot", b.state("podman"), "--tmpdir", b.state("podman-tmp"), "--network-config-dir", b.state("podman-networks"),
			"--cgroup-manager", "cgroupfs", "--events-backend", "file"},
		// Its defaults raise these above what a machine without CAP_SYS_RESOURCE allows.
		run: []string{"--cgroup-parent", cgroupRoot + "/podman", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"},
		log: []string{"--log-driver", "k8s-file", "--log-opt", "max-size=10mb"}}, nil
}

// enterEngineRun: `run --rm IMAGE true` with options.
func enterEngineRun(name string, options ...string) func(context.Context, *bench) ([]contender, error) {
	return func(ctx context.Context, b *bench) ([]contender, error) {
		engines, err := b.engines(ctx, name)
		var all []contender
		for _, e := range engines {
			argv := e.runArgs(append([]string{"--rm"}, options...), "true")
			all = append(all, contender{e.name, func(ctx context.Context) (sample, error) { return e.timed(ctx, argv) }})
		}
		return all, err
	}
}

// enterEngineExec: `exec CONTAINER true`.
func enterEngineExec(ctx context.Context, b *bench) ([]contender, error) {
	engines, err := b.engines(ctx, "exec")
	if err != nil {
		return nil, err
	}
	var all []contender
	for _, e := range engines {
		if err := command(ctx, e.runArgs([]string{"--detach", "--name", "held"}, "sleep", "86400")...); err != nil {
			b.skip("exec", e.name, err.Error())
			continue
		}
		b.later(func() { command(context.Background(), e.args("rm", "--force", "held")...) })
		all = append(all, contender{e.name, func(ctx context.Context) (sample, error) { return e.timed(ctx, e.args("exec", "held", "true")) }})
	}
	return all, nil
}

// enterIdle: containers that do nothing, and what their monitors keep for themselves.
func enterIdle(ctx context.Context, b *bench) ([]contender, error) {
	engines, err := b.engines(ctx, "idle-memory")
	var all []contender
	for _, e := range engines {
		all = append(all, contender{e.name, func(ctx context.Context) (sample, error) { return b.idleMemory(ctx, e) }})
	}
	return all, err
}

// idleMemory starts the containers, gives the median of the monitors' private memory in MB, and removes them.
func (b *bench) idleMemory(ctx context.Context, e engine) (s sample, err error) {
	var names []string
	defer func() {
		if rmErr := command(ctx, e.args(append([]string{"rm", "--force"}, names...)...)...); err == nil {
			err = rmErr
		}
	}()
	for i := range b.idle {
		name := "idle-" + strconv.Itoa(i)
		names = append(names, name)
		if err := command(ctx, e.runArgs([]string{"--detach", "--name", name}, "sleep", "86400")...); err != nil {
			return s, err
		}
	}
	select {
	case <-time.After(3 * time.Second): // until everything that was needed for the start is given back
	case <-ctx.Done():
		return s, ctx.Err()
	}
	var all []float64
	for pid := range processes() {
		if strings.HasPrefix(programOf(pid), e.monitor) {
			kb, err := privateKB(pid)
			if err != nil {
				return s, err
			}
			all = append(all, float64(kb)/1000)
		}
	}
	if len(all) < b.idle {
		return s, fmt.Errorf("%d processes are called %s, %d containers run", len(all), e.monitor, b.idle)
	}
	slices.Sort(all)
	return sample{value: quantile(all, 0.5)}, nil
}

// programOf is the name that a process was started by, without its folder. (Not /proc/PID/comm: a program
// started through a descriptor has the number there.)
func programOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	name, _, _ := strings.Cut(string(b), "\x00")
	return filepath.Base(name)
}

// privateKB sums the private pages of a process (smaps_rollup, Linux 4.14).
func privateKB(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	sum := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && (f[0] == "Private_Clean:" || f[0] == "Private_Dirty:") {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// enterLog: a container that writes lines as fast as its log takes them.
func enterLog(ctx context.Context, b *bench) ([]contender, error) {
	engines, err := b.engines(ctx, "log")
	var all []contender
	for _, e := range engines {
		all = append(all, contender{e.name, func(ctx context.Context) (sample, error) { return b.logOnce(ctx, e) }})
	}
	return all, err
}

func (b *bench) logOnce(ctx context.Context, e engine) (s sample, err error) {
	// A program that costs next to nothing itself: 1 MiB of lines in the image, read again and again.
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do cat %s; i=$((i+1)); done; cat %s", b.logSize/16, strings.Repeat(linesFile+" ", 16),
		strings.Repeat(linesFile+" ", b.logSize%16+1))
	cpu := daemonCPU(e.daemons()...) + cpuOfChildren()
	start := time.Now()
	if err := command(ctx, e.runArgs(append([]string{"--detach", "--name", "logger"}, e.log...), "sh", "-c", script)...); err != nil {
		return s, err
	}
	defer func() {
		if rmErr := command(ctx, e.args("rm", "--force", "logger")...); err == nil {
			err = rmErr
		}
		s.cpu = daemonCPU(e.daemons()...) + cpuOfChildren() - cpu
	}()
	code, err := output(ctx, e.args("wait", "logger")...)
	took := time.Since(start)
	if err == nil && code != "0" {
		err = fmt.Errorf("the writer ended with exit code %s", code)
	}
	if err != nil {
		return s, err
	}
	got, err := output(ctx, e.args("logs", "--tail", "1", "logger")...)
	if err == nil && got != logLine {
		err = fmt.Errorf("the last line of the log is %q", got)
	}
	if err != nil {
		return s, err
	}
	return sample{value: float64(b.logSize+1) / took.Seconds()}, nil
}
