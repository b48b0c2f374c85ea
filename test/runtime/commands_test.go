package runtime

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"gourd/test/harness"
)

// TestEngineCalls makes the calls of containerd's shim and of conmon word by word (docs: oci conformance).
func TestEngineCalls(t *testing.T) {
	for _, engine := range []struct {
		name   string
		global []string
		force  bool
	}{
		{"containerd", []string{"--log", "LOG", "--log-format", "json"}, true},
		{"conmon", []string{"--log-format=json", "--log", "LOG"}, true},
		{"buildah", nil, false},
	} {
		o := harness.NewOCI(t, "")
		log := filepath.Join(o.Dir, "log.json")
		global := append([]string{}, engine.global...)
		for i := range global {
			global[i] = strings.ReplaceAll(global[i], "LOG", log)
		}
		call := func(args ...string) harness.Result { t.Helper(); return o.Run(append(global, args...)...) }
		must := func(args ...string) string {
			t.Helper()
			r := call(args...)
			if r.Code != 0 {
				t.Fatalf("%s: %v: %+v", engine.name, args, r)
			}
			return r.Stdout
		}
		id, b := o.ID("e"), o.Bundle("sleep", "1000")
		must("create", "--bundle", b.Dir, "--pid-file", filepath.Join(o.Dir, "pid"), id)
		must("start", id)
		must("state", id)
		must("ps", "--format", "json", id)
		must("pause", id)
		must("resume", id)
		must("kill", id, "15") // pid 1 of a shell's child ignores it
		must("kill", id, "9")
		o.WaitStatus(id, specs.StateStopped)
		must("delete", id)
		if engine.force {
			must("delete", "--force", id)
		}
		if len(global) == 0 {
			continue
		}
		b.Spec.Process.Args = []string{"/nosuch"}
		b.Write()
		if r := call("run", "--bundle", b.Dir, id); r.Code == 0 {
			t.Fatalf("%s: a missing program ran", engine.name)
		}
		text, _ := os.ReadFile(log)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		var last struct{ Level, Msg, Time string }
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Level != "error" || last.Time == "" ||
			!strings.Contains(last.Msg, `exec: "/nosuch": stat /nosuch: no such file or directory`) {
			t.Errorf("%s: log %q: %v", engine.name, text, err)
		}
	}
}

func TestFeatures(t *testing.T) {
	o := harness.NewOCI(t, "")
	var f features.Features
	if err := json.Unmarshal([]byte(o.Must("features")), &f); err != nil {
		t.Fatal(err)
	}
	if f.OCIVersionMin != "1.0.0" || len(f.Linux.Namespaces) != 8 || len(f.Linux.Capabilities) < 41 || !*f.Linux.Seccomp.Enabled || !*f.Linux.MountExtensions.IDMap.Enabled {
		t.Errorf("features: %+v %+v", f, f.Linux)
	}
	if got := o.Must("--version"); !strings.HasPrefix(got, "gourd-runtime version ") || !strings.Contains(got, "\nspec: 1.") {
		t.Errorf("--version: %q", got)
	}
	o.Must("--debug", "features")
	b := o.Bundle("true")
	if r := o.Run("--debug", "run", "-b", b.Dir, o.ID("d")); r.Code != 0 || !strings.Contains(r.Stderr, "level=debug") || !strings.Contains(r.Stderr, "pivot root") {
		t.Errorf("--debug run: %+v", r)
	}
}

func TestSpec(t *testing.T) {
	o := harness.NewOCI(t, "")
	dir := t.TempDir()
	for _, args := range [][]string{{"spec", "--bundle", dir}, {"spec", "--rootless", "-b", dir}} {
		o.Must(args...)
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		var s specs.Spec
		if err != nil || json.Unmarshal(text, &s) != nil || s.Process == nil || s.Process.Args[0] != "sh" {
			t.Fatalf("%v: %s %v", args, text, err)
		}
		if rootless := len(s.Linux.UIDMappings) > 0; rootless != (len(args) == 4) {
			t.Errorf("%v: mappings %v", args, s.Linux.UIDMappings)
		}
		if r := o.Run(args...); r.Code != 1 || !strings.Contains(r.Stderr, "File config.json exists. Remove it first") {
			t.Errorf("second: %+v", r)
		}
		os.Remove(filepath.Join(dir, "config.json"))
	}
}

// TestRefused: bad calls are refused with a clear word, exit code 1, and nothing is made.
func TestRefused(t *testing.T) {
	o := harness.NewOCI(t, "")
	b := o.Bundle("true")
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"foo"}, "No help topic for 'foo'"},
		{[]string{"create"}, `"create" requires exactly 1 argument(s)`},
		{[]string{"kill"}, `"kill" requires a minimum of 1 argument(s)`},
		{[]string{"kill", "a", "b", "c"}, `"kill" requires a maximum of 2 argument(s)`},
		{[]string{"create", "--nosuch", "x"}, "flag provided but not defined: -nosuch"},
		{[]string{"--nosuch", "list"}, "flag provided but not defined: -nosuch"},
		{[]string{"--log-format", "xml", "list"}, "invalid log-format: xml"},
		{[]string{"--rootless", "maybe", "list"}, `"maybe" is none of true, false, auto`},
		{[]string{"run", "-b", b.Dir, "../x"}, "invalid container id format"},
		{[]string{"run", "-b", b.Dir, ".."}, "invalid container id format"},
		{[]string{"state", "a/b"}, "invalid container id format"},
		{[]string{"state", "nosuch"}, "container does not exist"},
		{[]string{"start", "nosuch"}, "container does not exist"},
		{[]string{"kill", "nosuch", "9"}, "container does not exist"},
		{[]string{"pause", "nosuch"}, "container does not exist"},
		{[]string{"update", "nosuch", "--memory", "1g"}, "container does not exist"},
		{[]string{"exec", "nosuch", "true"}, "container does not exist"},
		{[]string{"run", "-b", empty, "x"}, "no such file or directory"},
		{[]string{"run", "-b", b.Dir, "--preserve-fds", "-1", "x"}, "-1 is negative"},
		{[]string{"run", "-b", b.Dir, "--console-socket", "/nosuch", "x"}, "cannot use console socket if runc will not detach or allocate tty"},
		{[]string{"run", "-b", b.Dir, "--no-pivot", "x"}, "--no-pivot: not supported yet"},
		{[]string{"checkpoint", "x"}, "checkpoint: not supported yet"},
		{[]string{"events", "--stats", "x"}, "events: not supported yet"},
		{[]string{"kill", "x", "SIGNOTHING"}, `unknown signal "SIGNOTHING"`},
		{[]string{"kill", "x", "65"}, "there are signals 1 to 64"},
		{[]string{"list", "--format", "xml"}, "invalid format option"},
	} {
		r := o.Run(c.args...)
		code := 1
		if c.args[0] == "exec" {
			code = 255
		}
		if r.Code != code || !strings.Contains(r.Stderr, c.want) {
			t.Errorf("%v: code %d: %s, want %q", c.args, r.Code, r.Stderr, c.want)
		}
	}
	if entries, err := os.ReadDir(o.Root()); err == nil && len(entries) > 0 {
		t.Errorf("made: %v", entries)
	}
	b.Spec.Process.Terminal = true
	b.Write()
	if r := o.Run("run", "-d", "-b", b.Dir, "x"); r.Code != 1 || !strings.Contains(r.Stderr, "cannot allocate tty if runc will detach without setting console socket") {
		t.Errorf("detached terminal: %+v", r)
	}
}

// TestHooks: each hook of the host's side runs once, in its turn, with the state on stdin and no environment of ours.
func TestHooks(t *testing.T) {
	o := harness.NewOCI(t, "")
	o.Env = []string{"LEAK=1"}
	log := filepath.Join(o.Dir, "hooks")
	hook := func(kind string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", `printf '%s %s %s\n' ` + kind + ` "$X$LEAK" "$(cat | tr -d '\n ')" >> ` + log}, Env: []string{"X=" + kind, "PATH=/bin:/usr/bin"}}}
	}
	b := o.Bundle("sleep", "1000")
	//lint:ignore SA1019 prestart is still in use
	b.Spec.Hooks = &specs.Hooks{Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), Poststart: hook("poststart"), Poststop: hook("poststop")}
	b.Write()
	id := o.ID("h")
	o.Must("create", "-b", b.Dir, id)
	o.Must("start", id)
	pid := o.State(id).Pid
	o.Must("delete", "-f", id)
	text, _ := os.ReadFile(log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	want := []struct{ kind, status string }{{"prestart", "creating"}, {"createRuntime", "creating"}, {"poststart", "running"}, {"poststop", "stopped"}}
	if len(lines) != len(want) {
		t.Fatalf("hooks wrote %q", text)
	}
	for i, w := range want {
		f := strings.SplitN(lines[i], " ", 3)
		var st specs.State
		if err := json.Unmarshal([]byte(f[2]), &st); err != nil {
			t.Fatalf("%s: %v", lines[i], err)
		}
		if f[0] != w.kind || f[1] != w.kind || string(st.Status) != w.status || st.ID != id || st.Pid != pid || st.Bundle != b.Dir {
			t.Errorf("hook %d: %s", i, lines[i])
		}
	}

	b.Spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}
	b.Write()
	if r := o.Run("create", "-b", b.Dir, id); r.Code != 1 || !strings.Contains(r.Stderr, "error running createRuntime hook #0") {
		t.Errorf("failing hook: %+v", r)
	}
	second := 1
	b.Spec.Hooks.CreateRuntime[0] = specs.Hook{Path: "/bin/sleep", Args: []string{"sleep", "100"}, Timeout: &second}
	b.Write()
	start := time.Now()
	if r := o.Run("create", "-b", b.Dir, id); r.Code != 1 || !strings.Contains(r.Stderr, "ran longer than 1 s") || time.Since(start) > 10*time.Second {
		t.Errorf("endless hook: %+v", r)
	}
	if r := o.Run("list", "-q"); r.Stdout != "" {
		t.Errorf("left: %q", r.Stdout)
	}
}
