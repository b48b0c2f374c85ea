// Package runtime drives the built gourd-runtime as engines do: by its command line, on real containers.
package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"gourd/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func TestRun(t *testing.T) {
	o := harness.NewOCI(t, "")
	b := o.Bundle("sh", "-c", `echo "pid $$ uid $(id -u) host $(hostname)"; echo wrong >&2; exit 3`)
	r := o.Run("run", "--bundle", b.Dir, o.ID("a"))
	if r.Code != 3 || r.Stdout != "pid 1 uid 0 host oci\n" || r.Stderr != "wrong\n" {
		t.Errorf("got %+v", r)
	}
	if r := o.Run("state", o.ID("a")); r.Code != 1 || !strings.Contains(r.Stderr, "container does not exist") {
		t.Errorf("state after run: %+v", r)
	}
}

func TestLifecycle(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("life")
	b := o.Bundle("sleep", "1000")
	b.Spec.Annotations = map[string]string{"a": "b"}
	b.Write()
	pidFile := filepath.Join(o.Dir, "pid")
	o.Must("create", "--bundle", b.Dir, "--pid-file", pidFile, id)
	st := o.State(id)
	if st.Status != specs.StateCreated || st.ID != id || st.Bundle != b.Dir || st.Annotations["a"] != "b" || st.Version != "1.0.2" {
		t.Errorf("created: %+v", st)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil || string(text) != strconv.Itoa(st.Pid) {
		t.Errorf("pid file has %q, state %d: %v", text, st.Pid, err)
	}
	if r := o.Run("create", "--bundle", b.Dir, id); r.Code != 1 || !strings.Contains(r.Stderr, "container with given ID already exists") {
		t.Errorf("same id: %+v", r)
	}
	if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", st.Pid)); strings.Contains(string(comm), "sleep") {
		t.Error("the program runs before start")
	}
	o.Must("start", id)
	if st := o.State(id); st.Status != specs.StateRunning {
		t.Errorf("started: %+v", st)
	}
	if r := o.Run("start", id); r.Code != 1 || !strings.Contains(r.Stderr, "cannot start an already running container") {
		t.Errorf("second start: %+v", r)
	}
	if r := o.Run("delete", id); r.Code != 1 || !strings.Contains(r.Stderr, "cannot delete container "+id+" that is not stopped: running") {
		t.Errorf("delete of a running container: %+v", r)
	}
	o.Must("kill", id, "KILL")
	o.WaitStatus(id, specs.StateStopped)
	if st := o.State(id); st.Pid != 0 {
		t.Errorf("stopped: %+v", st)
	}
	if r := o.Run("kill", id, "9"); r.Code != 1 || !strings.Contains(r.Stderr, "container not running") {
		t.Errorf("kill of a stopped container: %+v", r)
	}
	o.Must("kill", "--all", id, "9")
	if r := o.Run("start", id); r.Code != 1 || !strings.Contains(r.Stderr, "cannot start a container that has stopped") {
		t.Errorf("start of a stopped container: %+v", r)
	}
	o.Must("delete", id)
	if r := o.Run("delete", id); r.Code != 1 || !strings.Contains(r.Stderr, "container does not exist") {
		t.Errorf("second delete: %+v", r)
	}
	o.Must("delete", "--force", id)
}

// TestStateFields holds the names that engines read.
func TestStateFields(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("f")
	b := o.Bundle("sleep", "1000")
	o.Must("run", "-d", "-b", b.Dir, id)
	var st map[string]any
	if err := json.Unmarshal([]byte(o.Must("state", id)), &st); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"} {
		if _, ok := st[name]; !ok {
			t.Errorf("state has no %s", name)
		}
	}
	if st["rootfs"] != filepath.Join(b.Dir, "rootfs") {
		t.Errorf("rootfs: %v", st["rootfs"])
	}
	var file map[string]any
	text, err := os.ReadFile(filepath.Join(o.Root(), id, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	json.Unmarshal(text, &file)
	if file["init_process_pid"] != st["pid"] || len(file["cgroup_paths"].(map[string]any)) == 0 || file["namespace_paths"].(map[string]any)["NEWNS"] == "" {
		t.Errorf("state.json: %s", text)
	}
	var views []map[string]any
	if err := json.Unmarshal([]byte(o.Must("list", "--format", "json")), &views); err != nil || len(views) != 1 || views[0]["owner"] != "root" {
		t.Errorf("list: %v %v", views, err)
	}
	lines := strings.Split(strings.TrimSpace(o.Must("list")), "\n")
	if len(lines) != 2 || strings.Join(strings.Fields(lines[0]), " ") != "ID PID STATUS BUNDLE CREATED OWNER" || !strings.HasPrefix(lines[1], id) {
		t.Errorf("list: %q", lines)
	}
	if got := o.Must("list", "-q"); got != id+"\n" {
		t.Errorf("list -q: %q", got)
	}
}

// TestExitCodes holds the words by which dockerd and podman tell 126 and 127.
func TestExitCodes(t *testing.T) {
	o := harness.NewOCI(t, "")
	for i, c := range []struct {
		args []string
		want string
	}{
		{[]string{"/nosuch"}, `exec: "/nosuch": stat /nosuch: no such file or directory`},
		{[]string{"nosuch"}, `exec: "nosuch": executable file not found in $PATH`},
		{[]string{"/etc/passwd"}, `exec: "/etc/passwd": permission denied`},
		{[]string{"/etc"}, `exec: "/etc": `},
	} {
		b := o.Bundle(c.args...)
		r := o.Run("run", "--bundle", b.Dir, o.ID(fmt.Sprint(i)))
		if r.Code != 1 || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%v: code %d, %s, want %s", c.args, r.Code, r.Stderr, c.want)
		}
		id := o.ID(fmt.Sprint("c", i))
		if r := o.Run("create", "--bundle", b.Dir, id); r.Code == 0 {
			r = o.Run("start", id)
			if r.Code != 1 || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("create and start %v: code %d, %s, want %s", c.args, r.Code, r.Stderr, c.want)
			}
		} else if !strings.Contains(r.Stderr, c.want) {
			t.Errorf("create %v: %s", c.args, r.Stderr)
		}
		if r := o.Run("list", "-q"); strings.Contains(r.Stdout, o.ID(fmt.Sprint(i))) {
			t.Errorf("%v: a container is left", c.args)
		}
	}
	b := o.Bundle("sh", "-c", "kill -9 $$")
	b.Spec.Linux.Namespaces = append(b.Spec.Linux.Namespaces[:3], b.Spec.Linux.Namespaces[4:]...) // pid 1 can't kill itself
	b.Write()
	if r := o.Run("run", "--bundle", b.Dir, o.ID("k")); r.Code != 137 {
		t.Errorf("killed: %+v", r)
	}
}

func TestPauseResume(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("p")
	o.Must("run", "-d", "-b", o.Bundle("sleep", "1000").Dir, id)
	o.Must("pause", id)
	if st := o.State(id); st.Status != "paused" {
		t.Errorf("paused: %+v", st)
	}
	if r := o.Run("exec", id, "true"); r.Code != 255 || !strings.Contains(r.Stderr, "cannot exec in a paused container") {
		t.Errorf("exec in a paused container: %+v", r)
	}
	o.Must("resume", id)
	if st := o.State(id); st.Status != specs.StateRunning {
		t.Errorf("resumed: %+v", st)
	}
	if r := o.Run("resume", id); r.Code != 1 || !strings.Contains(r.Stderr, "container not paused") {
		t.Errorf("second resume: %+v", r)
	}
	o.Must("pause", id)
	start := time.Now()
	o.Must("delete", "--force", id)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("delete of a paused container took %v", took)
	}
}

func TestUpdateAndPs(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("u")
	b := o.Bundle("sh", "-c", "sleep 1000 & wait")
	o.Must("run", "-d", "-b", b.Dir, id)
	limit := func() string {
		paths, _ := filepath.Glob("/sys/fs/cgroup/memory" + b.Spec.Linux.CgroupsPath + "/memory.limit_in_bytes")
		if len(paths) == 0 {
			paths = []string{"/sys/fs/cgroup" + b.Spec.Linux.CgroupsPath + "/memory.max"}
		}
		text, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	o.Must("update", id, "--memory", "100m") // flags on either side of the id
	if got := limit(); got != strconv.Itoa(100<<20) {
		t.Errorf("memory is %s", got)
	}
	o.Must("update", "--memory=128M", id)
	if got := limit(); got != strconv.Itoa(128<<20) {
		t.Errorf("memory is %s", got)
	}
	for _, args := range [][]string{{"update", "--resources", "-", id}, {"update", "--resources=-", id}} {
		if r := o.RunInput(`{"memory":{"limit":67108864}}`, args...); r.Code != 0 || limit() != "67108864" {
			t.Errorf("%v: %+v, memory %s", args, r, limit())
		}
	}
	file := filepath.Join(o.Dir, "r.json")
	os.WriteFile(file, []byte(`{"memory":{"limit":71303168}}`), 0o644)
	o.Must("update", "-r", file, id)
	if got := limit(); got != "71303168" {
		t.Errorf("memory is %s", got)
	}
	for _, args := range [][]string{{"--memory", "x"}, {"--cpu-period", "-1"}, {"--resources", "/nosuch"}} {
		if r := o.Run(append([]string{"update", id}, args...)...); r.Code != 1 {
			t.Errorf("update %v: %+v", args, r)
		}
	}
	var pids []int
	if err := json.Unmarshal([]byte(o.Must("ps", "--format", "json", id)), &pids); err != nil || len(pids) != 2 {
		t.Errorf("ps: %v %v", pids, err)
	}
	if got := o.Must("ps", id, "-e", "-o", "pid,comm"); !strings.Contains(got, "PID COMMAND") || strings.Count(got, "\n") != 3 {
		t.Errorf("ps with options: %q", got)
	}
}

// TestSharedPIDNamespace: without a pid namespace of its own a container's other processes outlive the first, unless
// the runtime ends them.
func TestSharedPIDNamespace(t *testing.T) {
	o := harness.NewOCI(t, "")
	id := o.ID("s")
	b := o.Bundle("sh", "-c", "sleep 1000 & sleep 1000")
	b.Spec.Linux.Namespaces = append(b.Spec.Linux.Namespaces[:3], b.Spec.Linux.Namespaces[4:]...)
	b.Write()
	o.Must("run", "-d", "-b", b.Dir, id)
	var pids []int
	for range 100 {
		json.Unmarshal([]byte(o.Must("ps", "-f", "json", id)), &pids)
		if len(pids) == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	o.Must("kill", id, "KILL")
	for _, pid := range pids {
		if !gone(pid) {
			t.Errorf("process %d outlives kill KILL", pid)
		}
	}
	o.Must("delete", id)
}

// gone waits for the end of a process; a zombie counts as ended.
func gone(pid int) bool {
	for range 200 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// TestKilledCreate kills create at many moments; delete -f then always tidies, and the id can be used again.
func TestKilledCreate(t *testing.T) {
	o := harness.NewOCI(t, "")
	b := o.Bundle("sleep", "1000")
	id := o.ID("k")
	for i := range 60 {
		cmd := o.Command("create", "--bundle", b.Dir, id)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 200 * time.Microsecond)
		cmd.Process.Signal(unix.SIGKILL)
		cmd.Wait()
		o.Must("delete", "--force", id)
		if _, err := os.Lstat(filepath.Join(o.Root(), id)); err == nil {
			t.Fatalf("round %d: the container's directory is left", i)
		}
	}
	o.Must("run", "-d", "-b", b.Dir, id)
}
