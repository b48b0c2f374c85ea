package seccomp

import specs "github.com/opencontainers/runtime-spec/specs-go"

// Actions, Operators, Archs and Flags are the names that the compiler knows, for `features`.
func Actions() []string {
	return texts(specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActLog,
		specs.ActNotify, specs.ActTrace, specs.ActTrap)
}

// Operators is described at Actions.
func Operators() []string {
	return texts(specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpLessEqual, specs.OpLessThan,
		specs.OpMaskedEqual, specs.OpNotEqual)
}

// Archs are those that a filter on this machine can hold.
func Archs() []string {
	var names []specs.Arch
	for _, a := range native {
		names = append(names, a.name)
	}
	return texts(names...)
}

// Flags is described at Actions.
func Flags() []string {
	return texts("SECCOMP_FILTER_FLAG_TSYNC", specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagLog,
		specs.LinuxSeccompFlagWaitKillableRecv)
}

func texts[T ~string](names ...T) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}
