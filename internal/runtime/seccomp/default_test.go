package seccomp

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/internal/container/profile"
)

// dockerCaps is what docker gives a container.
var dockerCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP",
	"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

func defaultProfile(t *testing.T, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	sc, err := profile.Default(profile.Options{Capabilities: append(slices.Clone(dockerCaps), caps...)})
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// TestDefaultVerdicts compares whole real profiles with libseccomp's compilation: moby's own and ours.
func TestDefaultVerdicts(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("moby's profile is that of the machine it runs on")
	}
	oracle := buildOracle(t)
	theirs, err := moby.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: dockerCaps}}})
	if err != nil {
		t.Fatal(err)
	}
	names := oracleNames(t, oracle)[specs.ArchX86_64]
	for title, sc := range map[string]*specs.LinuxSeccomp{"moby": theirs, "gourd": defaultProfile(t), "admin": defaultProfile(t, "CAP_SYS_ADMIN", "CAP_NET_ADMIN")} {
		for i := range sc.Syscalls { // what came after the library would differ
			sc.Syscalls[i].Names = slices.DeleteFunc(slices.Clone(sc.Syscalls[i].Names), func(n string) bool { return names[n] == scmpError })
		}
		compared, skipped := compare(t, title, rand.New(rand.NewPCG(3, 3)), oracle, sc, amd64Machine)
		if skipped != 0 || compared == 0 {
			t.Errorf("%s: %d sections compared, %d left out", title, compared, skipped)
		}
	}
}

// probe is one call that the default profile must answer in a certain way on a real kernel.
type probe struct {
	call string // as testprobe takes it
	want string // errno's name, "ok", or "!EPERM" for anything else than a denial
}

// Numbers: 41 socket, 135 personality, 56 clone, 425 io_uring_setup, 272 unshare, 250 keyctl, 323 userfaultfd, 321 bpf, 435 clone3.
// 0x800 is CLONE_SIGHAND, which clone refuses without CLONE_VM, so that no child comes of it. On x86: 359 socket, 102 socketcall, 136 personality, 120 clone.
var probes = []probe{
	{"64:41:1,1", "ok"},
	{"64:41:2,2", "ok"},
	{"64:41:16,3,0", "ok"},
	{"64:41:16,3,6", "EPERM"},
	{"64:41:16,3,0x100000006", "EPERM"},
	{"64:41:16,3,21", "EPERM"},
	{"64:41:15,3,2", "EPERM"},
	{"64:41:38,5", "EPERM"},
	{"64:41:0x100000026,5", "EPERM"},
	{"64:41:0xffffffff00000026,5", "EPERM"},
	{"64:41:40,1", "EPERM"},
	{"64:41:0x100000028,1", "EPERM"},
	{"64:41:33,2,2", "EPERM"},
	{"64:41:0x100000021,2,2", "EPERM"},
	{"64:41:0x100000002,2", "EPERM"},
	{"64:41:45,2", "!EPERM"},
	{"64:41:46,2", "EPERM"},
	{"64:135:0xffffffff", "ok"},
	{"64:135:0x40000", "EPERM"},
	{"64:135:0x100000000", "EPERM"},
	{"64:135:0x1ffffffff", "EPERM"},
	{"64:56:0x10000800", "EPERM"},
	{"64:56:0x110000800", "EPERM"},
	{"64:56:0x20800", "EPERM"},
	{"64:56:0x80000800", "EINVAL"},
	{"64:435:0,0", "ENOSYS"},
	{"64:425:1,0", "EPERM"},
	{"64:272:0x10000000", "EPERM"},
	{"64:272:0x110000000", "EPERM"},
	{"64:250:0,0", "EPERM"},
	{"64:323:0", "EPERM"},
	{"64:321:0,0,0", "EPERM"},
	{"64:999:0", "ENOSYS"},
	{"int80:359:38,5", "EPERM"},
	{"int80:359:40,1", "EPERM"},
	{"int80:359:33,2,2", "EPERM"},
	{"int80:359:1,1", "!EPERM"},
	{"int80:102:1,socket(38,5,0)", "ENOSYS"},
	{"int80:102:1,socket(40,1,0)", "ENOSYS"},
	{"int80:102:1,socket(2,1,0)", "ENOSYS"},
	{"int80:136:0x40000", "EPERM"},
	{"int80:120:0x10000800", "EPERM"},
	{"int80:425:1,0", "EPERM"},
	{"x32:0x40000029:38,5", "EPERM"},
	{"x32:0x40000029:40,1", "EPERM"},
	{"x32:0x40000029:0x100000026,5", "EPERM"},
	{"x32:0x40000029:1,1", "!EPERM"},
	{"x32:0x400001a9:1,0", "EPERM"},
	{"x32:0x40000110:0x10000000", "EPERM"},
}

// TestDefaultOnKernel installs the default profile and makes calls that must not get through, in each way that an
// amd64 kernel offers to make them. Each denied one is also tried under a filter that allows everything, which
// shows that it is the profile that stops it.
func TestDefaultOnKernel(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the calls are those of amd64")
	}
	bin := filepath.Join(t.TempDir(), "testprobe")
	build := exec.Command("go", "build", "-o", bin, "./testprobe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build testprobe: %v\n%s", err, msg)
	}
	text, err := json.Marshal(defaultProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(text, "")
	if err != nil {
		t.Fatal(err)
	}
	with := runProbes(t, bin, p.Filter)
	without := runProbes(t, bin, []unix.SockFilter{ret(retAllow)})
	moved := 0
	for i, pr := range probes {
		denied := pr.want == "EPERM" || pr.want == "ENOSYS"
		if got := with[i]; got != pr.want && !(pr.want == "!EPERM" && got != "EPERM") {
			t.Errorf("%s: %s, want %s (without a filter: %s)", pr.call, got, pr.want, without[i])
		}
		if denied && without[i] != with[i] {
			moved++
		}
	}
	if moved < 12 {
		t.Errorf("only %d of the denied calls end otherwise without the profile: the probes show nothing", moved)
	}
	t.Logf("%d of %d probes are stopped by the profile alone", moved, len(probes))
}

func runProbes(t *testing.T, bin string, filter []unix.SockFilter) []string {
	t.Helper()
	var in, stderr bytes.Buffer
	binary.Write(&in, binary.NativeEndian, filter)
	cmd := exec.Command(bin)
	for _, p := range probes {
		cmd.Args = append(cmd.Args, p.call)
	}
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("testprobe: %v: %s", err, stderr.String())
	}
	lines := strings.Fields(string(out))
	if len(lines) != len(probes) {
		t.Fatalf("testprobe gave %d answers for %d calls: %s", len(lines), len(probes), fmt.Sprint(lines))
	}
	return lines
}
