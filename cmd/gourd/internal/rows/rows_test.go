package rows

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
	var lines []Container
	for i := range list {
		lines = append(lines, NewContainer(&list[i], noon, true))
	}
	for form, want := range map[string]string{
		"": `CONTAINER ID   IMAGE          COMMAND                  CREATED       STATUS                           PORTS     NAMES
0123456789ab   busybox        "sh -c sleep 100; ec…"   2 hours ago   Up 5 minutes                     80/tcp    web
ff23456789ab   abcdef012345   "true"                   2 days ago    Exited (137) About an hour ago             old
`,
		`{{.Names}} {{.State}} {{.Size}} {{.Labels}} {{.Label "a"}} {{.Networks}}`: "web running 0B   bridge\nold exited 5B (virtual 1.5kB) a=1,b=2 1 bridge\n",
	} {
		var b strings.Builder
		if err := Containers.Write(&b, form, false, lines); err != nil {
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
	names := func(o ImageOptions) (list []string) {
		for _, r := range NewImages(sum, o, noon) {
			list = append(list, r.Repository+" "+r.Tag+" "+r.Digest)
		}
		return list
	}
	if diff := cmp.Diff([]string{"busybox 1 <none>", "localhost:5000/x latest <none>", "other <none> <none>"}, names(ImageOptions{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"busybox 1 " + digest, "localhost:5000/x latest <none>", "other <none> " + digest}, names(ImageOptions{Digests: true})); diff != "" {
		t.Error(diff)
	}
	row := NewImages(&image.Summary{ID: id}, ImageOptions{}, noon)[0]
	if row.Repository != none || row.Tag != none || row.ID != strings.Repeat("a", 12) || row.CreatedSince != "N/A" {
		t.Errorf("image without a name: %+v", row)
	}
}
