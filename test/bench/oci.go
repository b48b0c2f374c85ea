package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// gourdName is what gourd's row is called in every case.
const gourdName = "gourd"

// ociRuntime is one with runc's command line.
type ociRuntime struct {
	name string
	bin  string
	root string
}

// runtimes gives those that are installed, gourd's first, each with a state directory in memory.
func (b *bench) runtimes(c string) []ociRuntime {
	var found []ociRuntime
	for _, x := range []struct{ name, bin string }{{gourdName, filepath.Join(b.bin, "gourd-runtime")}, {"crun", "crun"}, {"runc", "runc"}} {
		path, err := exec.LookPath(x.bin)
		if err != nil {
			b.skip(c, x.name, err.Error())
			continue
		}
		found = append(found, ociRuntime{name: x.name, bin: path, root: b.state(x.name + "-" + c)})
	}
	return found
}

func (r ociRuntime) args(args ...string) []string {
	return append([]string{r.bin, "--root", r.root}, args...)
}

// ociBundle makes a bundle for one runtime and case.
func (b *bench) ociBundle(c, name string, args ...string) (string, error) {
	dir := filepath.Join(b.dir, "bundles", c, name)
	return dir, makeBundle(dir, b.rootfs(), cgroupRoot+"/"+name+"-"+c, args...)
}

func (b *bench) rootfs() string { return filepath.Join(b.dir, "rootfs") }

// state is a directory in memory, as /run is.
func (b *bench) state(name string) string { return filepath.Join(b.dir, "run", name) }

// ids numbers containers.
func ids(prefix string) func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("%s-%d", prefix, n) }
}

// enterOCIRun: `run /bin/true`.
func enterOCIRun(_ context.Context, b *bench) ([]contender, error) {
	var all []contender
	for _, r := range b.runtimes("oci-run") {
		bundle, err := b.ociBundle("run", r.name, "/bin/true")
		if err != nil {
			return nil, err
		}
		next := ids("run")
		all = append(all, contender{r.name, func(ctx context.Context) (sample, error) {
			return timed(ctx, r.args("run", "--bundle", bundle, next()))
		}})
	}
	if bwrap, err := exec.LookPath("bwrap"); err != nil {
		b.skip("oci-run", "bwrap", err.Error())
	} else {
		// The same namespaces; it has no cgroup, no seccomp filter and no masks.
		argv := []string{
			bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
			"--bind", b.rootfs(), "/", "--proc", "/proc", "--dev", "/dev", "/bin/true",
		}
		all = append(all, contender{"bwrap", func(ctx context.Context) (sample, error) { return timed(ctx, argv) }})
	}
	return all, nil
}

// enterOCIRunMany: the same, eight at a time; the figure is the time per container.
func enterOCIRunMany(_ context.Context, b *bench) ([]contender, error) {
	const width = 8
	var all []contender
	for _, r := range b.runtimes("oci-run-8") {
		var bundles [width]string
		for i := range bundles {
			var err error
			if bundles[i], err = b.ociBundle("run8", fmt.Sprintf("%s-%d", r.name, i), "/bin/true"); err != nil {
				return nil, err
			}
		}
		next := ids("many")
		all = append(all, contender{r.name, func(ctx context.Context) (sample, error) {
			before, cpu := processes(), cpuOfChildren()
			errs := make(chan error, width)
			start := time.Now()
			for i := range width {
				argv := r.args("run", "--bundle", bundles[i], next())
				go func() { errs <- command(ctx, argv...) }()
			}
			var first error
			for range width {
				if err := <-errs; err != nil {
					first = err
				}
			}
			wall := time.Since(start)
			quiesce(before)
			return sample{value: float64(wall) / float64(time.Millisecond) / width, cpu: (cpuOfChildren() - cpu) / width}, first
		}})
	}
	return all, nil
}

// enterOCIExec: `exec /bin/true` in a running container.
func enterOCIExec(ctx context.Context, b *bench) ([]contender, error) {
	var all []contender
	for _, r := range b.runtimes("oci-exec") {
		bundle, err := b.ociBundle("exec", r.name, "/bin/sleep", "86400")
		if err != nil {
			return nil, err
		}
		if err := command(ctx, r.args("run", "--detach", "--bundle", bundle, "held")...); err != nil {
			b.skip("oci-exec", r.name, err.Error())
			continue
		}
		b.later(func() { command(context.Background(), r.args("delete", "--force", "held")...) })
		all = append(all, contender{r.name, func(ctx context.Context) (sample, error) {
			return timed(ctx, r.args("exec", "held", "/bin/true"))
		}})
	}
	return all, nil
}

// enterOCILife: create, start and delete --force of a container that sleeps.
func enterOCILife(_ context.Context, b *bench) ([]contender, error) {
	var all []contender
	for _, r := range b.runtimes("oci-life") {
		bundle, err := b.ociBundle("life", r.name, "/bin/sleep", "86400")
		if err != nil {
			return nil, err
		}
		next := ids("life")
		all = append(all, contender{r.name, func(ctx context.Context) (sample, error) {
			id := next()
			return timed(ctx, r.args("create", "--bundle", bundle, id), r.args("start", id), r.args("delete", "--force", id))
		}})
	}
	return all, nil
}
