package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gourd/internal/container"
	"gourd/internal/image"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// mustCreate makes a container and puts it into a state.
func mustCreate(t *testing.T, e *Engine, r CreateRequest, change func(*container.State)) *container.Record {
	t.Helper()
	c, err := e.Create(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := e.store.Update(c.ID, func(r *container.Record) error {
		if change != nil {
			change(&r.State)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// deriveImage makes an image on another, as commit does.
func deriveImage(t *testing.T, e *Engine, base, ref string) string {
	t.Helper()
	images, driver, err := e.imagesAndLayers()
	if err != nil {
		t.Fatal(err)
	}
	img, err := images.Resolve(base)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "new", Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	config := *img.Config
	if _, err := images.CreateFrom(context.Background(), img, &config, &layer, image.ImportOptions{Ref: ref}, driver); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestListFilters(t *testing.T) {
	e := testEngine(t)
	importImage(t, e, "anc:1", `CMD ["sh"]`, "EXPOSE 80")
	importImage(t, e, "other:1", `CMD ["other"]`)
	derived := deriveImage(t, e, "anc:1", "anc:2")
	mustCreate(t, e, CreateRequest{Name: "first", Image: "anc:1", Labels: map[string]string{"k": "v", "x": "y"}}, nil)
	exited := mustCreate(t, e, CreateRequest{Name: "second", Image: "anc:1", Labels: map[string]string{"k": "w"}}, func(s *container.State) { s.Status, s.ExitCode = container.Exited, 5 })
	mustCreate(t, e, CreateRequest{
		Name: "third", Image: "other:1", Network: NetworkRequest{Mode: "none"},
		Mounts: []MountRequest{{Type: "bind", Source: "/usr", Destination: "/data"}},
	}, func(s *container.State) { s.Status = container.Running })
	t.Run("descendants", func(t *testing.T) {
		e := e
		child := mustCreate(t, e, CreateRequest{Name: "child", Image: derived}, nil)
		defer e.Remove(context.Background(), child.ID, RemoveOptions{})
		for ref, want := range map[string]int{"anc:1": 3, "anc:2": 1, "other:1": 1} {
			list, err := e.List(context.Background(), ListOptions{All: true, Filters: map[string][]string{"ancestor": {ref}}})
			if err != nil || len(list) != want {
				t.Errorf("%s is an ancestor of %d, %v", ref, len(list), err)
			}
		}
	})
	for _, c := range []struct {
		o    ListOptions
		want string
	}{
		{ListOptions{}, "third"},
		{ListOptions{All: true}, "third second first"},
		{ListOptions{Last: 2}, "third second"},
		{ListOptions{Filters: map[string][]string{"status": {"exited", "created"}}}, "second first"},
		{ListOptions{Filters: map[string][]string{"exited": {"5"}}}, "second"},
		{ListOptions{Filters: map[string][]string{"exited": {"0"}}}, ""},
		{ListOptions{All: true, Filters: map[string][]string{"label": {"k"}}}, "second first"},
		{ListOptions{All: true, Filters: map[string][]string{"label": {"k=v", "x"}}}, "first"},
		{ListOptions{All: true, Filters: map[string][]string{"label": {"k=v", "k=w"}}}, ""},
		{ListOptions{All: true, Filters: map[string][]string{"name": {"^/sec", "fir"}}}, "second first"},
		{ListOptions{All: true, Filters: map[string][]string{"id": {exited.ID[:12]}}}, "second"},
		{ListOptions{All: true, Filters: map[string][]string{"before": {"second"}}}, "first"},
		{ListOptions{All: true, Filters: map[string][]string{"since": {"second"}}}, "third"},
		{ListOptions{All: true, Filters: map[string][]string{"ancestor": {"anc:1"}}}, "second first"},
		{ListOptions{All: true, Filters: map[string][]string{"ancestor": {exited.ImageID}}}, "second first"},
		{ListOptions{All: true, Filters: map[string][]string{"ancestor": {"anc"}}}, ""},
		{ListOptions{All: true, Filters: map[string][]string{"ancestor": {"unknown"}}}, ""},
		{ListOptions{All: true, Filters: map[string][]string{"network": {"none"}}}, "third"},
		{ListOptions{All: true, Filters: map[string][]string{"volume": {"/data"}}}, "third"},
		{ListOptions{All: true, Filters: map[string][]string{"expose": {"80"}}}, "second first"},
		{ListOptions{All: true, Filters: map[string][]string{"publish": {"80"}}}, ""},
		{ListOptions{All: true, Filters: map[string][]string{"status": {"exited"}, "name": {"first"}}}, ""},
		{ListOptions{All: true, Filters: map[string][]string{"is-task": {"false"}}}, "third second first"},
	} {
		list, err := e.List(context.Background(), c.o)
		if err != nil {
			t.Errorf("%+v: %v", c.o, err)
			continue
		}
		var names []string
		for _, l := range list {
			names = append(names, l.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
	for key, value := range map[string]string{"bogus": "x", "status": "asleep", "exited": "x", "name": "(", "is-task": "perhaps", "publish": "x"} {
		if _, err := e.List(context.Background(), ListOptions{Filters: map[string][]string{key: {value}}}); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	if _, err := e.List(context.Background(), ListOptions{Filters: map[string][]string{"before": {"nosuch"}}}); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("before a container that isn't there: %v", err)
	}
}

func TestVerbsOnContainersThatDoNotRun(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	importImage(t, e, "base", `CMD ["sh"]`)
	mustCreate(t, e, CreateRequest{Name: "box", Image: "base"}, func(s *container.State) { s.Status, s.ExitCode = container.Exited, 3 })
	for name, verb := range map[string]func(ref string) error{
		"kill":    func(ref string) error { return e.Kill(ctx, ref, "TERM") },
		"pause":   func(ref string) error { return e.Pause(ctx, ref) },
		"unpause": func(ref string) error { return e.Unpause(ctx, ref) },
		"exec":    func(ref string) error { _, err := e.Exec(ctx, ref, ExecRequest{Args: []string{"x"}}); return err },
		"attach":  func(ref string) error { _, err := e.Attach(ctx, ref, Attach{Stdout: true}); return err },
		"top":     func(ref string) error { _, err := e.Top(ctx, ref, nil); return err },
		"explain": func(ref string) error { _, err := e.Explain(ctx, ref); return err },
	} {
		if err := verb("box"); !errors.Is(err, container.ErrNotRunning) {
			t.Errorf("%s: %v", name, err)
		}
		if err := verb("nosuch"); !errors.Is(err, container.ErrNotFound) {
			t.Errorf("%s of a container that isn't there: %v", name, err)
		}
	}
	if err := e.Kill(ctx, "box", "NOSUCH"); !errors.Is(err, container.ErrInvalid) {
		t.Errorf("unknown signal: %v", err)
	}
	if err := e.Stop(ctx, "box", StopOptions{}); err != nil {
		t.Errorf("stop: %v", err)
	}
	if exit, err := e.Wait(ctx, "box", ""); err != nil || exit.Code != 3 {
		t.Errorf("wait: %+v, %v", exit, err)
	}
	if err := e.Rename(ctx, "box", "box"); !errors.Is(err, container.ErrInvalid) {
		t.Errorf("rename to its own name: %v", err)
	}
	if err := e.Rename(ctx, "box", "crate"); err != nil {
		t.Error(err)
	}
	if _, name, err := e.Resolve("crate"); err != nil || name != "crate" {
		t.Error(name, err)
	}
}

// TestJoining: containers share a user namespace where the kernel ties the others to it.
func TestJoining(t *testing.T) {
	e := testEngine(t)
	importImage(t, e, "base", `CMD ["sh"]`)
	own := mustCreate(t, e, CreateRequest{Name: "own", Image: "base"}, nil)
	host := mustCreate(t, e, CreateRequest{Name: "hosted", Image: "base", UserMode: "host"}, nil)
	joined := mustCreate(t, e, CreateRequest{Name: "joined", Image: "base", Network: NetworkRequest{Mode: "container:own"}, PidMode: "container:" + own.ID[:10]}, nil)
	if joined.Modes.User != "container:"+own.ID || joined.Modes.Pid != "container:"+own.ID || joined.IDs.Base != own.IDs.Base {
		t.Errorf("joined: %+v, ids %+v", joined.Modes, joined.IDs)
	}
	d, err := e.Inspect(context.Background(), "joined", false)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(d.HostsPath, own.ID) || d.Spec.Hostname != own.ID[:12] {
		t.Errorf("hosts file %s, name %s", d.HostsPath, d.Spec.Hostname)
	}
	if r := mustCreate(t, e, CreateRequest{Name: "tohost", Image: "base", IPCMode: "container:hosted"}, nil); r.Modes.User != "host" || r.IDs != nil {
		t.Errorf("joined a container of the host's: %+v", r.Modes)
	}
	for name, r := range map[string]CreateRequest{
		"two namespaces":      {PidMode: "container:own", IPCMode: "container:hosted"},
		"host with one's own": {PidMode: "container:own", UserMode: "host"},
		"own with the host's": {PidMode: "container:hosted", UserMode: "auto"},
		"privileged":          {PidMode: "container:own", Privileged: true},
		"hostname":            {Network: NetworkRequest{Mode: "container:own"}, Hostname: "h"},
		"extra host":          {Network: NetworkRequest{Mode: "container:own", ExtraHosts: []string{"a:1.2.3.4"}}},
	} {
		r.Image = "base"
		if _, err := e.Create(context.Background(), r); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = host
	// The one whose namespaces are joined must run when the other starts.
	_, err = e.Start(context.Background(), "joined", Attach{})
	if !errors.Is(err, container.ErrNotRunning) || !strings.Contains(err.Error(), "own") {
		t.Errorf("start: %v", err)
	}
	// Its range stays leased for the one that shares it.
	if err := e.Remove(context.Background(), "own", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	fresh := mustCreate(t, e, CreateRequest{Image: "base"}, nil)
	if fresh.IDs.Base == joined.IDs.Base {
		t.Error("the range was leased again")
	}
}

func TestKeepID(t *testing.T) {
	e := testEngine(t)
	importImage(t, e, "base", `CMD ["sh"]`)
	r := mustCreate(t, e, CreateRequest{Image: "base", UserMode: "keep-id", CallerUID: 1000, CallerGID: 70000}, nil)
	if r.User != "1000:70000" {
		t.Errorf("user %q", r.User)
	}
	for _, c := range []struct {
		host, inside uint32
		maps         string
	}{{1000, 1000, "uid"}, {r.IDs.Base, 0, "uid"}, {r.IDs.Base + 1001, 1001, "uid"}, {70000, 70000, "gid"}, {r.IDs.Base + 5, 5, "gid"}, {container.HighBase + 4465, 70001, "gid"}} {
		maps := r.IDs.MapUIDs()
		if c.maps == "gid" {
			maps = r.IDs.MapGIDs()
		}
		found := slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool {
			return c.host >= m.HostID && c.host-m.HostID < m.Size && m.ContainerID+(c.host-m.HostID) == c.inside
		})
		if !found {
			t.Errorf("%s %d is not %d inside: %+v", c.maps, c.host, c.inside, maps)
		}
		total := uint64(0)
		for _, m := range maps {
			total += uint64(m.Size)
		}
		if total != 1<<31 {
			t.Errorf("%ss: %d ids are mapped", c.maps, total)
		}
	}
}
