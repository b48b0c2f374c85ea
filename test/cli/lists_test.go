package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gourd/test/harness"
)

// LST-02.
func TestInspectWithOneUnknown(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("create", "--name", "c", "--label", "x.y=z", "busybox", "true")
	r := g.Fails(1, []string{"nosuch"}, "inspect", "-f", "{{.Name}}", "c", "nosuch")
	want(t, r, 1, "/c\n")
	want(t, g.Fails(1, []string{"nosuch"}, "inspect", "nosuch"), 1, "[]\n")
	g.Fails(1, []string{"Nope"}, "inspect", "-f", "{{.Nope}}", "c")
	want(t, g.Run("inspect", "-f", `{{index .Config.Labels "x"}}`, "c"), 0, "\n")
	want(t, g.Run("inspect", "-f", `{{index .Config.Labels "x.y"}} {{.Id}}`, "c"), 0, "z "+g.Must("ps", "-aq", "--no-trunc")+"\n")
	g.Fails(64, nil, "inspect", "-f", "{{.Name", "c")
	want(t, g.Run("inspect", "-f", "{{.RepoTags}}", "busybox"), 0, "[busybox:latest]\n")
	g.Fails(1, nil, "inspect", "--type", "container", "busybox")
	g.Fails(1, nil, "image", "inspect", "c")
	var list []map[string]any
	if err := json.Unmarshal([]byte(g.Must("inspect", "c", "busybox")), &list); err != nil || len(list) != 2 {
		t.Errorf("%v, %d objects", err, len(list))
	}
}

func TestPs(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	up := g.Must("run", "-d", "--name", "up", "--label", "a=1", "busybox", "sleep", "100")
	g.Fails(3, nil, "run", "--name", "down", "--label", "a=2", "busybox", "sh", "-c", "exit 3")
	g.Must("create", "--name", "new", "busybox", "true")
	table := g.Must("ps", "-a")
	for i, pattern := range []string{
		`^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES$`,
		`^[0-9a-f]{12}   busybox   "true" +.* ago +Created +new$`,
		`^[0-9a-f]{12}   busybox   "sh -c exit 3" +.* ago +Exited \(3\) .* ago +down$`,
		`^` + up[:12] + `   busybox   "sleep 100" +.* ago +Up .* +up$`,
	} {
		if line := strings.Split(table, "\n")[i]; !regexp.MustCompile(pattern).MatchString(line) {
			t.Errorf("line %d is %q, want %s", i, line, pattern)
		}
	}
	for _, tt := range []struct{ args, want string }{
		{"-q --no-trunc", up},
		{"-a --format {{.Names}}", "new\ndown\nup"},
		{"-a --filter status=exited --format {{.Names}}", "down"},
		{"-a --filter label=a --format {{.Names}}", "down\nup"},
		{"-a --filter label=a=1 --format {{.Names}}", "up"},
		{"-a --filter name=ow --format {{.Names}}", "down"},
		{"-a --filter exited=3 --format {{.Names}}", "down"},
		{"-a --filter exited=3 --filter exited=0 --format {{.Names}}", "down"},
		{"-a --filter before=down --format {{.Names}}", "up"},
		{"-a --filter since=down --format {{.Names}}", "new"},
		{"-n 2 --format {{.Names}}", "new\ndown"},
		{"-l --format {{.Names}}", "new"},
		{"-a --filter ancestor=busybox --format {{.Names}}", "new\ndown\nup"},
		{"-a --filter ancestor=nosuch", table[:strings.Index(table, "\n")]},
		{"-q --filter id=" + up[:10], up[:12]},
	} {
		if got := g.Must(append([]string{"ps"}, strings.Fields(tt.args)...)...); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(tt.want), " ") {
			t.Errorf("ps %s: %q, want %q", tt.args, got, tt.want)
		}
	}
	g.Fails(1, []string{"bogus"}, "ps", "--filter", "bogus=1")
	g.Fails(125, []string{"bogus"}, "ps", "--filter", "bogus")
	for _, line := range strings.Split(g.Must("ps", "-a", "--format", "json"), "\n") {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil || row["Names"] == nil || row["State"] == nil {
			t.Errorf("%v: %s", err, line)
		}
	}
	if a, b := g.Must("ps", "-aq"), g.Must("container", "ls", "-aq"); a != b {
		t.Error("ps and container ls differ")
	}
}

func TestImages(t *testing.T) {
	g := harness.New(t)
	g.Import("m:1", harness.BusyboxTar(t), "LABEL k=v")
	g.Import("other", harness.BusyboxTar(t, harness.File{Name: "more", Body: "x"}))
	g.Must("tag", "other", "m:2")
	if got := g.Must("images", "m", "--format", "{{.Repository}}:{{.Tag}}"); !strings.Contains(got, "m:1") || !strings.Contains(got, "m:2") || strings.Contains(got, "other") {
		t.Errorf("images m: %q", got)
	}
	want(t, g.Run("images", "--filter", "label=k=v", "--format", "{{.Repository}}:{{.Tag}}"), 0, "m:1\n")
	want(t, g.Run("images", "--filter", "dangling=true", "-q"), 0, "")
	if got := g.Must("history", "m:1"); !strings.Contains(got, "IMAGE") || !strings.Contains(got, "CREATED BY") {
		t.Errorf("history:\n%s", got)
	}
	file := filepath.Join(t.TempDir(), "m.tar")
	g.Must("save", "-o", file, "m:1")
	id := g.Must("inspect", "-f", "{{.Id}}", "m:1")
	if got := g.Must("rmi", "m:1"); !strings.HasPrefix(got, "Untagged: m:1\nDeleted: "+id) {
		t.Errorf("rmi: %q", got)
	}
	want(t, g.Run("load", "-i", file), 0, "Loaded image: m:1\n")
	if got := g.Must("inspect", "-f", "{{.Id}}", "m:1"); got != id {
		t.Errorf("id %s, then %s", id, got)
	}
	stream, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want(t, g.RunInput(string(stream), "load"), 0, "Loaded image: m:1\n")
	g.Must("create", "--name", "c", "m:1", "true")
	g.Fails(1, []string{"c"}, "rmi", "m:1")
	g.Fails(1, []string{"nosuch"}, "rmi", "nosuch")
	g.Must("rm", "c")
	g.Must("rmi", "m:1", "m:2", "other")
	g.Fails(1, []string{"nosuch"}, "load", "-i", "/nosuch")
	g.Fails(1, []string{"https://"}, "import", "https://example.com/x.tar", "x")
	if got := g.Must("images", "-q"); got != "" {
		t.Errorf("images left: %s", got)
	}
}

func TestTruncatedArchivesAreRefused(t *testing.T) {
	g := harness.New(t)
	whole := harness.BusyboxTar(t)
	for name, bad := range map[string]string{"half": string(whole[:len(whole)/2]), "text": strings.Repeat("no tar ", 1000)} {
		if r := g.RunInput(bad, "import", "-", name); r.Code != 1 || r.Stdout != "" {
			t.Errorf("%s: exit code %d, %s%s", name, r.Code, r.Stdout, r.Stderr)
		}
		if r := g.RunInput(bad, "load"); r.Code != 1 {
			t.Errorf("load %s: exit code %d, %s", name, r.Code, r.Stderr)
		}
	}
	if got := g.Must("images", "-q"); got != "" {
		t.Errorf("images left: %s", got)
	}
}

func TestExplain(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "--cpu-period", "100000", "--cpu-quota", "20000", "busybox", "sleep", "100")
	text := g.Must("explain", "c")
	for _, word := range []string{"How it was made", g.Pid("c"), "on the host", "in the container", "its own", "20000"} {
		if !strings.Contains(text, word) {
			t.Errorf("explain lacks %q:\n%s", word, text)
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if n := len([]rune(line)); n > 120 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	var x struct{ Steps, Views, Namespaces, Cgroups []map[string]any }
	if err := json.Unmarshal([]byte(g.Must("explain", "--json", "c")), &x); err != nil || len(x.Steps) < 10 || len(x.Views) < 3 || len(x.Namespaces) < 7 || len(x.Cgroups) < 2 {
		t.Errorf("%v: %d steps, %d views, %d namespaces, %d cgroup files", err, len(x.Steps), len(x.Views), len(x.Namespaces), len(x.Cgroups))
	}
	if plan := g.Must("explain", "--dry-run", "run", "--rm", "-m", "64m", "busybox", "true"); !strings.Contains(plan, "How it would be made") {
		t.Errorf("plan:\n%s", plan)
	}
	if got := g.Must("ps", "-a", "--format", "{{.Names}}"); got != "c" {
		t.Errorf("--dry-run left %q", got)
	}
	g.Fails(1, []string{"nosuch"}, "explain", "nosuch")
}

func TestInfoAndVersion(t *testing.T) {
	g := harness.New(t)
	for _, key := range []string{"Containers: 0", "Storage Driver:", "Cgroup Version:", "Kernel Version:", "Root Dir: " + g.Root} {
		if got := g.Must("info"); !strings.Contains(got, key) {
			t.Errorf("info lacks %q:\n%s", key, got)
		}
	}
	if got := g.Must("info", "-f", "{{.NCPU}} {{.OSType}}"); !strings.HasSuffix(got, " linux") || strings.HasPrefix(got, "0 ") {
		t.Error(got)
	}
	if a, b := g.Must("version", "-f", "{{.Client.Version}}"), g.Must("-v"); b != "gourd version "+a {
		t.Errorf("%q, %q", a, b)
	}
}

func TestCompletion(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("create", "--name", "alpha", "busybox", "true")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"start", ""}, "alpha"}, {[]string{"run", ""}, "busybox"}, {[]string{"container", "rm", ""}, "alpha"}, {[]string{"rmi", ""}, "busybox"}, {[]string{"run", "--mem"}, "--memory"},
	} {
		if got := g.Must(append([]string{"__complete"}, tt.args...)...); !strings.Contains(got, tt.want) {
			t.Errorf("complete %v: %q", tt.args, got)
		}
	}
	if got := g.Must("__complete", "stop", ""); strings.Contains(got, "alpha") {
		t.Errorf("stop offers a container that doesn't run: %q", got)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := g.Must("completion", shell); !strings.Contains(got, "gourd") {
			t.Errorf("completion %s: %q", shell, got)
		}
	}
}
