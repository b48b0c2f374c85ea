package monitor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"gourd/internal/container"
	"gourd/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// joins are descriptors that the spec names by their paths in /proc while the container is made.
type joins struct {
	files    []*os.File
	detached map[string]*os.File // mounts, by the path that a bind's source has
}

func (j *joins) close() {
	for _, f := range j.files {
		f.Close()
	}
}

func (j *joins) path(f *os.File) string {
	j.files = append(j.files, f)
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd())
}

// joinNamespaces puts the namespaces of other containers into the spec, where the record's modes name
// them ("container:ID"). They are named by descriptors that were opened while that container was alive.
func joinNamespaces(store *container.Store, r *container.Record, spec *specs.Spec) (*joins, error) {
	j := new(joins)
	for _, ns := range []struct {
		mode string
		kind specs.LinuxNamespaceType
		file string
	}{
		{r.Modes.User, specs.UserNamespace, "user"},
		{r.Modes.Pid, specs.PIDNamespace, "pid"},
		{r.Modes.IPC, specs.IPCNamespace, "ipc"},
		{r.Modes.UTS, specs.UTSNamespace, "uts"},
		{r.Network.Mode, specs.NetworkNamespace, "net"},
		{r.Modes.Cgroup, specs.CgroupNamespace, "cgroup"},
	} {
		id, ok := strings.CutPrefix(ns.mode, "container:")
		if !ok {
			continue
		}
		if err := j.join(store, id, ns.kind, ns.file, spec); err != nil {
			j.close()
			return nil, err
		}
	}
	return j, nil
}

// join opens one namespace of container id, and with the IPC namespace its /dev/shm.
func (j *joins) join(store *container.Store, id string, kind specs.LinuxNamespaceType, file string, spec *specs.Spec) error {
	other, err := store.Load(id)
	if err != nil {
		return err
	}
	pid := other.State.Process.Pid
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, file))
	if err != nil || !other.State.Process.Alive() {
		if err == nil {
			f.Close()
		}
		return &container.Error{Verb: "join " + string(kind) + " namespace of container", Object: other.Name, Kind: container.ErrNotRunning, Hint: "start it first"}
	}
	setNamespace(spec, kind, j.path(f))
	if kind != specs.IPCNamespace {
		return nil
	}
	shm, err := cloneMountOf(pid, "/dev/shm")
	if err != nil {
		return &container.Error{Verb: "share /dev/shm of container", Object: other.Name, Cause: err}
	}
	source := j.path(shm)
	j.detached = map[string]*os.File{source: shm}
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: "/dev/shm", Type: "bind", Source: source,
		Options: []string{"bind", "rprivate", "nosuid", "noexec", "nodev"},
	})
	return nil
}

func setNamespace(spec *specs.Spec, kind specs.LinuxNamespaceType, path string) {
	for i := range spec.Linux.Namespaces {
		if spec.Linux.Namespaces[i].Type == kind {
			spec.Linux.Namespaces[i].Path = path
			return
		}
	}
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
}

// cloneMountOf gives a detached copy of a mount of another process's mount namespace. open_tree(2) copies
// only what is in the caller's own, so a thread goes there; it ends with the goroutine that holds it.
func cloneMountOf(pid int, path string) (*os.File, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	type result struct {
		fd  int
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS)); err != nil {
			done <- result{-1, err}
			return
		}
		fd, err := linux.OpenTree(unix.AT_FDCWD, path, false)
		done <- result{fd, err}
	}()
	r := <-done
	if r.err != nil {
		return nil, r.err
	}
	return os.NewFile(uintptr(r.fd), path), nil
}
