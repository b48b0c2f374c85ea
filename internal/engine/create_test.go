package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/image"
	"gourd/internal/snapshot"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// importImage makes an image "base" of a few files, with configuration from Dockerfile lines.
func importImage(t testing.TB, e *Engine, ref string, changes ...string) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644, Size: 5},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("root\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Import(context.Background(), &b, image.ImportOptions{Ref: ref, Changes: changes}); err != nil {
		t.Fatal(err)
	}
}

// leftovers are the files of an installation that belong to containers.
func leftovers(t testing.TB, e *Engine) []string {
	t.Helper()
	var list []string
	for _, dir := range []string{"containers", "names", "ids", "volumes", "overlay/containers"} {
		filepath.WalkDir(filepath.Join(e.cfg.Root, dir), func(p string, d fs.DirEntry, err error) error {
			if err == nil && filepath.Dir(p) == filepath.Join(e.cfg.Root, dir) {
				list = append(list, p)
			}
			return nil
		})
	}
	filepath.WalkDir(filepath.Join(e.cfg.State, "containers"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && p != filepath.Join(e.cfg.State, "containers") {
			list = append(list, p)
		}
		return nil
	})
	return list
}

func TestCreateStoresAllAndRemoveLeavesNothing(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	importImage(t, e, "base", `CMD ["sh"]`, "VOLUME /vol", "EXPOSE 80", "LABEL a=b", "USER 1000:33", "STOPSIGNAL USR1")
	source := filepath.Join(t.TempDir(), "new", "dir")
	before := leftovers(t, e)
	c, err := e.Create(ctx, CreateRequest{
		Name: "box", Image: "base", Tty: true, Hostname: "hh",
		Mounts:    []MountRequest{{Type: "bind", Source: source, Destination: "/src", CreateSource: true, ReadOnly: true}},
		Resources: Resources{Memory: 64 << 20, CPUs: "0.5"},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.Inspect(ctx, "box", true)
	if err != nil {
		t.Fatal(err)
	}
	r, s := d.Record, d.Spec
	switch {
	case r.ID != c.ID || r.Name != "box" || r.State.Status != container.Created || r.Driver == "" || !strings.HasPrefix(r.ImageID, "sha256:"):
		t.Errorf("record %+v", r)
	case r.IDs == nil || s.Linux.UIDMappings[0].HostID != r.IDs.Base || s.Linux.UIDMappings[1].HostID != container.HighBase:
		t.Errorf("ids %+v, mappings %+v", r.IDs, s.Linux.UIDMappings)
	case r.User != "1000:33" || r.StopSignal != "SIGUSR1" || r.Labels["a"] != "b" || !slices.Equal(r.Network.Exposed, []string{"80/tcp"}):
		t.Errorf("from the image: %+v", r)
	case s.Hostname != "hh" || !slices.Contains(s.Process.Env, "HOSTNAME=hh") || !slices.Contains(s.Process.Env, "TERM=xterm"):
		t.Errorf("names: %q %q", s.Hostname, s.Process.Env)
	case *s.Linux.Resources.CPU.Quota != 50000 || *s.Linux.Resources.Memory.Limit != 64<<20:
		t.Errorf("resources: %+v", s.Linux.Resources)
	case s.Linux.Seccomp == nil || len(s.Linux.Seccomp.Syscalls) == 0:
		t.Error("no seccomp profile")
	case d.HostsPath != filepath.Join(e.store.Dir(c.ID), "hosts"):
		t.Errorf("hosts file %q", d.HostsPath)
	}
	if st, err := os.Stat(source); err != nil || !st.IsDir() {
		t.Errorf("the source was not made: %v", err)
	}
	volume := r.Mounts[1]
	if volume.Type != "volume" || volume.Destination != "/vol" {
		t.Fatalf("volume: %+v", volume)
	}
	if _, err := os.Stat(volume.Source); err != nil {
		t.Error(err)
	}
	if err := e.Remove(ctx, "box", RemoveOptions{Volumes: true}); err != nil {
		t.Fatal(err)
	}
	if after := leftovers(t, e); !slices.Equal(before, after) {
		t.Errorf("left: %v", after)
	}
}

// TestFailedCreateLeavesNothing: the name is taken, and separately the disk refuses.
func TestFailedCreateLeavesNothing(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	importImage(t, e, "base", `CMD ["sh"]`, "VOLUME /vol")
	if _, err := e.Create(ctx, CreateRequest{Name: "box", Image: "base"}); err != nil {
		t.Fatal(err)
	}
	before := leftovers(t, e)
	if _, err := e.Create(ctx, CreateRequest{Name: "box", Image: "base"}); !errors.Is(err, container.ErrExists) {
		t.Errorf("same name: %v", err)
	}
	// A file where the source's parent should be makes the last step fail.
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := &draft{}
	if d.makeSource(filepath.Join(file, "x")) == nil {
		t.Fatal("made a directory below a file")
	}
	blocked := filepath.Join(t.TempDir(), "gone", "dir")
	r := CreateRequest{Name: "other", Image: "base", Mounts: []MountRequest{{Type: "bind", Source: blocked, Destination: "/x", CreateSource: true}}}
	m := thisMachine()
	draft, err := e.prepareDraft(ctx, &r, &m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Dir(blocked), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.make(ctx, draft); err == nil {
		t.Error("made")
	}
	if after := leftovers(t, e); !slices.Equal(before, after) {
		t.Errorf("left: %v, before %v", after, before)
	}
}

func TestUnknownImage(t *testing.T) {
	e := testEngine(t)
	_, err := e.Create(context.Background(), CreateRequest{Image: "nosuch", Cmd: []string{"x"}})
	if !errors.Is(err, container.ErrNotFound) || !strings.Contains(err.Error(), "gourd load") {
		t.Error(err)
	}
	if list := leftovers(t, e); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
}

// TestKilledCreateAndRemoveAreSwept stops creation and removal where kill -9 would.
func TestKilledCreateAndRemoveAreSwept(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	importImage(t, e, "base", `CMD ["sh"]`, "VOLUME /vol")
	before := leftovers(t, e)

	// Killed in the middle of creating: the invisible directory, lease, volume and snapshot are there.
	r := CreateRequest{Name: "half", Image: "base"}
	m := thisMachine()
	d, err := e.prepareDraft(ctx, &r, &m)
	if err != nil {
		t.Fatal(err)
	}
	hidden := e.store.Dir("." + d.id)
	if err := os.Mkdir(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(d.id, filepath.Join(e.cfg.Root, "names", "half")); err != nil {
		t.Fatal(err)
	}
	if err := e.fill(ctx, d, d.record(time.Now()), hidden); err != nil {
		t.Fatal(err)
	}

	// Killed in the middle of removing: hidden, with everything else still there.
	c, err := e.Create(ctx, CreateRequest{Name: "going", Image: "base", AutoRemove: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.store.Hide(c.ID); err != nil {
		t.Fatal(err)
	}

	// Killed monitors: one of a container that ran, one of a container that was to be removed.
	lost, err := e.Create(ctx, CreateRequest{Name: "lost", Image: "base"})
	if err != nil {
		t.Fatal(err)
	}
	gone, err := e.Create(ctx, CreateRequest{Name: "gone", Image: "base", AutoRemove: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{lost.ID, gone.ID} {
		live, err := e.store.SetLive(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.store.Update(id, func(r *container.Record) error { r.State.Status = container.Running; return nil }); err != nil {
			t.Fatal(err)
		}
		live.Close()
	}

	if err := e.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	rec, err := e.store.Load(lost.ID)
	if err != nil || rec.State.Status != container.Exited || rec.State.ExitCode != 137 || !strings.Contains(rec.State.Error, "monitor") {
		t.Errorf("lost container: %+v, %v", rec, err)
	}
	if _, err := e.store.Load(gone.ID); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("--rm container: %v", err)
	}
	if err := e.Remove(ctx, "lost", RemoveOptions{Volumes: true}); err != nil {
		t.Fatal(err)
	}
	if after := leftovers(t, e); !slices.Equal(before, after) {
		t.Errorf("left: %v", after)
	}
}

// TestSweepLeavesTheLivingAlone: a container whose monitor lives, and one that is just being made.
func TestSweepLeavesTheLivingAlone(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	importImage(t, e, "base", `CMD ["sh"]`)
	c, err := e.Create(ctx, CreateRequest{Name: "alive", Image: "base"})
	if err != nil {
		t.Fatal(err)
	}
	live, err := e.store.SetLive(c.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if _, err := e.store.Update(c.ID, func(r *container.Record) error { r.State.Status = container.Running; return nil }); err != nil {
		t.Fatal(err)
	}
	swept := errors.New("stop here")
	r := &container.Record{ID: container.NewID(), Name: "making"}
	err = e.store.Create(r, []byte("{}"), func(dir string) error {
		if err := e.Sweep(ctx); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(dir); err != nil {
			t.Errorf("the sweep took what is being made: %v", err)
		}
		return swept
	})
	if !errors.Is(err, swept) {
		t.Error(err)
	}
	if rec, err := e.store.Load(c.ID); err != nil || rec.State.Status != container.Running {
		t.Errorf("the living container: %+v, %v", rec, err)
	}
}

func TestCreateManyAtOnce(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	importImage(t, e, "base", `CMD ["sh"]`)
	var group sync.WaitGroup
	var mu sync.Mutex
	bases := map[uint32]string{}
	for range 8 {
		group.Go(func() {
			for range 5 {
				c, err := e.Create(ctx, CreateRequest{Image: "base"})
				if err != nil {
					t.Error(err)
					return
				}
				r, err := e.store.Load(c.ID)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other := bases[r.IDs.Base]; other != "" {
					t.Errorf("%s and %s share ids", other, r.Name)
				}
				bases[r.IDs.Base] = r.Name
				mu.Unlock()
			}
		})
	}
	group.Wait()
	list, err := e.List(ctx, ListOptions{All: true})
	if err != nil || len(list) != 40 {
		t.Errorf("%d containers, %v", len(list), err)
	}
}

// golden compares a spec with testdata/NAME.json; UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".json")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what was built; look at the difference, then UPDATE_GOLDEN=1\n%s", path, got)
	}
}

func TestGoldenSpecs(t *testing.T) {
	for name, r := range map[string]CreateRequest{
		"default":    {},
		"privileged": {Privileged: true},
		"readonly":   {ReadOnly: true, Tmpfs: map[string]string{"/run": ""}, Init: true, Tty: true},
		"host":       {UserMode: "host", PidMode: "host", IPCMode: "none", UTSMode: "host", CgroupMode: "host", Network: NetworkRequest{Mode: "none"}},
		"limits": {
			Resources: Resources{Memory: 64 << 20, CPUs: "1.5", PidsLimit: ptr(int64(100)), BlkioWeight: 500, OomScoreAdj: 100, CpusetCPUs: "0"},
			Ulimits:   []Ulimit{{"nofile", 512, 1024}, {"core", 0, -1}}, Sysctls: map[string]string{"net.ipv4.ip_unprivileged_port_start": "1024"},
			CapDrop: []string{"ALL"}, CapAdd: []string{"net_raw"}, SecurityOpt: []string{"no-new-privileges"}, CgroupParent: "/mine",
		},
		"mounts": {
			ShmSize: 1 << 20,
			Mounts: []MountRequest{
				{Type: "bind", Source: "/usr/share", Destination: "/a/b/c", ReadOnly: true},
				{Type: "bind", Source: "/usr", Destination: "/a", NonRecursive: true, ReadOnly: true},
				{Type: "tmpfs", Destination: "/dev/shm", TmpfsSize: 4096},
			},
			Tmpfs: map[string]string{"/t": "exec,size=1m,mode=0751,uid=33"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := testEngine(t)
			m := plainMachine()
			d, err := e.check(&r, &image.ContainerConfig{Cmd: []string{"sh"}}, m)
			if err != nil {
				t.Fatal(err)
			}
			d.id = strings.Repeat("1a", 32)
			if d.hostname != m.Hostname {
				d.hostname = d.id[:12]
			}
			if d.modes.UserNS() {
				d.ids = &container.IDRange{Slot: 1, Base: 0x20010000}
			}
			if r.Privileged {
				d.devices = &deviceSet{Rules: d.devices.Rules} // the host's own differ
			}
			text, err := encodeSpec(d.spec("/var/lib/gourd/containers/"+d.id, "rootfs"), json.RawMessage(`{"defaultAction":"SCMP_ACT_ERRNO"}`))
			if err != nil {
				t.Fatal(err)
			}
			var back specs.Spec
			if err := json.Unmarshal(text, &back); err != nil || back.Linux.Seccomp.DefaultAction != specs.ActErrno {
				t.Fatalf("the spec does not read back: %v", err)
			}
			var b bytes.Buffer
			if err := json.Indent(&b, text, "", "\t"); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.Bytes())
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	cfg := DefaultConfig()
	cfg.Root, cfg.State = b.TempDir(), b.TempDir()
	e, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	importImage(b, e, "base", `CMD ["sh"]`)
	ctx := context.Background()
	for b.Loop() {
		c, err := e.Create(ctx, CreateRequest{Image: "base", AutoRemove: true})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := e.Remove(ctx, c.ID, RemoveOptions{}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkListThousand(b *testing.B) {
	cfg := DefaultConfig()
	cfg.Root, cfg.State = b.TempDir(), b.TempDir()
	e, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	importImage(b, e, "base", `CMD ["sh"]`)
	ctx := context.Background()
	for range 1000 {
		if _, err := e.Create(ctx, CreateRequest{Image: "base"}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := e.Sweep(ctx); err != nil {
			b.Fatal(err)
		}
		if list, err := e.List(ctx, ListOptions{All: true}); err != nil || len(list) != 1000 {
			b.Fatal(len(list), err)
		}
	}
}

// TestSweepOnceABoot finds leases and writable layers that belong to no container.
func TestSweepOnceABoot(t *testing.T) {
	e := testEngine(t)
	ctx := context.Background()
	importImage(t, e, "base", `CMD ["sh"]`)
	kept := mustCreate(t, e, CreateRequest{Name: "kept", Image: "base"}, func(s *container.State) {
		s.Status, s.Monitor = container.Running, container.Process{Pid: 1, Boot: "another"}
	})
	before := leftovers(t, e)
	orphan := container.NewID()
	if _, err := e.store.LeaseIDs(orphan, container.IDPool{Base: e.cfg.IDs.Base, Size: e.cfg.IDs.Size}); err != nil {
		t.Fatal(err)
	}
	d, err := e.snapshots("")
	if err != nil {
		t.Fatal(err)
	}
	img, err := e.Image(ctx, "base")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Prepare(ctx, orphan, img.DiffIDs, snapshot.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := e.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if after := leftovers(t, e); !slices.Equal(before, after) {
		t.Errorf("left: %v, before %v", after, before)
	}
	// What ran when the machine went down has ended.
	r, err := e.store.Load(kept.ID)
	if err != nil || r.State.Status != container.Exited || !strings.Contains(r.State.Error, "restarted") {
		t.Errorf("after a reboot: %+v, %v", r, err)
	}
}

// TestCutShortRemovalKeepsVolumes: nobody asked for them to go.
func TestCutShortRemovalKeepsVolumes(t *testing.T) {
	e := testEngine(t)
	importImage(t, e, "base", `CMD ["sh"]`, "VOLUME /vol")
	r := mustCreate(t, e, CreateRequest{Name: "box", Image: "base"}, nil)
	if _, err := e.store.Hide(r.ID); err != nil {
		t.Fatal(err)
	}
	if err := e.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Mounts[0].Source); err != nil {
		t.Error(err)
	}
	if half, _ := e.store.Half(); len(half) > 0 {
		t.Errorf("still half: %v", half)
	}
}

func TestResolvConfIsRefreshedUnlessChanged(t *testing.T) {
	e := testEngine(t)
	importImage(t, e, "base", `CMD ["sh"]`)
	r := mustCreate(t, e, CreateRequest{Name: "box", Image: "base"}, nil)
	file := filepath.Join(e.store.Dir(r.ID), "resolv.conf")
	e.cfg.Network.DNS = []string{"192.0.2.7"} // other resolvers by now
	if err := e.refreshResolv(r); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "192.0.2.7") {
		t.Errorf("%s, %v", b, err)
	}
	if err := os.WriteFile(file, []byte("nameserver 192.0.2.8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.cfg.Network.DNS = []string{"192.0.2.9"}
	if err := e.refreshResolv(r); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(file); string(b) != "nameserver 192.0.2.8\n" {
		t.Errorf("the container's own was replaced: %s", b)
	}
}
