package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"
	"gourd/internal/container/control"
	"gourd/internal/runtime"
	"gourd/internal/snapshot"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// native makes the container with gourd's own runtime, in this process.
type native struct {
	store   *container.Store
	record  *container.Record
	spec    *specs.Spec // read when it is needed first
	seccomp json.RawMessage
	group   *cgroup.Group
	oom     *cgroup.OOMWatch
	exited  *exitWatch
	done    []container.Step
	wire    wire
}

func newNative(store *container.Store, r *container.Record) *native {
	return &native{store: store, record: r, wire: wire{store: store, record: r}}
}

// load reads the spec.
func (n *native) load() (err error) {
	if n.spec != nil {
		return nil
	}
	n.spec, n.seccomp, err = runtime.LoadBundle(n.store.Dir(n.record.ID))
	if err == nil && (n.spec.Process == nil || n.spec.Linux == nil) {
		err = &container.Error{Verb: "read spec of container", Object: n.record.Name, Kind: container.ErrCorrupt}
	}
	return err
}

func (n *native) terminal() (bool, error) {
	if err := n.load(); err != nil {
		return false, err
	}
	return n.spec.Process.Terminal, nil
}

// cgroup is where the record says it is to be (the engine chose it).
func (n *native) cgroup() (path string, systemd bool) {
	return n.record.State.Cgroup, n.record.State.Systemd
}

// create makes the container and starts it: the runtime needs no pause between the two, since the window
// is in the spec and everything else is done in the callbacks.
func (n *native) create(stdio [3]*os.File, window *control.Size) (made, error) {
	if err := n.load(); err != nil {
		return made{}, err
	}
	setWindow(n.spec.Process, window)
	joined, err := joinNamespaces(n.store, n.record, n.spec)
	if err != nil {
		return made{}, err
	}
	defer joined.close()
	if n.record.Init {
		m, err := initMount(n.store)
		if err != nil {
			return made{}, err
		}
		n.spec.Mounts = append(n.spec.Mounts, m)
	}
	rootfs, err := n.prepare()
	if err != nil {
		return made{}, err
	}
	k, err := runtime.Run(&runtime.Config{
		ID: n.record.ID, Bundle: n.store.Dir(n.record.ID), Spec: n.spec, Seccomp: n.seccomp, RootFS: rootfs, Cgroup: n.group,
		Stdio: stdio, OnRoot: n.onRoot, OnNamespaces: func(pid int) error { return n.wire.attach(pid, n.spec) }, ParentDeath: unix.SIGKILL,
		StateDir: n.store.State, LenientIdmap: true, Detached: joined.detached,
	})
	if err != nil {
		return made{}, err
	}
	n.oom = n.group.WatchOOM()
	n.done = k.Steps()
	n.wire.told = append(n.wire.told, k.Notices...)
	m, err := adoptProcess(&k.Process)
	n.exited = m.exited
	return m, err
}

// prepare makes the cgroup and finds out how the root is mounted, both at once.
func (n *native) prepare() (rootfs *container.RootFS, err error) {
	var mounting sync.WaitGroup
	var merr error
	if n.record.Driver != "" {
		mounting.Go(func() { rootfs, merr = mountOf(n.store.Root, n.record) })
	}
	n.group, err = n.makeGroup()
	mounting.Wait()
	return rootfs, errors.Join(err, merr)
}

func mountOf(root string, r *container.Record) (*container.RootFS, error) {
	driver, err := snapshot.Open(root, r.Driver)
	if err != nil {
		return nil, err
	}
	fs, err := driver.Mount(r.ID)
	if err != nil {
		return nil, &container.Error{Verb: "mount root of container", Object: r.Name, Cause: err}
	}
	return fs, nil
}

func (n *native) makeGroup() (*cgroup.Group, error) {
	path, systemd := n.cgroup()
	if path == "" {
		path = n.spec.Linux.CgroupsPath
		n.record.State.Cgroup = path
	}
	o := cgroup.Options{Path: path, Systemd: systemd, Resources: n.spec.Linux.Resources, Annotations: n.spec.Annotations}
	if n.record.IDs != nil {
		owner := int(n.record.IDs.MapUIDs()[0].HostID)
		o.OwnerUID = &owner
	}
	return cgroup.Create(o)
}

// onRoot finds out, in the container's own files, who its program runs as, and fills new volumes.
func (n *native) onRoot(root *os.File, spec *specs.Spec) error {
	a, err := resolveUser(root, n.record.User, n.record.GroupAdd)
	if err != nil {
		return err
	}
	a.apply(spec.Process)
	return fillVolumes(n.store, n.record, root)
}

// apply makes a process run as the account.
func (a *account) apply(p *specs.Process) {
	p.User = specs.User{UID: a.UID, GID: a.GID, AdditionalGids: a.Groups, Umask: p.User.Umask}
	for _, kv := range p.Env {
		if strings.HasPrefix(kv, "HOME=") {
			return
		}
	}
	p.Env = append(p.Env, "HOME="+a.Home)
}

func (n *native) oomKilled() bool {
	defer n.oom.Close()
	kills, err := n.group.OOMKills()
	return err == nil && kills > 0 || n.oom.Kills() > 0
}

func (n *native) start() error { return nil }

func (n *native) exec(e *control.Exec, p *specs.Process, stdio [3]*os.File) (made, error) {
	if err := applyUserIn(n.exited.pid, e, p); err != nil {
		return made{}, err
	}
	init, err := container.Identify(n.exited.pid)
	if err != nil {
		return made{}, &container.Error{Verb: "exec in container", Object: n.record.Name, Kind: container.ErrNotRunning}
	}
	o := runtime.ExecOptions{Stdio: stdio, StateDir: n.store.State}
	if !e.Privileged {
		if err := n.load(); err != nil {
			return made{}, err
		}
		o.Seccomp = n.seccomp
	}
	k, err := runtime.Exec(runtime.Target{ID: n.record.ID, Process: init, Cgroup: n.group}, p, o)
	if err != nil {
		return made{}, err
	}
	return adoptProcess(k)
}

// adoptProcess takes over what is needed of a process of the runtime's: its end and its terminal.
func adoptProcess(k *runtime.Process) (m made, err error) {
	m.master, k.Console = k.Console, nil
	m.exited, err = watchExit(k.Pid)
	k.Close()
	if m.master != nil {
		err = errors.Join(err, nonblocking(&m.master))
	}
	return m, err
}

// nonblocking makes a file take part in the Go runtime's poller.
func nonblocking(f **os.File) error {
	fd, err := unix.FcntlInt((*f).Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return fmt.Errorf("use terminal: %w", err)
	}
	name := (*f).Name()
	(*f).Close()
	*f = os.NewFile(uintptr(fd), name)
	return nil
}

func (n *native) adopt(exited *exitWatch) (err error) {
	n.exited = exited
	n.wire.attached = len(n.record.Network.Endpoints) > 0
	path, systemd := n.cgroup()
	if n.group, err = cgroup.Load(path, systemd); err == nil {
		n.oom = n.group.WatchOOM()
	}
	return err
}

func (n *native) signal(sig unix.Signal, all bool) error {
	if all {
		return n.group.Kill(sig)
	}
	return n.exited.signal(sig)
}

func (n *native) pause() error          { return n.group.Freeze() }
func (n *native) resume() error         { return n.group.Thaw() }
func (n *native) paused() (bool, error) { return n.group.Frozen() }

func (n *native) update(r *specs.LinuxResources) error { return n.group.Set(r) }

// killRest ends what lives on after pid 1 in a shared pid namespace. In one of its own nothing does, and
// the look costs a system call or two.
func (n *native) killRest() error {
	pids, err := n.group.Pids(true)
	if err != nil || len(pids) == 0 {
		return err
	}
	return n.group.Kill(unix.SIGKILL)
}

// cleanTime bounds the wait for processes of the container to be gone.
const cleanTime = 10 * time.Second

func (n *native) clean() error {
	err := n.wire.detach()
	if n.group == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTime)
	defer cancel()
	kill := n.killRest()
	return errors.Join(err, kill, n.group.Delete(ctx), n.group.Close())
}

func (n *native) steps() []container.Step { return n.done }
func (n *native) notices() []string       { return n.wire.told }
