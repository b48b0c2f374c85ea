package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gourd/internal/container"
	"gourd/internal/image"
	"gourd/internal/network"
)

// draft is a container between the request and its record and spec: everything is checked, nothing is
// made.
type draft struct {
	req     *CreateRequest
	machine *machine
	id      string

	modes           *modes
	capAdd, capDrop []string
	program         *program
	security        *security
	devices         *deviceSet
	storage         *storage
	runtime         string // path of another OCI runtime, "" is gourd's own
	runtimeArgs     []string
	hostname        string
	ids             *container.IDRange // nil until leased, and with the host's user namespace
	notices         []string

	image      *image.Image // nil with --rootfs
	seccomp    json.RawMessage
	extraHosts []network.ExtraHost
	made       []string // source directories that were made
}

// check makes a draft of a request. config is nil with --rootfs.
func (e *Engine) check(r *CreateRequest, config *image.ContainerConfig, m *machine) (*draft, error) {
	d := &draft{req: r, machine: m, id: container.NewID()}
	var err error
	if err = d.checkSimple(); err != nil {
		return nil, err
	}
	if d.runtime, d.runtimeArgs, err = e.findRuntime(r.Runtime); err != nil {
		return nil, err
	}
	if err = d.checkModes(e); err != nil {
		return nil, err
	}
	if err = d.checkNetwork(); err != nil {
		return nil, err
	}
	if d.program, err = merge(r, config); err != nil {
		return nil, err
	}
	if d.modes.User == modeKeepID && d.program.User == "" {
		d.program.User = fmt.Sprintf("%d:%d", r.CallerUID, r.CallerGID)
	}
	if d.security, err = parseSecurity(r.SecurityOpt, m); err != nil {
		return nil, err
	}
	if d.devices, err = planDevices(r); err != nil {
		return nil, err
	}
	if d.storage, err = planStorage(r, d.program.Volumes, e.store.VolumesDir(), d.idmapBinds()); err != nil {
		return nil, err
	}
	if err = d.checkLimits(); err != nil {
		return nil, err
	}
	d.hostname, err = d.chooseHostname(e)
	return d, err
}

// idmapBinds: in a user namespace binds are idmapped, so that files keep their owners.
func (d *draft) idmapBinds() bool { return d.modes.UserNS() }

// checkSimple checks what depends on nothing else.
func (d *draft) checkSimple() error {
	r := d.req
	if r.Name != "" {
		if err := container.CheckName(strings.TrimPrefix(r.Name, "/")); err != nil {
			return err
		}
	}
	if err := checkLabels("label", r.Labels); err != nil {
		return err
	}
	if err := checkLabels("annotation", r.Annotations); err != nil {
		return err
	}
	if err := checkRestart(r); err != nil {
		return err
	}
	for _, g := range r.GroupAdd {
		if g == "" || strings.Contains(g, ":") {
			return invalid("use --group-add", fmt.Sprintf("%q", g), "it is not a group's name or number", "")
		}
		if err := checkUser(g); err != nil {
			return err
		}
	}
	switch {
	case r.StopTimeout != nil && *r.StopTimeout < -1:
		return invalid("use --stop-timeout", fmt.Sprint(*r.StopTimeout), "it is a number of seconds, or -1 to wait for ever", "")
	case r.ShmSize < 0:
		return invalid("use --shm-size", fmt.Sprint(r.ShmSize), "it is negative", "")
	case r.TimeOffset != 0 && !d.machine.Time:
		return unsupported("use --time-offset", r.TimeOffset.String(), "this kernel has no time namespaces (Linux 5.6, CONFIG_TIME_NS)", "")
	}
	return nil
}

func checkRestart(r *CreateRequest) error {
	p := r.Restart
	switch p.Name {
	case "", "no", "always", "unless-stopped":
		if p.MaxRetries != 0 {
			return invalid("use --restart", p.Name, "only on-failure takes a number of tries", "")
		}
	case "on-failure":
		if p.MaxRetries < 0 {
			return invalid("use --restart", fmt.Sprintf("%s:%d", p.Name, p.MaxRetries), "the number of tries is negative", "")
		}
	default:
		return invalid("use --restart", p.Name, "there is no such policy", "no, always, unless-stopped, on-failure[:N]")
	}
	if r.AutoRemove && p.Name != "" && p.Name != "no" {
		return invalid("use --restart", p.Name, "a container that is removed when it ends (--rm) can't be restarted", "leave one of them out")
	}
	return nil
}

func (d *draft) checkModes(e *Engine) error {
	var err error
	if d.capAdd, err = normalizeCaps(d.req.CapAdd); err != nil {
		return err
	}
	if d.capDrop, err = normalizeCaps(d.req.CapDrop); err != nil {
		return err
	}
	d.modes, err = settleModes(d.req, d.capAdd, e.cfg.Network.Default, d.runtime != "", func(ref string) (*container.Record, error) {
		id, err := e.store.Resolve(ref)
		if err != nil {
			return nil, err
		}
		return e.store.Load(id)
	})
	if err != nil {
		return err
	}
	if d.modes.User == modeKeepID && d.req.CallerUID == 0 {
		return invalid("use --userns", modeKeepID, "the caller is root, whose id can't be kept in a namespace of its own", "call gourd through sudo as a user, or use --userns=host")
	}
	d.notices = append(d.notices, d.modes.notices...)
	return d.machine.checkCaps(d.capAdd, d.modes.UserNS())
}

// findRuntime gives the path and arguments of an OCI runtime by name or path; the path is "" for gourd's
// own, which is linked into the monitor.
func (e *Engine) findRuntime(name string) (path string, args []string, err error) {
	name = cmpOr(name, e.cfg.DefaultRuntime)
	if name == "" || name == "gourd" {
		return "", nil, nil
	}
	r, known := e.cfg.Runtimes[name]
	if !known && filepath.IsAbs(name) {
		r = RuntimeConfig{Path: name}
	} else if !known {
		return "", nil, invalid("use --runtime", name, "there is no such runtime", "name it in [runtimes] of gourd.toml, or give an absolute path")
	}
	if !isProgram(r.Path) {
		return "", nil, invalid("use --runtime", name, r.Path+" is not a program", "")
	}
	return r.Path, r.Args, nil
}

// checkLimits checks everything that bounds the container.
func (d *draft) checkLimits() error {
	r := d.req
	if err := r.Resources.check(d.machine); err != nil {
		return err
	}
	if err := checkUlimits(r.Ulimits, d.machine); err != nil {
		return err
	}
	if err := checkSysctls(r.Sysctls, d.modes.own(d.modes.IPC), d.modes.own(d.modes.Network)); err != nil {
		return err
	}
	if err := checkLog(r.Log); err != nil {
		return err
	}
	return d.checkCgroupParent()
}

// chooseHostname: the user's; that of the container whose network or UTS namespace is joined; the host's
// with the host's network; else the beginning of the id.
func (d *draft) chooseHostname(e *Engine) (string, error) {
	owner := d.modes.net
	if id, ok := strings.CutPrefix(d.modes.UTS, joinPrefix); ok {
		owner = d.modes.joined[id]
	}
	switch {
	case d.req.Hostname != "":
		return d.req.Hostname, nil
	case owner != nil:
		s, err := e.loadNames(owner.ID)
		return s.Hostname, err
	case d.modes.Network == modeHost:
		return d.machine.Hostname, nil
	}
	return d.id[:12], nil
}

// loadNames reads the names out of a container's spec.
func (e *Engine) loadNames(id string) (names struct{ Hostname, Domainname string }, err error) {
	b, err := os.ReadFile(filepath.Join(e.store.Dir(id), "config.json"))
	if err != nil {
		return names, &container.Error{Verb: "read spec of container", Object: id, Cause: err}
	}
	if err := json.Unmarshal(b, &names); err != nil {
		return names, &container.Error{Verb: "read spec of container", Object: id, Kind: container.ErrCorrupt, Cause: err}
	}
	return names, nil
}

// record is what the engine keeps of the draft.
func (d *draft) record(now time.Time) *container.Record {
	r, p, m := d.req, d.program, d.modes
	rec := &container.Record{
		ID: d.id, Created: now,
		Image: r.Image, Rootfs: r.Rootfs,
		Entrypoint: p.Entrypoint, Cmd: p.Cmd, EntrypointSet: r.EntrypointSet,
		User: p.User, GroupAdd: r.GroupAdd, Workdir: p.Workdir, Labels: p.Labels,
		Runtime: d.runtime, RuntimeArgs: d.runtimeArgs, Init: r.Init, Privileged: r.Privileged, AutoRemove: r.AutoRemove, OpenStdin: r.OpenStdin,
		StopSignal: p.StopSignal, StopTimeout: r.StopTimeout, Restart: r.Restart,
		Network: container.Network{
			Mode: m.Network, MAC: r.Network.MAC, DNS: r.Network.DNS, DNSSearch: r.Network.DNSSearch,
			DNSOptions: r.Network.DNSOptions, ExtraHosts: r.Network.ExtraHosts, Exposed: p.Exposed,
		},
		Modes:  container.Modes{Pid: m.Pid, IPC: m.IPC, UTS: m.UTS, User: m.User, Cgroup: m.Cgroup},
		Mounts: d.storage.Records, Tmpfs: d.storage.Tmpfs, ShmSize: cmpShm(r.ShmSize), Devices: r.Devices,
		CapAdd: d.capAdd, CapDrop: d.capDrop, SecurityOpt: r.SecurityOpt, CgroupParent: r.CgroupParent,
		CPUs: r.Resources.CPUs, Annotations: r.Annotations, Log: r.Log, Notices: d.notices,
		State: container.State{Status: container.Created},
	}
	return rec
}

func cmpShm(size int64) int64 {
	if size == 0 {
		return defaultShm
	}
	return size
}

// checkLog knows the log drivers and their options.
func checkLog(l container.Log) error {
	if !slices.Contains([]string{"", "json-file", "none"}, l.Driver) {
		return unsupported("use --log-driver", l.Driver, "this log driver is not supported yet", "json-file or none")
	}
	for name, value := range l.Opts {
		var err error
		switch name {
		case "max-size":
			_, err = ParseSize(value)
		case "max-file":
			err = checkCount(value)
		default:
			return unsupported("use --log-opt", name+"="+value, "this option is not supported yet", "max-size, max-file")
		}
		if err != nil {
			return container.Invalid("use --log-opt", name+"="+value, err, "for example max-size=10m, max-file=3")
		}
	}
	return nil
}
