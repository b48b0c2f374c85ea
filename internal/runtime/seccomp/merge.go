package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// opAmong is a comparison of our own: the argument is one of several values that share their high half. Profiles
// list address families, personalities and the like as one rule for each.
const opAmong specs.LinuxSeccompOperator = "among"

// run is a closed range of low halves.
type run struct{ from, to uint32 }

// merge puts neighbouring rules together that differ only in the value of their last condition, an equality.
func merge(rules []rule) []rule {
	var out []rule
	for i := 0; i < len(rules); {
		n := 1
		for i+n < len(rules) && alike(rules[i], rules[i+n]) {
			n++
		}
		if n == 1 {
			out = append(out, rules[i])
		} else {
			out = append(out, among(rules[i:i+n])...)
		}
		i += n
	}
	return out
}

func alike(a, b rule) bool {
	last := len(a.conds) - 1
	if last < 0 || len(b.conds) != len(a.conds) || a.ret != b.ret {
		return false
	}
	x, y := a.conds[last], b.conds[last]
	return x.op == specs.OpEqualTo && y.op == x.op && y.arg == x.arg && y.value>>32 == x.value>>32 &&
		slices.EqualFunc(a.conds[:last], b.conds[:last], func(x, y cond) bool {
			return x.arg == y.arg && x.op == y.op && x.value == y.value && x.mask == y.mask
		})
}

// maxRuns keeps jumps inside a condition below 256 instructions.
const maxRuns = 64

// among makes as few rules as possible of such that are alike.
func among(rules []rule) []rule {
	first := rules[0]
	last := len(first.conds) - 1
	values := make([]uint32, len(rules))
	for i, r := range rules {
		values[i] = uint32(r.conds[last].value)
	}
	slices.Sort(values)
	var runs []run
	for _, v := range values {
		if n := len(runs); n > 0 && v-runs[n-1].to <= 1 {
			runs[n-1].to = v
			continue
		}
		runs = append(runs, run{v, v})
	}
	var out []rule
	for part := range slices.Chunk(runs, maxRuns) {
		conds := slices.Clone(first.conds)
		conds[last].op, conds[last].runs = opAmong, part
		out = append(out, rule{conds, first.ret})
	}
	return out
}

// among compares the argument with ascending runs.
func (c cond) among(wide bool) code {
	offset := offArgs + 8*uint32(c.arg)
	var out code
	if wide {
		out = code{load(offset + 4), jump(unix.BPF_JEQ, uint32(c.value>>32), next, fail)}
	}
	out = append(out, load(offset))
	for i, r := range c.runs {
		other := next
		if i == len(c.runs)-1 {
			other = fail
		}
		if r.from == r.to {
			out = append(out, jump(unix.BPF_JEQ, r.from, pass, other))
			continue
		}
		out = append(out, jump(unix.BPF_JGE, r.from, next, fail), jump(unix.BPF_JGT, r.to, other, pass))
	}
	return out
}
