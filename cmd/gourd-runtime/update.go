package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
)

func update(c *call) (int, error) {
	f := c.set()
	var file string
	both(f.StringVar, &file, "resources", "r", "", "file with linux.resources in JSON, - for stdin; the other flags are not looked at then")
	u := defineLimits(f)
	args, err := c.parse(1, 1)
	if err != nil {
		return 0, err
	}
	r := new(specs.LinuxResources)
	if file != "" {
		err = readResources(file, r)
	} else {
		err = u.fill(f, r)
	}
	if err != nil {
		return 0, err
	}
	warnings, err := c.store().Update(args[0], r)
	c.log.warn(warnings)
	return 0, err
}

func readResources(file string, r *specs.LinuxResources) error {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return &container.Error{Verb: "read resources", Object: file, Cause: err}
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return container.Invalid("read resources", file, err, "it takes linux.resources of the OCI specification")
	}
	return nil
}

// limits are the flags of update. All values are text, so that one that isn't given differs from 0.
type limits map[string]*string

// signed are flags whose value may be -1, for no limit.
var signed = map[string]func(r *specs.LinuxResources) **int64{
	"cpu-quota":          func(r *specs.LinuxResources) **int64 { return &cpu(r).Quota },
	"cpu-rt-runtime":     func(r *specs.LinuxResources) **int64 { return &cpu(r).RealtimeRuntime },
	"cpu-idle":           func(r *specs.LinuxResources) **int64 { return &cpu(r).Idle },
	"memory":             func(r *specs.LinuxResources) **int64 { return &memory(r).Limit },
	"memory-reservation": func(r *specs.LinuxResources) **int64 { return &memory(r).Reservation },
	"memory-swap":        func(r *specs.LinuxResources) **int64 { return &memory(r).Swap },
}

var unsigned = map[string]func(r *specs.LinuxResources) **uint64{
	"cpu-period":    func(r *specs.LinuxResources) **uint64 { return &cpu(r).Period },
	"cpu-burst":     func(r *specs.LinuxResources) **uint64 { return &cpu(r).Burst },
	"cpu-share":     func(r *specs.LinuxResources) **uint64 { return &cpu(r).Shares },
	"cpu-rt-period": func(r *specs.LinuxResources) **uint64 { return &cpu(r).RealtimePeriod },
}

// others are flags of runc's with values of their own kind.
var others = []string{"cpuset-cpus", "cpuset-mems", "blkio-weight", "pids-limit"}

// units are flags that take sizes such as 512m.
var units = map[string]bool{"memory": true, "memory-reservation": true, "memory-swap": true}

func cpu(r *specs.LinuxResources) *specs.LinuxCPU {
	if r.CPU == nil {
		r.CPU = new(specs.LinuxCPU)
	}
	return r.CPU
}

func memory(r *specs.LinuxResources) *specs.LinuxMemory {
	if r.Memory == nil {
		r.Memory = new(specs.LinuxMemory)
	}
	return r.Memory
}

func defineLimits(f *flag.FlagSet) limits {
	l := limits{}
	for name := range signed {
		l[name] = f.String(name, "", "limit, -1 for none")
	}
	for name := range unsigned {
		l[name] = f.String(name, "", "limit")
	}
	for _, name := range others {
		l[name] = f.String(name, "", "limit")
	}
	return l
}

// fill writes the given flags into resources.
func (l limits) fill(f *flag.FlagSet, r *specs.LinuxResources) error {
	var err error
	f.Visit(func(fl *flag.Flag) {
		if _, ours := l[fl.Name]; ours && err == nil {
			if e := l.set(fl.Name, *l[fl.Name], r); e != nil {
				err = container.Invalid("use", "--"+fl.Name, e, "")
			}
		}
	})
	return err
}

func (l limits) set(name, text string, r *specs.LinuxResources) error {
	if field, ok := signed[name]; ok {
		n, err := number(name, text)
		*field(r) = &n
		return err
	}
	if field, ok := unsigned[name]; ok {
		n, err := strconv.ParseUint(text, 10, 64)
		*field(r) = &n
		return err
	}
	switch name {
	case "cpuset-cpus":
		cpu(r).Cpus = text
	case "cpuset-mems":
		cpu(r).Mems = text
	case "pids-limit":
		n, err := strconv.ParseInt(text, 10, 64)
		r.Pids = &specs.LinuxPids{Limit: &n}
		return err
	case "blkio-weight":
		n, err := strconv.ParseUint(text, 10, 16)
		weight := uint16(n)
		r.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
		return err
	}
	return nil
}

// number reads an integer; for sizes with a unit of 1024: b, k, m, g, t.
func number(name, text string) (int64, error) {
	shift := 0
	if units[name] && len(text) > 1 {
		switch text[len(text)-1] | 0x20 {
		case 'b':
			text = text[:len(text)-1]
		case 'k':
			shift, text = 10, text[:len(text)-1]
		case 'm':
			shift, text = 20, text[:len(text)-1]
		case 'g':
			shift, text = 30, text[:len(text)-1]
		case 't':
			shift, text = 40, text[:len(text)-1]
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	if n<<shift>>shift != n {
		return 0, fmt.Errorf("%s is too large", text)
	}
	return n << shift, nil
}
