package docker

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/google/go-cmp/cmp"
	api "github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func example() *engine.Details {
	limit, swap, quota, period := int64(64<<20), int64(96<<20), int64(110000), uint64(100000)
	stop := 3
	r := &container.Record{
		ID: "0123", Name: "web", Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Image: "busybox", ImageID: "sha256:ab", Driver: "overlay",
		Entrypoint: []string{"/bin/sh"}, Cmd: []string{"-c", "x"}, User: "1000", Workdir: "/w", Labels: map[string]string{"a": "b"}, CPUs: "1.1", StopTimeout: &stop,
		Mounts: []container.Mount{
			{Type: "bind", Source: "/a", Destination: "/b", Mode: "ro", Propagation: "rprivate", Spelled: "/a:/b:ro"},
			{Type: "bind", Source: "/c", Destination: "/d", RW: true},
		},
		Network: container.Network{Exposed: []string{"80-81/tcp"}, Endpoints: []container.Endpoint{{Network: "bridge", IPv4: "172.29.0.2/16", Gateway4: "172.29.0.1", MAC: "02:42:ac:1d:00:02"}}},
		State:   container.State{Status: container.Running, Process: container.Process{Pid: 42}, Started: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)},
	}
	spec := &specs.Spec{
		Hostname: "h", Root: &specs.Root{Readonly: true},
		Process: &specs.Process{Terminal: true, Env: []string{"A=1"}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 512, Hard: 1024}}},
		Linux: &specs.Linux{Resources: &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: &limit, Swap: &swap}, CPU: &specs.LinuxCPU{Quota: &quota, Period: &period},
		}},
	}
	return &engine.Details{Record: r, Spec: spec, LogPath: "/l", SizeRW: -1, SizeRootFS: -1}
}

func TestContainer(t *testing.T) {
	c := NewContainer(example())
	got := map[string]any{
		"path": c.Path, "args": c.Args, "name": c.Name, "pid": c.State.Pid, "running": c.State.Running, "finished": c.State.FinishedAt, "created": c.Created,
		"binds": c.HostConfig.Binds, "nano": c.HostConfig.NanoCPUs, "quota": c.HostConfig.CPUQuota, "memory": c.HostConfig.Memory, "swap": c.HostConfig.MemorySwap,
		"ulimits": c.HostConfig.Ulimits, "address": c.NetworkSettings.Networks["bridge"].IPAddress, "ports": len(c.Config.ExposedPorts), "tty": c.Config.Tty,
	}
	want := map[string]any{
		"path": "/bin/sh", "args": []string{"-c", "x"}, "name": "/web", "pid": 42, "running": true, "finished": "0001-01-01T00:00:00Z", "created": "2026-01-02T03:04:05.000000006Z",
		"binds": []string{"/a:/b:ro"}, "nano": int64(1100000000), "quota": int64(0), "memory": int64(64 << 20), "swap": int64(96 << 20),
		"ulimits": []Ulimit{{"nofile", 1024, 512}}, "address": "172.29.0.2", "ports": 2, "tty": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	d := example()
	d.Record.State = container.State{Status: container.Exited, Process: container.Process{Pid: 42}, ExitCode: 7}
	if s := NewContainer(d).State; s.Running || s.Pid != 0 || s.ExitCode != 7 {
		t.Errorf("state of an ended container: %+v", s)
	}
}

// laterFields are of docker's object but never there for a container of gourd's: Windows', those that
// docker leaves out when they are empty, and such as have become obsolete.
var laterFields = []string{
	"Health", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "OnBuild", "Shell", "StorageOpt", "Umask", "Storage", "ImageManifestDescriptor",
}

// Every field of docker's own types is here under the same JSON name, in the same order, and no other.
func TestFieldsAreDockers(t *testing.T) {
	for _, pair := range []struct{ ours, theirs any }{
		{Container{}, api.InspectResponse{}},
		{State{}, api.State{}},
		{Config{}, api.Config{}},
		{HostConfig{}, api.HostConfig{}},
		{Resources{}, api.Resources{}},
		{MountPoint{}, api.MountPoint{}},
		{NetworkSettings{}, api.NetworkSettings{}},
		{LogConfig{}, api.LogConfig{}},
		{RestartPolicy{}, api.RestartPolicy{}},
		{Device{}, api.DeviceMapping{}},
		{Ulimit{}, api.Ulimit{}},
	} {
		ours := slices.DeleteFunc(names(reflect.TypeOf(pair.ours)), func(s string) bool { return s == "Gourd" })
		theirs := slices.DeleteFunc(names(reflect.TypeOf(pair.theirs)), func(s string) bool { return slices.Contains(laterFields, s) })
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%T:\n%s", pair.ours, diff)
		}
	}
}

func names(t reflect.Type) []string {
	var list []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		list = append(list, name)
	}
	return list
}

// Docker's own types read what is printed.
func TestDockerReadsIt(t *testing.T) {
	b, err := json.Marshal(NewContainer(example()))
	if err != nil {
		t.Fatal(err)
	}
	var theirs api.InspectResponse
	if err := json.Unmarshal(b, &theirs); err != nil {
		t.Fatalf("docker's type can't read %s: %v", b, err)
	}
	if theirs.State.Pid != 42 || theirs.HostConfig.NanoCPUs != 1100000000 || theirs.NetworkSettings.Networks["bridge"].IPAddress.String() != "172.29.0.2" {
		t.Errorf("read back: %+v", theirs)
	}
}
