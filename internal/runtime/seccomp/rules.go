package seccomp

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Return values of a filter that golang.org/x/sys/unix doesn't have (linux/seccomp.h).
const (
	retKillProcess = 0x80000000
	retKillThread  = 0x00000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retNotify      = 0x7fc00000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000
)

const (
	maxArgs   = 6
	numEnosys = uint(unix.ENOSYS)
)

// cond compares one argument. For opMasked, mask is applied to the argument first.
type cond struct {
	arg   uint
	op    specs.LinuxSeccompOperator
	value uint64
	mask  uint64
	runs  []run // of opAmong: the low halves that match
}

// rule gives its verdict where all its conditions hold.
type rule struct {
	conds []cond
	ret   uint32
}

// ruleSet has the rules of one ABI, by system call.
type ruleSet struct {
	arch  *arch
	rules map[uint32][]rule // one rule without conditions, or several with some
	// last is the highest number that the profile names, skipped rules included; 0 if it names none.
	last uint32
}

// policy is a checked profile.
type policy struct {
	ret    uint32 // of what no rule matches
	enosys bool   // numbers above ruleSet.last get ENOSYS
	flags  uint
	notify bool
	sets   []*ruleSet // the native ABI first
	warn   []string
	// leftOut: see Program
	leftOut []string
}

// newPolicy checks a profile and sorts its rules by ABI and number.
func newPolicy(sc *specs.LinuxSeccomp, m machine) (*policy, error) {
	ret, err := verdict(sc.DefaultAction, sc.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	if ret == retNotify {
		return nil, fmt.Errorf("SCMP_ACT_NOTIFY cannot be used as default action")
	}
	p := &policy{ret: ret, enosys: wantsEnosys(sc, ret)}
	if err := p.addArchs(sc.Architectures, m); err != nil {
		return nil, err
	}
	unknown := map[string]bool{}
	for i := range sc.Syscalls {
		if err := p.addCall(&sc.Syscalls[i], unknown); err != nil {
			return nil, err
		}
	}
	if p.notify && sc.ListenerPath == "" {
		return nil, fmt.Errorf("SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath")
	}
	return p, p.addFlags(sc.Flags)
}

// wantsEnosys: a permissive default has nothing to soften, and a default of ENOSYS needs no help (runc's rule).
func wantsEnosys(sc *specs.LinuxSeccomp, ret uint32) bool {
	switch ret &^ 0xffff {
	case retAllow, retLog, retTrace:
		return false
	}
	return sc.DefaultErrnoRet == nil || *sc.DefaultErrnoRet != numEnosys
}

// addArchs: the native ABI is in the filter whether it is listed or not.
func (p *policy) addArchs(names []specs.Arch, m machine) error {
	wanted := map[specs.Arch]bool{m[0].name: true}
	for _, name := range names {
		if !knownArch(name) {
			return fmt.Errorf("architecture %q is not known", name)
		}
		wanted[name] = true
		if m.find(name) == nil {
			p.leftOut = append(p.leftOut, string(name))
		}
	}
	for _, a := range m {
		if wanted[a.name] {
			p.sets = append(p.sets, &ruleSet{arch: a, rules: map[uint32][]rule{}})
		}
	}
	return nil
}

// addFlags: without a list runc sets SPEC_ALLOW, with an empty one nothing. TSYNC means nothing in a process
// with one thread.
func (p *policy) addFlags(flags []specs.LinuxSeccompFlag) error {
	if flags == nil {
		p.flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for _, f := range flags {
		switch f {
		case "SECCOMP_FILTER_FLAG_TSYNC":
		case specs.LinuxSeccompFlagLog:
			p.flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			p.flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			if p.notify { // the kernel refuses it without a listener
				p.flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
				continue
			}
			p.warn = append(p.warn, "flag "+string(f)+" is left out, for no rule notifies")
		default:
			return fmt.Errorf("flag %q is not known", f)
		}
	}
	if p.notify {
		p.flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	return nil
}

// addCall adds one entry of the profile: some names, one action, conditions.
func (p *policy) addCall(c *specs.LinuxSyscall, unknown map[string]bool) error {
	ret, err := verdict(c.Action, c.ErrnoRet)
	if err != nil {
		return err
	}
	alternatives, err := conditions(c.Args)
	if err != nil {
		return fmt.Errorf("system call %v: %w", c.Names, err)
	}
	for _, name := range c.Names {
		if name == "" {
			return fmt.Errorf("a system call has no name")
		}
		if ret == retNotify {
			// The descriptor of the listener leaves the container by a call made under the filter.
			if name == "write" {
				return fmt.Errorf("SCMP_ACT_NOTIFY cannot be used for the write syscall")
			}
			p.notify = true
		}
		if !knownName(name) && !unknown[name] {
			unknown[name] = true
			p.leftOut = append(p.leftOut, name)
		}
		for _, s := range p.sets {
			s.add(name, alternatives, ret, ret == p.ret)
		}
	}
	return nil
}

// add gives a call its rules on one ABI. skip: only its number is noted.
func (s *ruleSet) add(name string, alternatives [][]cond, ret uint32, skip bool) {
	muxNr, choice, muxed := uint32(0), uint32(0), false
	if s.arch.muxed {
		muxNr, choice, muxed = muxNumber(name)
	}
	if nr, ok := s.arch.number(name); ok {
		// libseccomp knows the calls that have two ways by a number of its own, which is not the highest.
		if !muxed {
			s.last = max(s.last, nr)
		}
		if !skip {
			s.addRules(nr, alternatives, ret)
		}
	}
	if muxed && !skip {
		s.addRules(muxNr, multiplexed(alternatives, choice), ret)
	}
}

// addRules keeps the invariant of ruleSet.rules: a rule without conditions stands alone.
func (s *ruleSet) addRules(nr uint32, alternatives [][]cond, ret uint32) {
	old := s.rules[nr]
	if len(old) == 1 && len(old[0].conds) == 0 {
		return
	}
	if len(alternatives) == 0 {
		s.rules[nr] = []rule{{ret: ret}}
		return
	}
	for _, conds := range alternatives {
		old = append(old, rule{conds, ret})
	}
	s.rules[nr] = old
}

// multiplexed turns conditions on a call into those on the multiplexer: its first argument is the choice. The
// others are compared as they stand, as libseccomp does, although they are behind a pointer then.
func multiplexed(alternatives [][]cond, choice uint32) [][]cond {
	chosen := cond{arg: 0, op: specs.OpEqualTo, value: uint64(choice)}
	if len(alternatives) == 0 {
		return [][]cond{{chosen}}
	}
	out := make([][]cond, len(alternatives))
	for i, conds := range alternatives {
		out[i] = []cond{chosen}
		for _, c := range conds {
			if c.arg != 0 {
				out[i] = append(out[i], c)
			}
		}
	}
	return out
}

// verdict turns an action into a filter's return value.
func verdict(action specs.LinuxSeccompAction, errno *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errno != nil {
		if *errno > 0xffff {
			return 0, fmt.Errorf("errnoRet %d is above 65535", *errno)
		}
		data = uint32(*errno)
	}
	switch action {
	case specs.ActKill, specs.ActKillThread:
		return retKillThread, nil
	case specs.ActKillProcess:
		return retKillProcess, nil
	case specs.ActTrap:
		return retTrap, nil
	case specs.ActErrno:
		return retErrno | data, nil
	case specs.ActTrace:
		return retTrace | data, nil
	case specs.ActAllow:
		return retAllow, nil
	case specs.ActLog:
		return retLog, nil
	case specs.ActNotify:
		return retNotify, nil
	}
	return 0, fmt.Errorf("action %q is not known", action)
}

// conditions gives the alternatives that a rule's arguments mean: one list of conditions that must all hold, or,
// where an argument occurs twice, one list for each condition. None for a rule without arguments.
func conditions(args []specs.LinuxSeccompArg) ([][]cond, error) {
	var all []cond
	var count [maxArgs]int
	twice := false
	for _, a := range args {
		if a.Index >= maxArgs {
			return nil, fmt.Errorf("argument index %d is above %d", a.Index, maxArgs-1)
		}
		count[a.Index]++
		twice = twice || count[a.Index] > 1
		c := cond{arg: a.Index, op: a.Op, value: a.Value}
		switch a.Op {
		case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan:
		case specs.OpMaskedEqual:
			c.mask, c.value = a.Value, a.ValueTwo&a.Value
		default:
			return nil, fmt.Errorf("operator %q is not known", a.Op)
		}
		all = append(all, c)
	}
	switch {
	case len(all) == 0:
		return nil, nil
	case !twice:
		return [][]cond{all}, nil
	}
	var out [][]cond
	for i := range all {
		out = append(out, all[i:i+1])
	}
	return out, nil
}
