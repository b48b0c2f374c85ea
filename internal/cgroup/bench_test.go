package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// fullBundle is what docker's default bundle asks of the control groups, with limits.
func fullBundle() *specs.LinuxResources {
	r := &specs.LinuxResources{
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(100000)), Period: ptr(uint64(100000)), Shares: ptr(uint64(1024))},
		Memory: &specs.LinuxMemory{Limit: ptr(int64(256 << 20)), Swap: ptr(int64(512 << 20))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(100))},
	}
	for i := range int64(16) {
		r.Devices = append(r.Devices, specs.LinuxDeviceCgroup{Allow: i > 0, Type: map[bool]string{true: "c", false: "a"}[i > 0], Major: ptr(10 + i), Minor: ptr(i), Access: "rwm"})
	}
	return r
}

// times collects what one step took and reports the least and the median: on a busy machine the mean
// says nothing.
type times []time.Duration

func (t *times) measure(f func()) {
	begin := time.Now()
	f()
	*t = append(*t, time.Since(begin))
}

func (t times) report(b *testing.B, name string) {
	slices.Sort(t)
	b.ReportMetric(float64(t[0].Microseconds()), name+"-min-µs")
	b.ReportMetric(float64(t[len(t)/2].Microseconds()), name+"-p50-µs")
}

// BenchmarkCreate is what starting a container pays: directories, limits, device rules, join files;
// and what ending it pays.
func BenchmarkCreate(b *testing.B) {
	newGroup(b, "keep", nil) // so that the parent stays, as on a machine with containers
	r := fullBundle()
	var create, remove times
	for i := 0; b.Loop(); i++ {
		var g *Group
		var files []*os.File
		var err error
		create.measure(func() {
			if g, err = Create(Options{Path: fmt.Sprintf("%s/bench-%d", parent, i), Resources: r}); err == nil {
				files, err = g.JoinFiles()
				g.Dir()
			}
		})
		closeAll(files)
		if err != nil {
			b.Fatal(err)
		}
		remove.measure(func() { err = g.Delete(context.Background()) })
		if err != nil {
			b.Fatal(err)
		}
	}
	create.report(b, "create")
	remove.report(b, "delete")
}

// BenchmarkStart compares starting a program in a group with just starting it.
func BenchmarkStart(b *testing.B) {
	g := newGroup(b, "start", nil)
	var in, plain times
	for b.Loop() {
		cmd := exec.Command("/bin/true")
		in.measure(func() {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			if err := g.Start(cmd.SysProcAttr, cmd.Start); err != nil {
				b.Fatal(err)
			}
		})
		cmd.Wait()
		cmd = exec.Command("/bin/true")
		plain.measure(func() {
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
		})
		cmd.Wait()
	}
	in.report(b, "in")
	plain.report(b, "plain")
}

func BenchmarkStats(b *testing.B) {
	g := newGroup(b, "stats", nil)
	for b.Loop() {
		if _, err := g.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}
