package monitor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"
	"gourd/internal/container/control"
	"gourd/internal/runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// foreign makes the container with another OCI runtime, by the command line that runc, crun, runsc and
// Kata share (runc's man pages; it isn't part of the OCI specification).
type foreign struct {
	runtime string // path
	args    []string
	id      string
	store   *container.Store
	record  *container.Record
	bundle  string // the container's directory
	spec    *specs.Spec
	dir     string // the runtime's files, below the container's run directory
	wire    wire
	pid     int          // of the container's first process
	made    atomic.Int32 // exec processes so far: part of their files' names
}

// newForeign prepares to drive a runtime. Its processes become this process's children when it ends,
// so that their exit can be waited for (prctl(2), PR_SET_CHILD_SUBREAPER).
func newForeign(store *container.Store, r *container.Record, o *Foreign) (*foreign, error) {
	if r.IDs != nil {
		return nil, &container.Error{
			Verb: "start container", Object: r.Name, Kind: container.ErrUnsupported,
			Cause: fmt.Errorf("runtime %s can't be given idmapped layers", o.Path), Hint: "use --userns=host with it",
		}
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become reaper of the runtime's processes: %w", err)
	}
	f := &foreign{runtime: o.Path, args: o.Args, record: r, store: store, wire: wire{store: store, record: r}, id: r.ID, bundle: store.Dir(r.ID), dir: filepath.Join(store.RunDir(r.ID), "oci")}
	return f, os.MkdirAll(filepath.Join(f.dir, "root"), 0o700)
}

// load reads the spec when it is needed first.
func (f *foreign) load() (err error) {
	if f.spec == nil {
		f.spec, err = loadSpec(f.bundle)
	}
	return err
}

func (f *foreign) terminal() (bool, error) {
	if err := f.load(); err != nil {
		return false, err
	}
	return f.spec.Process.Terminal, nil
}

func (f *foreign) adopt(exited *exitWatch) error {
	f.pid = exited.pid
	f.wire.attached = len(f.record.Network.Endpoints) > 0
	return nil
}

// cgroup is where the runtime was told to make it.
func (f *foreign) cgroup() (path string, systemd bool) {
	return f.record.State.Cgroup, f.record.State.Systemd
}

func (f *foreign) create(stdio [3]*os.File, window *control.Size) (made, error) {
	if err := f.load(); err != nil {
		return made{}, err
	}
	setWindow(f.spec.Process, window)
	joined, err := joinNamespaces(f.store, f.record, f.spec)
	if err != nil {
		return made{}, err
	}
	defer joined.close()
	if err := f.prepareRoot(); err != nil {
		return made{}, err
	}
	b, err := json.Marshal(f.spec)
	if err != nil {
		return made{}, err
	}
	if err := os.WriteFile(filepath.Join(f.dir, "config.json"), b, 0o600); err != nil {
		return made{}, fmt.Errorf("write bundle: %w", err)
	}
	m, err := f.make(stdio, f.spec.Process.Terminal, "pid", "create", "--bundle", f.dir)
	if err != nil {
		return m, err
	}
	f.pid = m.exited.pid
	return m, f.wire.attach(f.pid, f.spec)
}

// prepareRoot mounts the container's root where the runtime looks for it, and finds out in it who the
// program runs as. The mount is seen in this process's own mount namespace only, which the engine gave it.
func (f *foreign) prepareRoot() error {
	dir := f.spec.Root.Path
	if f.record.Driver != "" {
		fs, err := mountOf(f.store.Root, f.record)
		if err != nil {
			return err
		}
		dir = f.rootDir()
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
		fd, err := runtime.MountRoot(fs)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount root of container: %w", err)
		}
		f.spec.Root.Path = dir
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(f.bundle, dir)
		f.spec.Root.Path = dir
	}
	root, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open root of container: %w", err)
	}
	defer root.Close()
	a, err := resolveUser(root, f.record.User, f.record.GroupAdd)
	if err != nil {
		return err
	}
	a.apply(f.spec.Process)
	return fillVolumes(f.store, f.record, root)
}

func (f *foreign) rootDir() string { return filepath.Join(f.dir, "rootfs") }

// make runs a command that makes a process of the container, and adopts it.
func (f *foreign) make(stdio [3]*os.File, terminal bool, pidFile string, args ...string) (m made, err error) {
	pidFile = filepath.Join(f.dir, pidFile)
	args = append(args, "--pid-file", pidFile)
	var console *consoleSocket
	if terminal {
		if console, err = newConsoleSocket(filepath.Join(f.dir, "console.sock")); err != nil {
			return made{}, err
		}
		defer console.close()
		args = append(args, "--console-socket", console.path)
	}
	if err := f.command(stdio, append(args, f.id)...); err != nil {
		return made{}, err
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return made{}, fmt.Errorf("read the runtime's pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return made{}, fmt.Errorf("read the runtime's pid file: %w", err)
	}
	if console != nil {
		if m.master, err = console.receive(); err != nil {
			return made{}, err
		}
	}
	m.exited, err = watchExit(pid)
	return m, err
}

func (f *foreign) start() error { return f.command([3]*os.File{}, "start", f.id) }

func (f *foreign) exec(e *control.Exec, p *specs.Process, stdio [3]*os.File) (made, error) {
	if err := applyUserIn(f.pid, e, p); err != nil {
		return made{}, err
	}
	name := fmt.Sprintf("exec-%d", f.made.Add(1))
	b, err := json.Marshal(p)
	if err != nil {
		return made{}, err
	}
	file := filepath.Join(f.dir, name+".json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return made{}, fmt.Errorf("write process: %w", err)
	}
	defer os.Remove(file)
	defer os.Remove(filepath.Join(f.dir, name+".pid"))
	return f.make(stdio, p.Terminal, name+".pid", "exec", "--detach", "--process", file)
}

func (f *foreign) signal(sig unix.Signal, all bool) error {
	args := []string{"kill"}
	if all {
		args = append(args, "--all")
	}
	return f.command([3]*os.File{}, append(args, f.id, strconv.Itoa(int(sig)))...)
}

func (f *foreign) pause() error  { return f.command([3]*os.File{}, "pause", f.id) }
func (f *foreign) resume() error { return f.command([3]*os.File{}, "resume", f.id) }

func (f *foreign) paused() (bool, error) {
	out, err := f.output("state", f.id)
	if err != nil {
		return false, err
	}
	var state struct{ Status string }
	if err := json.Unmarshal(out, &state); err != nil {
		return false, fmt.Errorf("read the runtime's state: %w", err)
	}
	return state.Status == "paused", nil
}

func (f *foreign) update(r *specs.LinuxResources) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file := filepath.Join(f.dir, "limits.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return fmt.Errorf("write limits: %w", err)
	}
	defer os.Remove(file)
	return f.command([3]*os.File{}, "update", "--resources", file, f.id)
}

func (f *foreign) notices() []string       { return f.wire.told }
func (f *foreign) killRest() error         { return nil }
func (f *foreign) steps() []container.Step { return nil }

// oomKilled looks into the cgroup, before the runtime deletes it.
func (f *foreign) oomKilled() bool {
	path, systemd := f.cgroup()
	if path == "" {
		return false
	}
	g, err := cgroup.Load(path, systemd)
	if err != nil {
		return false
	}
	defer g.Close()
	kills, err := g.OOMKills()
	return err == nil && kills > 0
}

// delete has the runtime forget the container. Its processes may still be on their way out, which runtimes
// don't wait for when they remove the cgroup; hence the repetition.
func (f *foreign) delete() (err error) {
	for pause := 10 * time.Millisecond; pause < time.Second; pause *= 2 {
		if err = f.command([3]*os.File{}, "delete", "--force", f.id); err == nil {
			return nil
		}
		time.Sleep(pause)
	}
	return err
}

func (f *foreign) clean() error {
	err := errors.Join(f.wire.detach(), f.delete())
	uerr := unix.Unmount(f.rootDir(), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if uerr != nil && uerr != unix.EINVAL && uerr != unix.ENOENT {
		return errors.Join(err, fmt.Errorf("unmount root of container: %w", uerr)) // nothing below it may be deleted
	}
	return errors.Join(err, removeBusy(f.dir))
}

// removeBusy removes a directory that an ending process of another runtime may still be writing to.
func removeBusy(dir string) (err error) {
	for range 50 {
		if err = os.RemoveAll(dir); !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// output runs a command of the runtime and gives what it prints.
func (f *foreign) output(args ...string) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	done := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(r, 1<<20))
		done <- b
	}()
	err = f.command([3]*os.File{nil, w, nil}, args...)
	w.Close()
	return <-done, err
}

// command runs the runtime with these standard files (nil: the null device).
func (f *foreign) command(stdio [3]*os.File, args ...string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for i := range stdio {
		if stdio[i] == nil {
			stdio[i] = null
		}
	}
	log := filepath.Join(f.dir, "log.json")
	os.Remove(log)
	argv := append(append([]string{f.runtime}, f.args...), "--root", filepath.Join(f.dir, "root"), "--log", log, "--log-format", "json")
	argv = append(argv, args...)
	p, err := os.StartProcess(f.runtime, argv, &os.ProcAttr{Env: os.Environ(), Files: stdio[:]})
	if err != nil {
		return &container.Error{Verb: "run runtime", Object: f.runtime, Cause: err}
	}
	state, err := p.Wait()
	if err != nil {
		return fmt.Errorf("run runtime %s: %w", f.runtime, err)
	}
	if state.Success() {
		return nil
	}
	return f.complaint(args[0], log, state.String())
}

// complaint makes an error of what the runtime has logged last. Which sentinel it is can only be told
// by runc's words, as dockerd and podman do.
func (f *foreign) complaint(verb, log, state string) error {
	text := state
	if b, err := os.ReadFile(log); err == nil {
		for line := range bytes.SplitSeq(b, []byte("\n")) {
			var entry struct{ Level, Msg string }
			if json.Unmarshal(line, &entry) == nil && entry.Msg != "" && (entry.Level == "error" || entry.Level == "fatal") {
				text = entry.Msg
			}
		}
	}
	return &container.Error{Verb: filepath.Base(f.runtime), Object: verb, Kind: kindOfText(text), Cause: errors.New(text)}
}

func kindOfText(text string) error {
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("exec:") && has("executable file not found", "no such file or directory"):
		return container.ErrNoCommand
	case has("exec:", "exec ") && has("permission denied", "is a directory", "exec format error"):
		return container.ErrNotExecutable
	case has("container not running", "process already finished", "does not exist"):
		return container.ErrNotRunning
	}
	return nil
}
