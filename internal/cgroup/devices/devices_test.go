package devices

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// run interprets a program as the kernel would, for one access.
func run(t *testing.T, p []insn, kind byte, major, minor int64, a Access) bool {
	t.Helper()
	var reg [7]uint64
	typ := map[byte]uint64{'b': 1, 'c': 2}[kind]
	context := map[int16]uint64{0: uint64(a)<<16 | typ, 4: uint64(major), 8: uint64(minor)}
	for pc := 0; pc < len(p); pc++ {
		i := p[pc]
		dst, src := i.regs&15, i.regs>>4
		switch i.code {
		case loadWord:
			reg[dst] = context[i.off]
		case andImm:
			reg[dst] &= uint64(i.imm)
		case shiftImm:
			reg[dst] >>= uint64(i.imm)
		case moveReg:
			reg[dst] = reg[src]
		case moveImm:
			reg[dst] = uint64(i.imm)
		case jumpEq:
			if reg[dst] == uint64(i.imm) {
				pc += int(i.off)
			}
		case jumpNe:
			if reg[dst] != uint64(i.imm) {
				pc += int(i.off)
			}
		case exit:
			return reg[rResult] != 0
		default:
			t.Fatalf("instruction %#x", i.code)
		}
	}
	t.Fatal("the program has no end")
	return false
}

func TestProgram(t *testing.T) {
	deny := Rule{Major: -1, Minor: -1, Access: anyAccess}
	allow := deny
	allow.Allow = true
	for _, c := range []struct {
		name  string
		rules []Rule
		kind  byte
		major int64
		minor int64
		a     Access
		want  bool
	}{
		{"empty", nil, 'c', 1, 3, read, false},
		{"deny all", []Rule{deny}, 'c', 1, 3, read, false},
		{"allow all", []Rule{deny, allow}, 'b', 1, 3, anyAccess, true},
		{"denied again", []Rule{allow, deny}, 'b', 1, 3, read, false},
		{"one device", []Rule{deny, {true, 'c', 1, 3, read}}, 'c', 1, 3, read, true},
		{"one device, more access", []Rule{deny, {true, 'c', 1, 3, read}}, 'c', 1, 3, read | write, false},
		{"two rules of one device", []Rule{deny, {true, 'c', 1, 3, read}, {true, 'c', 1, 3, write}}, 'c', 1, 3, read | write, true},
		{"other minor", []Rule{deny, {true, 'c', 1, 3, anyAccess}}, 'c', 1, 4, read, false},
		{"other kind", []Rule{deny, {true, 'c', 1, 3, anyAccess}}, 'b', 1, 3, read, false},
		{"all minors", []Rule{deny, {true, 'c', 136, -1, anyAccess}}, 'c', 136, 77, read, true},
		{"a hole", []Rule{deny, {true, 'c', 1, -1, anyAccess}, {false, 'c', 1, 3, write}}, 'c', 1, 3, read | write, false},
		{"beside the hole", []Rule{deny, {true, 'c', 1, -1, anyAccess}, {false, 'c', 1, 3, write}}, 'c', 1, 3, read, true},
		{"all but one", []Rule{allow, {false, 'b', 8, 0, anyAccess}}, 'b', 8, 0, mknod, false},
		{"all but one: another", []Rule{allow, {false, 'b', 8, 0, anyAccess}}, 'b', 8, 1, mknod, true},
		{"the default ones", append([]Rule{deny}, Defaults...), 'c', 1, 5, read | write, true},
		{"the default ones: making any", append([]Rule{deny}, Defaults...), 'b', 200, 5, mknod, true},
		{"the default ones: opening any", append([]Rule{deny}, Defaults...), 'b', 200, 5, read, false},
	} {
		if got := run(t, deviceProgram(c.rules), c.kind, c.major, c.minor, c.a); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAllowsAll(t *testing.T) {
	list := func(allow ...bool) []Rule {
		var l []Rule
		for _, a := range allow {
			l = append(l, Rule{Allow: a, Major: -1, Minor: -1, Access: anyAccess})
		}
		return l
	}
	if !AllowsAll(list(false, true)) || AllowsAll(list(true, false)) || AllowsAll(nil) || AllowsAll(append(list(true), Rule{Kind: 'b', Major: 8})) {
		t.Error("wrong")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("c", int64(1), int64(3), "rwm", true)
	f.Add("a", int64(-1), int64(-1), "", false)
	f.Add("b", int64(1)<<40, int64(0), "w", true)
	f.Fuzz(func(t *testing.T, kind string, major, minor int64, access string, allow bool) {
		rules, err := Parse([]specs.LinuxDeviceCgroup{{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}})
		if err != nil {
			return
		}
		r := rules[0]
		if r.Kind == 0 {
			return
		}
		// What the rule names gets the rule's answer, from a program that denies the rest.
		if r.Major >= 0 && r.Minor >= 0 && run(t, deviceProgram([]Rule{Closed, r}), r.Kind, r.Major, r.Minor, r.Access) != (allow || r.Access == 0 && allow) {
			t.Errorf("%s: the program disagrees", r)
		}
	})
}
