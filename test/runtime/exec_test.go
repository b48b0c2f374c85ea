package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/test/harness"
)

func TestExec(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("x")
	b := o.Bundle("sleep", "1000")
	b.Spec.Process.Env = append(b.Spec.Process.Env, "FROM=config")
	b.Write()
	o.Must("run", "-d", "-b", b.Dir, id)
	for _, c := range []struct {
		args []string
		code int
		out  string // of stdout, whole
	}{
		{[]string{id, "sh", "-c", "echo out; exit 7"}, 7, "out\n"},
		{[]string{id, "sh", "-c", "kill -9 $$"}, 137, ""},
		{[]string{"--env", "A=1", "-e", "B=2", id, "sh", "-c", "echo $A$B$FROM"}, 0, "12config\n"},
		{[]string{"--cwd", "/etc", id, "pwd"}, 0, "/etc\n"},
		{[]string{"--user", "1000", id, "id", "-u"}, 0, "1000\n"},
		{[]string{"-u", "1000:1000", "-g", "5", "-g", "6", id, "id", "-G"}, 0, "1000 5 6\n"},
		{[]string{id, "hostname"}, 0, "oci\n"},
		{[]string{"--no-new-privs", id, "grep", "NoNewPrivs", "/proc/self/status"}, 0, "NoNewPrivs:\t1\n"},
		{[]string{id, "grep", "NoNewPrivs", "/proc/self/status"}, 0, "NoNewPrivs:\t0\n"},
	} {
		r := o.Run(append([]string{"exec"}, c.args...)...)
		if r.Code != c.code || r.Stdout != c.out {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{id, "nosuch"}, `exec: "nosuch": executable file not found in $PATH`},
		{[]string{id, "/nosuch"}, `exec: "/nosuch": stat /nosuch: no such file or directory`},
		{[]string{id, "/etc/passwd"}, `exec: "/etc/passwd": permission denied`},
		{[]string{id}, "exec args cannot be empty"},
		{[]string{"-u", "root", id, "id"}, "not a pair of numbers"},
		{[]string{"-u", "4294967295", id, "id"}, "not a pair of numbers"},
		{[]string{"-u", "1:", id, "id"}, "not a pair of numbers"},
		{[]string{"-u", "-1", id, "id"}, "not a pair of numbers"},
		{[]string{"-u", ":1", id, "id"}, "not a pair of numbers"},
		{[]string{"-g", "x", id, "id"}, "additional-gids"},
		{[]string{"--process", "/nosuch", id}, "/nosuch"},
		{[]string{"--cap", "CAP_NOSUCH", "--detach", "--tty", id, "id"}, "cannot allocate tty if runc will detach"},
	} {
		r := o.Run(append([]string{"exec"}, c.args...)...)
		if r.Code != 255 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%v: %+v, want %s", c.args, r, c.want)
		}
	}
	o.Must("kill", id, "9")
	o.WaitStatus(id, specs.StateStopped)
	if r := o.Run("exec", id, "true"); r.Code != 255 || !strings.Contains(r.Stderr, "cannot exec in a stopped container") {
		t.Errorf("stopped: %+v", r)
	}
}

// TestExecEngine makes containerd's and conmon's calls of exec.
func TestExecEngine(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("x")
	o.Must("run", "-d", "-b", o.Bundle("sleep", "1000").Dir, id)
	file, pidFile := filepath.Join(o.Dir, "process.json"), filepath.Join(o.Dir, "pid")
	p, _ := json.Marshal(specs.Process{Args: []string{"sleep", "500"}, Cwd: "/tmp", Env: []string{"PATH=/bin"}, User: specs.User{UID: 1000, GID: 1000}})
	os.WriteFile(file, p, 0o644)
	o.Must("exec", "--process", file, "--detach", "--pid-file", pidFile, id)
	text, _ := os.ReadFile(pidFile)
	status, err := os.ReadFile("/proc/" + string(text) + "/status")
	if err != nil {
		t.Fatalf("pid file has %q: %v", text, err)
	}
	for _, want := range []string{"Name:\tsleep", "Uid:\t1000\t1000\t1000\t1000", "CapInh:\t0000000000000000", "CapEff:\t0000000000000000"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	var pids []int
	json.Unmarshal([]byte(o.Must("ps", "--format", "json", id)), &pids)
	if len(pids) != 2 {
		t.Errorf("processes %v", pids)
	}
	for _, ns := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		theirs, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", o.State(id).Pid, ns))
		got, _ := os.Readlink("/proc/" + string(text) + "/ns/" + ns)
		if theirs != got || got == "" {
			t.Errorf("%s namespace: %s, the container's is %s", ns, got, theirs)
		}
	}
}

// TestExecCapabilities: --cap adds what is asked for and nothing inheritable.
func TestExecCapabilities(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("c")
	o.Must("run", "-d", "-b", o.Bundle("sleep", "1000").Dir, id)
	got := o.Must("exec", "--cap", "CAP_SYS_NICE", id, "grep", "Cap", "/proc/self/status")
	before := o.Must("exec", id, "grep", "Cap", "/proc/self/status")
	field := func(text, name string) (n uint64) {
		for line := range strings.Lines(text) {
			if value, ok := strings.CutPrefix(line, name+":"); ok {
				fmt.Sscanf(strings.TrimSpace(value), "%x", &n)
			}
		}
		return n
	}
	const nice = 1 << 23
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		if field(got, set) != field(before, set)|nice || field(before, set)&nice != 0 {
			t.Errorf("%s: %x, before %x", set, field(got, set), field(before, set))
		}
	}
	for _, set := range []string{"CapInh", "CapAmb"} {
		if field(got, set) != 0 || field(before, set) != 0 {
			t.Errorf("%s: %x, before %x", set, field(got, set), field(before, set))
		}
	}
}

// TestDescriptors: a process has its standard streams and what it was given, whatever the runtime's caller holds.
func TestDescriptors(t *testing.T) {
	o := harness.NewOCI(t, "")
	leak, err := os.Open("/etc")
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	list := func(env []string, args ...string) string {
		t.Helper()
		cmd := o.Command(args...)
		cmd.Env = append(cmd.Env, env...)
		for range 3 {
			cmd.ExtraFiles = append(cmd.ExtraFiles, leak)
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return strings.Join(strings.Fields(string(out)), " ")
	}
	b := o.Bundle("sh", "-c", "ls /proc/self/fd; echo $LISTEN_FDS $LISTEN_PID")
	// `ls` itself has one more: the directory it lists.
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, nil, "0 1 2 3"},
		{nil, []string{"--preserve-fds", "2"}, "0 1 2 3 4 5"},
		{[]string{"LISTEN_FDS=1"}, nil, "0 1 2 3 4 1 1"},
		{[]string{"LISTEN_FDS=1"}, []string{"--preserve-fds=1"}, "0 1 2 3 4 5 1 1"},
	} {
		args := append(append([]string{"run", "-b", b.Dir}, c.args...), o.ID("d"))
		if got := list(c.env, args...); got != c.want {
			t.Errorf("%v %v: %s, want %s", c.env, c.args, got, c.want)
		}
	}
	o.Must("run", "-d", "-b", o.Bundle("sleep", "1000").Dir, o.ID("e"))
	if got := list(nil, "exec", o.ID("e"), "ls", "/proc/self/fd"); got != "0 1 2 3" {
		t.Errorf("exec: %s", got)
	}
	if got := list(nil, "exec", "--preserve-fds", "1", o.ID("e"), "ls", "/proc/self/fd"); got != "0 1 2 3 4" {
		t.Errorf("exec --preserve-fds 1: %s", got)
	}
}
