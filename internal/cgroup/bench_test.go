package cgroup

import (
	"context"
	"fmt"
	"testing"

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

// BenchmarkCreate is what starting a container pays: directories, limits, device rules, join files.
func BenchmarkCreate(b *testing.B) {
	needRoot(b)
	keep := newGroup(b, "keep", nil) // so that the parent stays, as on a machine with containers
	_ = keep
	r := fullBundle()
	for i := 0; b.Loop(); i++ {
		g, err := Create(Options{Path: fmt.Sprintf("%s/bench-%d", parent, i), Resources: r})
		if err != nil {
			b.Fatal(err)
		}
		files, err := g.JoinFiles()
		g.Dir()
		b.StopTimer()
		closeAll(files)
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Delete(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkDelete(b *testing.B) {
	needRoot(b)
	newGroup(b, "keep", nil)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		g, err := Create(Options{Path: fmt.Sprintf("%s/bench-%d", parent, i)})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := g.Delete(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJoinSelfAgain(b *testing.B) {
	needRoot(b)
	own := Own("pids")
	if own == "/" {
		b.Skip("this process is in the root")
	}
	for b.Loop() {
		if err := JoinSelf(own); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStats(b *testing.B) {
	g := newGroup(b, "stats", nil)
	for b.Loop() {
		if _, err := g.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}
