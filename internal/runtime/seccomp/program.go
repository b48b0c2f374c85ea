package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (linux/seccomp.h). Arguments are little-endian on all machines of gourd's.
const (
	offNr   = 0
	offArch = 4
	offArgs = 16
)

// code is a piece of a program that enters at its first instruction and never leaves but by a return. All its
// jumps are relative, so pieces are put together by appending.
type code []unix.SockFilter

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(value uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value}
}

func jump(test uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, Jt: yes, Jf: no, K: k}
}

// branch runs yes where the accumulator passes the test, else no.
func branch(test uint16, k uint32, yes, no code) code {
	out := make(code, 0, len(yes)+len(no)+2)
	if len(no) <= 0xff {
		out = append(out, jump(test, k, uint8(len(no)), 0))
	} else { // conditional jumps reach 255 instructions, an unconditional one any
		out = append(out, jump(test, k, 0, 1), jump(unix.BPF_JA, uint32(len(no)), 0, 0))
	}
	return append(append(out, no...), yes...)
}

// build makes the program of a policy.
func (p *policy) build() code {
	var sections []*ruleSet // one per audit architecture; x32 is a part of x86_64's
	var second *ruleSet
	for _, s := range p.sets {
		if s.arch == x32 {
			second = s
			continue
		}
		sections = append(sections, s)
	}
	program := code{ret(retKillThread)} // libseccomp's default for architectures outside the filter
	for _, s := range slices.Backward(sections) {
		body := append(code{load(offNr)}, search(p.section(s, second))...)
		program = branch(unix.BPF_JEQ, s.arch.audit, body, program)
	}
	return append(code{load(offArch)}, program...)
}

// span says what happens to the numbers from first up to the next span's first.
type span struct {
	first uint32
	then  code
}

// section divides the whole range of numbers of one audit architecture.
func (p *policy) section(s, second *ruleSet) []span {
	spans := p.numbers(s, 0)
	if s.arch == x86_64 {
		spans = append(spans, p.highNumbers(s, second)...)
	}
	// Neighbours with the same verdict become one.
	merged := spans[:1]
	for _, sp := range spans[1:] {
		if !slices.Equal(sp.then, merged[len(merged)-1].then) {
			merged = append(merged, sp)
		}
	}
	return merged
}

// numbers are the spans of the calls of one ABI, from first on.
func (p *policy) numbers(s *ruleSet, first uint32) []span {
	nrs := make([]uint32, 0, len(s.rules))
	for nr := range s.rules {
		nrs = append(nrs, nr)
	}
	slices.Sort(nrs)
	usual := code{ret(p.ret)}
	spans := make([]span, 0, 2*len(nrs)+2)
	next := first
	for _, nr := range nrs {
		if nr > next {
			spans = append(spans, span{next, usual})
		}
		spans = append(spans, span{nr, p.verdicts(s.rules[nr], s.arch.wide)})
		next = nr + 1
	}
	if !p.enosys || s.last == 0 {
		return append(spans, span{next, usual})
	}
	if next <= s.last {
		spans = append(spans, span{next, usual})
	}
	return append(spans, span{s.last + 1, code{ret(retErrno | uint32(unix.ENOSYS))}})
}

// highNumbers are the numbers of x86_64 from the x32 bit on, with the x32 ABI in the filter (second) or without.
// runc takes bit 30 for the mark of x32, libseccomp any number from it on, but −1 (a call that a tracer
// cancelled) is none where there is no x32. What falls between the two is odd, and kept.
func (p *policy) highNumbers(s, second *ruleSet) []span {
	usual, bad := code{ret(p.ret)}, code{ret(retKillThread)}
	enosys := code{ret(retErrno | uint32(unix.ENOSYS))}
	var spans []span
	rest := bad
	if second != nil {
		spans = p.numbers(second, x32Bit)
		rest = usual
	} else {
		spans = []span{{x32Bit, bad}}
	}
	third := rest // bit 31 without bit 30
	if p.enosys && s.last != 0 {
		third = enosys
	}
	if second != nil && p.enosys && second.last != 0 {
		rest = enosys
	}
	spans = append(spans, span{1 << 31, third}, span{3 << 30, rest})
	if second == nil {
		spans = append(spans, span{0xffffffff, usual})
	}
	return spans
}

// search finds the span of the number in the accumulator by halving.
func search(spans []span) code {
	if len(spans) == 1 {
		return spans[0].then
	}
	half := len(spans) / 2
	return branch(unix.BPF_JGE, spans[half].first, search(spans[half:]), search(spans[:half]))
}

// verdicts tries the rules of one call in turn.
func (p *policy) verdicts(rules []rule, wide bool) code {
	if len(rules[0].conds) == 0 {
		return code{ret(rules[0].ret)}
	}
	var out code
	for _, r := range merge(rules) {
		out = append(out, r.build(wide)...)
	}
	return append(out, ret(p.ret))
}

// Where a jump inside a rule leads, until the rule is complete and distances are known.
const (
	next uint8 = iota // the instruction after it
	pass              // the next condition, after the last one the return
	fail              // the next rule
)

// build compares one condition after the other and returns the rule's verdict if all hold; else it runs off its end.
func (r rule) build(wide bool) code {
	var out code
	ends := make([]int, len(r.conds))
	for i, c := range r.conds {
		out = append(out, c.build(wide)...)
		ends[i] = len(out)
	}
	start := 0
	for _, end := range ends {
		for i := start; i < end; i++ {
			if out[i].Code&0x7 == unix.BPF_JMP {
				out[i].Jt = distance(out[i].Jt, i, end, len(out)+1)
				out[i].Jf = distance(out[i].Jf, i, end, len(out)+1)
			}
		}
		start = end
	}
	return append(out, ret(r.ret))
}

// distance: a rule has at most 6 conditions of 5 instructions or, the last one, of maxRuns runs, so a byte is enough.
func distance(target uint8, at, end, after int) uint8 {
	switch target {
	case pass:
		return uint8(end - at - 1)
	case fail:
		return uint8(after - at - 1)
	}
	return 0
}

// build compares one argument, the high half first: a filter's accumulator has 32 bits.
func (c cond) build(wide bool) code {
	op, high, low := c.op, uint32(c.value>>32), uint32(c.value)
	offset := offArgs + 8*uint32(c.arg)
	loadLow, loadHigh := load(offset), load(offset+4)
	var test uint16 = unix.BPF_JEQ
	yes, no := pass, fail // of a comparison that is decided
	switch op {
	case specs.OpMaskedEqual:
		return c.masked(wide)
	case opAmong:
		return c.among(wide)
	case specs.OpNotEqual:
		yes, no = fail, pass
	case specs.OpGreaterThan:
		test = unix.BPF_JGT
	case specs.OpGreaterEqual:
		test = unix.BPF_JGE
	case specs.OpLessThan: // not greater or equal
		test, yes, no = unix.BPF_JGE, fail, pass
	case specs.OpLessEqual:
		test, yes, no = unix.BPF_JGT, fail, pass
	}
	lowPart := code{loadLow, jump(test, low, yes, no)}
	if !wide {
		return lowPart
	}
	if test == unix.BPF_JEQ {
		return append(code{loadHigh, jump(unix.BPF_JEQ, high, next, no)}, lowPart...)
	}
	return append(code{loadHigh, jump(unix.BPF_JGT, high, yes, next), jump(unix.BPF_JEQ, high, next, no)}, lowPart...)
}

func (c cond) masked(wide bool) code {
	offset := offArgs + 8*uint32(c.arg)
	half := func(offset uint32, mask, value uint32, yes uint8) code {
		out := code{load(offset)}
		if mask != 0xffffffff {
			out = append(out, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
		}
		return append(out, jump(unix.BPF_JEQ, value, yes, fail))
	}
	low := half(offset, uint32(c.mask), uint32(c.value), pass)
	if !wide || c.mask>>32 == 0 {
		return low
	}
	return append(half(offset+4, uint32(c.mask>>32), uint32(c.value>>32), next), low...)
}
