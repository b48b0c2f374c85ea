package cli

import (
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/engine"
	"gourd/internal/image"
	"gourd/internal/layer"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestPsTable(t *testing.T) {
	list := []engine.Listed{
		{Record: &container.Record{
			ID: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Name: "web", Image: "busybox", Created: noon.Add(-2 * time.Hour),
			State: container.State{Status: container.Running, Started: noon.Add(-5 * time.Minute)}, Network: container.Network{Exposed: []string{"80/tcp"}},
		}, Command: []string{"sh", "-c", "sleep 100; echo done"}, SizeRW: -1},
		{Record: &container.Record{
			ID: "ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Name: "old", ImageID: "sha256:abcdef0123456789", Image: "sha256:abcdef0123456789", Created: noon.Add(-48 * time.Hour),
			State: container.State{Status: container.Exited, ExitCode: 137, Finished: noon.Add(-time.Hour)}, Labels: map[string]string{"b": "2", "a": "1"},
		}, Command: []string{"true"}, SizeRW: 5, SizeRootFS: 1500},
	}
	var rows []containerRow
	for i := range list {
		rows = append(rows, newContainerRow(&list[i], noon, true))
	}
	for form, want := range map[string]string{
		"": `CONTAINER ID   IMAGE          COMMAND                  CREATED       STATUS                           PORTS     NAMES
0123456789ab   busybox        "sh -c sleep 100; ec…"   2 hours ago   Up 5 minutes                     80/tcp    web
ff23456789ab   abcdef012345   "true"                   2 days ago    Exited (137) About an hour ago             old
`,
		`{{.Names}} {{.State}} {{.Size}} {{.Labels}} {{.Label "a"}} {{.Networks}}`: "web running 0B   bridge\nold exited 5B (virtual 1.5kB) a=1,b=2 1 bridge\n",
	} {
		var b strings.Builder
		if err := containerList.Write(&b, form, false, rows); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s:\n%s", form, diff)
		}
	}
}

func TestStatusWords(t *testing.T) {
	for want, s := range map[string]container.State{
		"Created":                           {Status: container.Created},
		"Up 2 hours (Paused)":               {Status: container.Paused, Started: noon.Add(-2 * time.Hour)},
		"Exited (0) Less than a second ago": {Status: container.Exited, Finished: noon},
		"Restarting (1) 3 seconds ago":      {Status: container.Restarting, ExitCode: 1, Finished: noon.Add(-3 * time.Second)},
		"Removal In Progress":               {Status: container.Removing},
		"Dead":                              {Status: container.Dead},
	} {
		if got := statusCell(&s, noon); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestImageRows(t *testing.T) {
	id, digest := layer.Digest("sha256:"+strings.Repeat("a", 64)), "sha256:"+strings.Repeat("b", 64)
	sum := &image.Summary{ID: id, RepoTags: []string{"busybox:1", "localhost:5000/x:latest"}, RepoDigests: []string{"busybox@" + digest, "other@" + digest}, Size: 4_500_000, Created: noon.Add(-time.Hour)}
	names := func(f imagesFlags) (list []string) {
		for _, r := range newImageRows(sum, &f, noon) {
			list = append(list, r.Repository+" "+r.Tag+" "+r.Digest)
		}
		return list
	}
	if diff := cmp.Diff([]string{"busybox 1 <none>", "localhost:5000/x latest <none>", "other <none> <none>"}, names(imagesFlags{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"busybox 1 " + digest, "localhost:5000/x latest <none>", "other <none> " + digest}, names(imagesFlags{digests: true})); diff != "" {
		t.Error(diff)
	}
	row := newImageRows(&image.Summary{ID: id}, &imagesFlags{}, noon)[0]
	if row.Repository != none || row.Tag != none || row.ID != strings.Repeat("a", 12) || row.CreatedSince != "N/A" {
		t.Errorf("image without a name: %+v", row)
	}
}

func TestLogPrinter(t *testing.T) {
	at := func(n int) time.Time { return noon.Add(time.Duration(n)) }
	var out, errs strings.Builder
	p := newLogPrinter(&out, &errs, &logsFlags{timestamps: true})
	for _, e := range []engine.LogEntry{
		{Time: at(1), Data: []byte("one\n")},
		{Time: at(2), Data: []byte("long "), Partial: true},
		{Time: at(3), Stderr: true, Data: []byte("err\n")},
		{Time: at(4), Data: []byte("line\n")},
		{Time: at(5), Data: []byte("two")},
	} {
		if err := p.print(e, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.flush()
	want := "2026-01-02T12:00:00.000000001Z one\n2026-01-02T12:00:00.000000002Z long line\n2026-01-02T12:00:00.000000005Z two"
	if out.String() != want || errs.String() != "2026-01-02T12:00:00.000000003Z err\n" {
		t.Errorf("out %q\nerr %q", out.String(), errs.String())
	}
}

func TestExplainFitsItsWidth(t *testing.T) {
	x := &engine.Explanation{
		ID: "0123456789abcdef", Name: "web",
		Steps: []container.Step{
			{Name: "make cgroup", Where: "parent", Calls: []string{"mkdir(/sys/fs/cgroup/cpu/gourd/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef)"}, Why: "limits are written before anything of the container runs in it, so that no process is ever outside of them", At: 120 * time.Microsecond},
			{Name: "mount proc", Where: "child", Calls: []string{`fsopen("proc")`, "move_mount(→ /proc)"}, At: 1500 * time.Microsecond},
		},
		Views:      []engine.View{{What: "pid", Host: "1322", Container: "1"}, {What: "root", Host: "/var/lib/gourd/overlay/0123456789abcdef0123456789abcdef0123456789abcdef/root", Container: "/"}},
		Namespaces: []engine.NamespaceView{{Type: "pid", Inode: 4026532111, Host: 4026531836}, {Type: "net", Inode: 4026531840, Host: 4026531840, Shared: true}},
		Cgroups:    []engine.CgroupFile{{Controller: "cpu", Path: "/sys/fs/cgroup/cpu/gourd/01/cpu.cfs_quota_us", Value: "20000\n"}, {Controller: "cpu", Path: "/sys/fs/cgroup/cpu/gourd/01/cpu.cfs_period_us", Value: "100000\n"}},
	}
	for _, width := range []int{80, 100, 120} {
		var b strings.Builder
		p := explainPrinter{w: &b, width: width}
		if err := p.print(x, false); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if n := len([]rune(line)); n > width {
				t.Errorf("%d columns in %d: %s", n, width, line)
			}
		}
		for _, want := range []string{"How it was made: 2 steps, 1.5 ms", "make cgroup", "inside", "1322", "shared with the host", "its own", "cpu.cfs_quota_us  │ 20000"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in:\n%s", want, b.String())
			}
		}
		if width == 100 {
			t.Log("\n" + b.String())
		}
	}
}
