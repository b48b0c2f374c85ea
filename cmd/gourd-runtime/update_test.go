package main

import (
	"math"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestLimits(t *testing.T) {
	f := newFlags("update")
	l := defineLimits(f)
	if err := f.Parse([]string{
		"--memory", "1g", "--memory-swap", "-1", "--cpu-quota=-1", "--cpu-period", "100000", "--cpu-burst", "0",
		"--cpuset-cpus", "0-1", "--pids-limit", "20", "--blkio-weight", "500", "--cpu-idle", "1",
	}); err != nil {
		t.Fatal(err)
	}
	r := new(specs.LinuxResources)
	if err := l.fill(f, r); err != nil {
		t.Fatal(err)
	}
	if *r.Memory.Limit != 1<<30 || *r.Memory.Swap != -1 || r.Memory.Reservation != nil || *r.CPU.Quota != -1 || *r.CPU.Period != 100000 ||
		*r.CPU.Burst != 0 || r.CPU.Shares != nil || *r.CPU.Idle != 1 || r.CPU.Cpus != "0-1" || *r.Pids.Limit != 20 || *r.BlockIO.Weight != 500 {
		t.Errorf("%+v %+v", r, r.CPU)
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int64
		ok         bool
	}{
		{"memory", "100", 100, true},
		{"memory", "100b", 100, true},
		{"memory", "2K", 2048, true},
		{"memory", "1t", 1 << 40, true},
		{"memory", "-1", -1, true},
		{"memory", "", 0, false},
		{"memory", "m", 0, false},
		{"memory", "1.5g", 0, false},
		{"memory", "9223372036854775807g", 0, false},
		{"memory", "9223372036854775807", math.MaxInt64, true},
		{"cpu-quota", "1k", 0, false},
	} {
		got, err := number(c.name, c.text)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%s %q: %d %v", c.name, c.text, got, err)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{"9": 9, "KILL": 9, "SIGKILL": 9, "sigkill": 9, "term": 15, "0": 0, "64": 64} {
		if got, err := parseSignal(text); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "65", "NOTHING", "SIG"} {
		if got, err := parseSignal(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestParse: flags on both sides of the arguments, and none after "--".
func TestParse(t *testing.T) {
	for _, c := range []struct {
		args  []string
		want  int
		force bool
		fails bool
	}{
		{[]string{"a"}, 1, false, false},
		{[]string{"-f", "a"}, 1, true, false},
		{[]string{"a", "--force"}, 1, true, false},
		{[]string{"--force=false", "a"}, 1, false, false},
		{[]string{"--", "-f"}, 1, false, false},
		{[]string{"a", "--", "-f"}, 2, false, true},
		{[]string{}, 0, false, true},
		{[]string{"a", "b"}, 2, false, true},
		{[]string{"a", "-x"}, 1, false, true},
	} {
		call := &call{verb: verb{name: "delete"}, args: c.args}
		var force bool
		both(call.set().BoolVar, &force, "force", "f", false, "")
		args, err := call.parse(1, 1)
		if (err != nil) != c.fails || !c.fails && (len(args) != c.want || force != c.force) {
			t.Errorf("%q: %q force %v: %v", c.args, args, force, err)
		}
	}
}
