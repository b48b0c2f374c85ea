package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// holds is what the package comment says a condition means, on whole numbers.
func holds(c specs.LinuxSeccompArg, args [6]uint64, wide bool) bool {
	arg, value, two := args[c.Index], c.Value, c.ValueTwo
	if !wide {
		arg, value, two = uint64(uint32(arg)), uint64(uint32(value)), uint64(uint32(two))
	}
	switch c.Op {
	case specs.OpNotEqual:
		return arg != value
	case specs.OpLessThan:
		return arg < value
	case specs.OpLessEqual:
		return arg <= value
	case specs.OpEqualTo:
		return arg == value
	case specs.OpGreaterEqual:
		return arg >= value
	case specs.OpGreaterThan:
		return arg > value
	}
	return arg&value == two&value
}

// TestReference runs random profiles of one call, with contradicting and overlapping rules, against the plain
// meaning of the words: the first unconditional rule, else the first that holds, else the default.
func TestReference(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 3000 {
		sc := &specs.LinuxSeccomp{DefaultAction: randomActions[r.IntN(len(randomActions))], Architectures: []specs.Arch{specs.ArchX32}}
		var values []uint64
		similar, action := r.IntN(3) == 0, randomActions[r.IntN(len(randomActions))] // rules that merge
		for range 1 + r.IntN(12) {
			c := specs.LinuxSyscall{Names: []string{"ioctl"}, Action: randomActions[r.IntN(len(randomActions))]}
			if similar && r.IntN(8) > 0 {
				c.Action = action
			}
			indexes := r.Perm(6)
			for i := range r.IntN(4) {
				a := randomArg(r)
				a.Index = uint(indexes[i])
				if similar {
					a = specs.LinuxSeccompArg{Index: uint(i), Op: specs.OpEqualTo, Value: uint64(r.IntN(8)) + uint64(r.IntN(2))<<32}
				}
				values = append(values, a.Value, a.ValueTwo)
				c.Args = append(c.Args, a)
			}
			sc.Syscalls = append(sc.Syscalls, c)
		}
		p, err := compile(sc, amd64Machine)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, 0, 1)
		for range 200 {
			var args [6]uint64
			for i := range args {
				args[i] = values[r.IntN(len(values))] + uint64(r.IntN(3)) - 1
			}
			for _, abi := range []struct {
				nr   uint32
				wide bool
			}{{16, true}, {x32Bit | 514, false}} {
				want := expected(sc, args, abi.wide)
				if got := mustRun(t, p.Filter, &data{nr: abi.nr, arch: unix.AUDIT_ARCH_X86_64, args: args}); got != want {
					t.Fatalf("%+v with %#x (wide %v): got %#x, want %#x", sc.Syscalls, args, abi.wide, got, want)
				}
			}
		}
	}
}

func expected(sc *specs.LinuxSeccomp, args [6]uint64, wide bool) uint32 {
	def, _ := verdict(sc.DefaultAction, nil)
	first, always := def, def // the first conditional rule that holds, the first unconditional one
	for _, c := range sc.Syscalls {
		ret, _ := verdict(c.Action, nil)
		match := true
		for _, a := range c.Args {
			match = match && holds(a, args, wide)
		}
		switch {
		case len(c.Args) == 0 && always == def:
			always = ret
		case match && first == def:
			first = ret
		}
	}
	if always != def {
		return always
	}
	return first
}

// TestEnosys: numbers above the profile's highest get ENOSYS, the rest as without.
func TestEnosys(t *testing.T) {
	const nosys = retErrno | uint32(unix.ENOSYS)
	eperm := uint32(retErrno | 1)
	all := []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
	rule := []specs.LinuxSyscall{{Names: []string{"read", "statx", "nosuchcall"}, Action: specs.ActAllow}}
	errnoNosys := uint(unix.ENOSYS)
	for _, c := range []struct {
		name  string
		sc    specs.LinuxSeccomp
		nr    uint32
		audit uint32
		want  uint32
	}{
		{"last", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rule}, 332, unix.AUDIT_ARCH_X86_64, retAllow},
		{"below", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rule}, 331, unix.AUDIT_ARCH_X86_64, eperm},
		{"above", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rule}, 333, unix.AUDIT_ARCH_X86_64, nosys},
		{"kill default", specs.LinuxSeccomp{DefaultAction: specs.ActKill, Syscalls: rule}, 999, unix.AUDIT_ARCH_X86_64, nosys},
		{"permissive default", specs.LinuxSeccomp{DefaultAction: specs.ActLog, Syscalls: []specs.LinuxSyscall{{Names: []string{"statx"}, Action: specs.ActErrno}}}, 999, unix.AUDIT_ARCH_X86_64, retLog},
		{"default is ENOSYS", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: &errnoNosys, Syscalls: rule}, 999, unix.AUDIT_ARCH_X86_64, nosys},
		{"no rules", specs.LinuxSeccomp{DefaultAction: specs.ActErrno}, 999, unix.AUDIT_ARCH_X86_64, eperm},
		{"skipped rules count", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: append(rule, specs.LinuxSyscall{Names: []string{"clone3"}, Action: specs.ActErrno})}, 400, unix.AUDIT_ARCH_X86_64, eperm},
		{"x32 not in the filter", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rule}, x32Bit | 999, unix.AUDIT_ARCH_X86_64, retKillThread},
		{"x32 above", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: all, Syscalls: rule}, x32Bit | 999, unix.AUDIT_ARCH_X86_64, nosys},
		{"x32 last", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: all, Syscalls: rule}, x32Bit | 332, unix.AUDIT_ARCH_X86_64, retAllow},
		{"x32 cancelled", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rule}, 0xffffffff, unix.AUDIT_ARCH_X86_64, eperm},
		{"x86 above", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: all, Syscalls: rule}, 384, unix.AUDIT_ARCH_I386, nosys},
		{"x86 last", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: all, Syscalls: rule}, 383, unix.AUDIT_ARCH_I386, retAllow},
		{"x86 not in the filter", specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: rule}, 3, unix.AUDIT_ARCH_I386, retKillThread},
	} {
		p, err := compile(&c.sc, amd64Machine)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := mustRun(t, p.Filter, &data{nr: c.nr, arch: c.audit}); got != c.want {
			t.Errorf("%s: call %d gets %#x, want %#x", c.name, c.nr, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{`, "unexpected end"},
		{`{"defaultAction":"SCMP_ACT_NONE"}`, `action "SCMP_ACT_NONE" is not known`},
		{`{"defaultAction":"SCMP_ACT_NOTIFY"}`, "SCMP_ACT_NOTIFY cannot be used as default action"},
		{`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]}`, `architecture "SCMP_ARCH_VAX" is not known`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}`, `flag "X" is not known`},
		{`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":65536}`, "errnoRet 65536 is above 65535"},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"X"}]}`, `action "X" is not known`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[""],"action":"SCMP_ACT_ERRNO"}]}`, "a system call has no name"},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}`, "argument index 6 is above 5"},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":1,"op":"="}]}]}`, `operator "=" is not known`},
		{`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/s","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}`, "SCMP_ACT_NOTIFY cannot be used for the write syscall"},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}`, "needs linux.seccomp.listenerPath"},
	} {
		_, err := Compile(json.RawMessage(c.text), "")
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%s: %v, want %q and ErrInvalid", c.text, err, c.want)
		}
	}
}

func TestTooLong(t *testing.T) {
	sc := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	for i := range 5000 {
		sc.Syscalls = append(sc.Syscalls, specs.LinuxSyscall{
			Names: []string{"read"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 0, Op: specs.OpEqualTo, Value: uint64(2 * i)}},
		})
	}
	if _, err := compile(sc, amd64Machine); err == nil || !strings.Contains(err.Error(), "the kernel takes 1 to 4096") {
		t.Errorf("got %v", err)
	}
}

func TestFlags(t *testing.T) {
	const notify = `"listenerPath":"/s","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]`
	for _, c := range []struct {
		text     string
		flags    uint
		listener bool
		warnings int
		leftOut  int
	}{
		{`{"defaultAction":"SCMP_ACT_ALLOW"}`, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, false, 0, 0},
		{`{"defaultAction":"SCMP_ACT_ALLOW","flags":[]}`, 0, false, 0, 0},
		{`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG"]}`, unix.SECCOMP_FILTER_FLAG_LOG, false, 0, 0},
		{`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}`, 0, false, 1, 0},
		{`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],` + notify + `}`, 40, true, 0, 0},
		{`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_MIPS"],"flags":[],"syscalls":[{"names":["nosuch","nosuch"],"action":"SCMP_ACT_ERRNO"}]}`, 0, false, 0, 2},
	} {
		p, err := Compile(json.RawMessage(c.text), "")
		if err != nil {
			t.Fatal(err)
		}
		if p.Flags != c.flags || p.ListenerNeeded != c.listener || len(p.Warnings) != c.warnings || len(p.LeftOut) != c.leftOut {
			t.Errorf("%s: flags %d listener %v warnings %q left out %q", c.text, p.Flags, p.ListenerNeeded, p.Warnings, p.LeftOut)
		}
	}
}

func TestNothing(t *testing.T) {
	for _, text := range []string{"", "null", " {} "} {
		p, err := Compile(json.RawMessage(text), t.TempDir())
		if err != nil || len(p.Filter) != 0 {
			t.Errorf("%q: %+v %v", text, p, err)
		}
	}
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cache")
	text := json.RawMessage(`{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/s","syscalls":[{"names":["read","nosuch"],"action":"SCMP_ACT_ALLOW"},{"names":["open"],"action":"SCMP_ACT_NOTIFY"}]}`)
	same := func(what string) {
		t.Helper()
		want, err := Compile(text, "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := Compile(text, dir)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if !slices.Equal(got.Filter, want.Filter) || got.Flags != want.Flags || got.ListenerNeeded != want.ListenerNeeded || !slices.Equal(got.Warnings, want.Warnings) || !slices.Equal(got.LeftOut, want.LeftOut) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	same("first")
	c := openCache(dir, text)
	path := filepath.Join(dir, c.name)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("nothing kept: %v", err)
	}
	if c.load() == nil {
		t.Fatal("entry not used")
	}
	for name, bad := range map[string][]byte{"empty": {}, "short": good[:20], "cut": good[:len(good)-8], "flipped": flip(good, len(good)-3), "sum": flip(good, 0)} {
		os.WriteFile(path, bad, 0o600)
		if c.load() != nil {
			t.Errorf("%s entry used", name)
		}
		same(name)
		if b, _ := os.ReadFile(path); !slices.Equal(b, good) {
			t.Errorf("%s entry not rewritten", name)
		}
	}
	os.Chmod(path, 0o666)
	if c.load() != nil {
		t.Error("entry that others can write used")
	}
	os.Remove(path)
	os.Symlink("/etc/passwd", path)
	same("symlink")
	if left, _ := filepath.Glob(filepath.Join(dir, "new-*")); left != nil {
		t.Errorf("left: %v", left)
	}
}

func flip(b []byte, at int) []byte {
	b = slices.Clone(b)
	b[at] ^= 1
	return b
}

func TestCachePrune(t *testing.T) {
	dir := t.TempDir()
	for i := range maxEntries + 1 {
		os.WriteFile(filepath.Join(dir, fmt.Sprint(i, cacheSuffix)), nil, 0o600)
	}
	if _, err := Compile(json.RawMessage(`{"defaultAction":"SCMP_ACT_ALLOW"}`), dir); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) > maxEntries {
		t.Errorf("%d entries left", len(entries))
	}
}

// FuzzCompile: no text makes the compiler panic, and what it makes is a program that the kernel would take and that
// always ends in a return.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[{"names":["read","socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":4294967296,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}`), uint32(0), uint64(0))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","flags":[],"syscalls":[{"names":["semop"],"action":"SCMP_ACT_TRACE","errnoRet":7}]}`), uint32(117), uint64(1))
	f.Fuzz(func(t *testing.T, text []byte, nr uint32, arg uint64) {
		for _, m := range []machine{amd64Machine, arm64Machine} {
			sc := new(specs.LinuxSeccomp)
			if json.Unmarshal(text, sc) != nil {
				return
			}
			p, err := compile(sc, m)
			if err != nil || len(p.Filter) == 0 {
				continue
			}
			if err := verify(p.Filter); err != nil {
				t.Fatal(err)
			}
			for _, a := range m {
				if _, err := interpret(p.Filter, &data{nr: nr, arch: a.audit, args: [6]uint64{arg, arg, arg, arg, arg, arg}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzDecode: a damaged cache entry is refused, never followed.
func FuzzDecode(f *testing.F) {
	f.Add(encode(&Program{Filter: []unix.SockFilter{ret(retAllow)}, Flags: 4, Warnings: []string{"x"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p := decode(b); p != nil && len(p.Filter) > 0 && verify(p.Filter) != nil {
			t.Fatal("decoded a program that does not verify")
		}
	})
}

// bigText is a profile of the size that engines pass.
func bigText(b *testing.B) json.RawMessage {
	sc := specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}}
	for i, name := range allNames() {
		if i%7 != 0 {
			sc.Syscalls = append(sc.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow})
		}
	}
	text, err := json.Marshal(sc)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func BenchmarkCompile(b *testing.B) {
	text := bigText(b)
	b.Run("fresh", func(b *testing.B) {
		for b.Loop() {
			if _, err := Compile(text, ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		dir := b.TempDir()
		for b.Loop() {
			if _, err := Compile(text, dir); err != nil {
				b.Fatal(err)
			}
		}
	})
}
