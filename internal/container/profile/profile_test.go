package profile

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
)

// allows says whether a profile has an allowing rule for a call without conditions.
func allows(sc *specs.LinuxSeccomp, name string) bool {
	return slices.ContainsFunc(sc.Syscalls, func(c specs.LinuxSyscall) bool {
		return c.Action == specs.ActAllow && len(c.Args) == 0 && slices.Contains(c.Names, name)
	})
}

func allowsSocket(sc *specs.LinuxSeccomp, family, protocol uint64) bool {
	return slices.ContainsFunc(sc.Syscalls, func(c specs.LinuxSyscall) bool {
		if c.Action != specs.ActAllow || !slices.Contains(c.Names, "socket") || len(c.Args) == 0 || c.Args[0].Value != family {
			return false
		}
		return len(c.Args) == 1 || c.Args[1].Value == protocol
	})
}

func TestDefault(t *testing.T) {
	for _, c := range []struct {
		title string
		o     Options
		yes   []string // calls that are allowed
		no    []string
		xfrm  bool
	}{
		{"plain", Options{}, []string{"read", "socketpair", "execve"}, []string{"io_uring_setup", "keyctl", "userfaultfd", "bpf", "unshare", "mount", "socketcall", "socket", "chroot", "open_by_handle_at"}, false},
		{"admin", Options{Capabilities: []string{"CAP_SYS_ADMIN"}}, []string{"unshare", "mount", "clone3", "bpf"}, []string{"io_uring_setup", "keyctl", "userfaultfd", "socketcall"}, false},
		{"net admin", Options{Capabilities: []string{"CAP_NET_ADMIN"}}, []string{"read"}, []string{"unshare", "socketcall"}, true},
		{"386", Options{SocketCall: true}, []string{"socketcall"}, []string{"io_uring_setup"}, false},
	} {
		sc, err := Default(c.o)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range c.yes {
			if !allows(sc, name) {
				t.Errorf("%s: %s is not allowed", c.title, name)
			}
		}
		for _, name := range c.no {
			if allows(sc, name) {
				t.Errorf("%s: %s is allowed", c.title, name)
			}
		}
		for _, family := range []uint64{33, 38, 40} { // RXRPC, ALG, VSOCK
			if allowsSocket(sc, family, 0) {
				t.Errorf("%s: address family %d is allowed", c.title, family)
			}
		}
		for _, family := range []uint64{1, 2, 10, 16, 17, 29} {
			if !allowsSocket(sc, family, 0) {
				t.Errorf("%s: address family %d is not allowed", c.title, family)
			}
		}
		if got := allowsSocket(sc, 16, 6); got != c.xfrm {
			t.Errorf("%s: netlink XFRM allowed: %v", c.title, got)
		}
	}
}

// TestDefaultRepeats: nothing of one container's profile stays for the next.
func TestDefaultRepeats(t *testing.T) {
	Default(Options{Capabilities: []string{"CAP_SYS_ADMIN"}, SocketCall: true})
	sc, err := Default(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if allows(sc, "mount") || allows(sc, "socketcall") {
		t.Error("the profile of an earlier container shows")
	}
}

const custom = `{"defaultAction":"SCMP_ACT_ERRNO",
 "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]},{"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
 "syscalls":[
  {"names":["read"],"action":"SCMP_ACT_ALLOW"},
  {"name":"write","action":"SCMP_ACT_ALLOW"},
  {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
  {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","excludes":{"caps":["CAP_SYS_ADMIN"]}},
  {"names":["open"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"3.0"}},
  {"names":["close"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"200.0"}},
  {"names":["arch_prctl"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["amd64"]}}]}`

func TestParse(t *testing.T) {
	plain, err := Parse([]byte(custom), Options{})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := Parse([]byte(custom), Options{Capabilities: []string{"CAP_SYS_ADMIN"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name         string
		plain, admin bool
	}{
		{"read", true, true},
		{"write", true, true},
		{"mount", false, true},
		{"ptrace", true, false},
		{"open", true, true},
		{"close", false, false},
		{"arch_prctl", runtime.GOARCH == "amd64", runtime.GOARCH == "amd64"},
	} {
		if allows(plain, c.name) != c.plain || allows(admin, c.name) != c.admin {
			t.Errorf("%s: plain %v, admin %v", c.name, allows(plain, c.name), allows(admin, c.name))
		}
	}
	if len(plain.Architectures) != 2 {
		t.Errorf("architectures: %v", plain.Architectures)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		``, `[]`, `{"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`,
		`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}`,
		`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["b"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"x"}}]}`,
		`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}`,
	} {
		if sc, err := Parse([]byte(text), Options{}); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%s: %+v %v", text, sc, err)
		}
	}
}

// FuzzParse: a user's file never makes the parser panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(custom))
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		Parse(text, Options{Capabilities: []string{"CAP_SYS_ADMIN"}})
	})
}
