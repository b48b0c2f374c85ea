package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gourd/internal/cgroup"
	"gourd/internal/container"
	"gourd/internal/image"
	"gourd/internal/layer"
	"gourd/internal/network"
	"gourd/internal/snapshot"
)

// Create makes a container that is not started yet. Everything is checked before anything is made, and
// on an error nothing is left. Errors: ErrInvalid, ErrNotFound (the image), ErrExists (the name),
// ErrUnsupported (the machine can't).
func (e *Engine) Create(ctx context.Context, r CreateRequest) (*Created, error) {
	m := thisMachine()
	d, err := e.prepareDraft(ctx, &r, &m)
	if err != nil {
		return nil, err
	}
	c, err := e.make(ctx, d)
	if err != nil {
		return nil, err
	}
	return &Created{ID: c.ID, Name: c.Name, Notices: d.notices}, nil
}

// prepareDraft finds the image and checks everything against it and the machine.
func (e *Engine) prepareDraft(ctx context.Context, r *CreateRequest, m *machine) (*draft, error) {
	img, notices, err := e.source(ctx, r)
	if err != nil {
		return nil, err
	}
	var config *image.ContainerConfig
	if img != nil {
		config = &img.Config.Config
	}
	d, err := e.check(r, config, m)
	if err != nil {
		return nil, err
	}
	d.image, d.notices = img, append(d.notices, notices...)
	resources := r.Resources.spec()
	resources.Devices = d.devices.Rules
	warnings, err := cgroup.Check(resources)
	if err != nil {
		return nil, err
	}
	d.notices = append(d.notices, warnings...)
	d.seccomp, err = e.seccomp(d)
	return d, err
}

// source is what the container stands on: an image, or with --rootfs a directory, for which it is nil.
func (e *Engine) source(ctx context.Context, r *CreateRequest) (*image.Image, []string, error) {
	switch {
	case (r.Image == "") == (r.Rootfs == ""):
		return nil, nil, invalid("create container", "", "it needs either an image or --rootfs", "")
	case r.Rootfs != "":
		dir, _ := splitRootfs(r.Rootfs)
		st, err := os.Stat(dir)
		if err != nil || !filepath.IsAbs(dir) || !st.IsDir() {
			return nil, nil, invalid("use --rootfs", dir, "it is not the absolute path of a directory", "")
		}
		return nil, nil, nil
	}
	img, err := e.findImage(ctx, r.Image, r.Pull)
	if err != nil {
		return nil, nil, err
	}
	notices, err := checkPlatform(r.Image, r.Platform, img.Config)
	return img, notices, err
}

// splitRootfs takes --rootfs apart. overlay: a writable layer goes above the directory.
func splitRootfs(s string) (dir string, overlay bool) {
	dir, overlay = strings.CutSuffix(s, ":O")
	return filepath.Clean(dir), overlay
}

// checkPlatform refuses another platform than the one asked for, and tells of one that isn't the machine's.
func checkPlatform(ref, want string, c *image.Config) ([]string, error) {
	have := image.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant}
	host := image.HostPlatform()
	if want != "" && want != have.String() && want != have.OS+"/"+have.Architecture && want != have.Architecture {
		return nil, &container.Error{
			Verb: "use image", Object: ref, Kind: container.ErrNotFound,
			Cause: errText("it is for " + have.String() + ", not for " + want),
		}
	}
	if have.OS == host.OS && have.Architecture == host.Architecture || c.Architecture == "" {
		return nil, nil
	}
	return []string{"image " + ref + " is for " + have.String() + ", this machine is " + host.String()}, nil
}

// make makes what was checked. Whatever it makes belongs to the container's id, which the store shows
// only when all is there; until then the sweep finds it by the store's invisible directory.
func (e *Engine) make(ctx context.Context, d *draft) (*container.Record, error) {
	rec := d.record(time.Now())
	prepared := false
	err := e.withName(d.req.Name, func(name string) error {
		rec.Name = name
		return e.store.Create(rec, nil, func(dir string) error {
			prepared = true
			return e.fill(ctx, d, rec, dir)
		})
	})
	if err != nil && prepared {
		err = errors.Join(err, e.undo(d))
	}
	return rec, err
}

// undo takes back what fill made of a container that was not made.
func (e *Engine) undo(d *draft) error {
	for _, dir := range d.made {
		os.Remove(dir)
	}
	return errors.Join(e.removeSnapshot(e.cfg.StorageDriver, d.id), e.store.RemoveVolumesOf(d.id), e.store.ReleaseIDs(d.id, -1))
}

// fill makes everything that a container has on disk, and completes its record. dir is invisible yet.
func (e *Engine) fill(ctx context.Context, d *draft, rec *container.Record, dir string) error {
	var err error
	if d.ids, err = e.lease(d); err != nil {
		return err
	}
	rec.IDs = d.ids
	root := "rootfs"
	if path, overlay := splitRootfs(d.req.Rootfs); d.image == nil && !overlay {
		root = path
	} else if rec.Driver, err = e.prepareSnapshot(ctx, d); err != nil {
		return err
	}
	if d.image != nil {
		rec.ImageID = string(d.image.ID)
		rec.Platform = image.Platform{OS: d.image.Config.OS, Architecture: d.image.Config.Architecture, Variant: d.image.Config.Variant}.String()
	}
	for _, name := range d.storage.Volumes {
		if err := e.store.MakeVolume(name, d.id, d.image != nil); err != nil {
			return err
		}
	}
	if err := e.writeFiles(d, dir); err != nil {
		return err
	}
	for _, source := range d.storage.Make {
		if err := d.makeSource(source); err != nil {
			return err
		}
	}
	spec := d.spec(e.store.Dir(d.id), root)
	rec.State.Cgroup, rec.State.Systemd = spec.Linux.CgroupsPath, d.systemdCgroup()
	rec.Notices = d.notices
	text, err := encodeSpec(spec, d.seccomp)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
}

// makeSource makes a missing source of -v, as docker does: a directory of root's.
func (d *draft) makeSource(source string) error {
	if err := os.MkdirAll(source, 0o755); err != nil {
		return &container.Error{Verb: "make source of mount", Object: source, Cause: err}
	}
	d.made = append(d.made, source)
	return nil
}

// prepareSnapshot makes the writable layer and names the driver that has it.
func (e *Engine) prepareSnapshot(ctx context.Context, d *draft) (string, error) {
	driver, err := e.snapshots(e.cfg.StorageDriver)
	if err != nil {
		return "", err
	}
	o := snapshot.Options{Volatile: d.req.AutoRemove}
	if d.ids != nil {
		o.IDs = layer.IDMaps{UIDs: d.ids.MapUIDs(), GIDs: d.ids.MapGIDs()}
	}
	var layers []layer.Digest
	if d.image == nil {
		o.LowerDir, _ = splitRootfs(d.req.Rootfs)
	} else {
		layers = d.image.DiffIDs
	}
	err = driver.Prepare(ctx, d.id, layers, o)
	if errors.Is(err, container.ErrNotFound) && d.image != nil {
		// The driver was changed since the image was loaded: unpack it from the blobs that were kept.
		images, ierr := e.images()
		if ierr == nil {
			ierr = images.EnsureLayers(ctx, d.image, driver)
		}
		if ierr != nil {
			return "", ierr
		}
		err = driver.Prepare(ctx, d.id, layers, o)
	}
	return driver.Name(), err
}

// writeFiles writes resolv.conf and hostname, and hosts where no address goes into it: with a bridge the
// monitor writes it when it knows the address.
func (e *Engine) writeFiles(d *draft, dir string) error {
	if d.modes.net != nil {
		return nil
	}
	host, err := network.HostResolvConf()
	if err != nil {
		return err
	}
	isHost := d.modes.Network == modeHost
	resolv, notices := network.ResolvConf(host, e.resolvOptions(d.record(time.Time{})))
	d.notices = append(d.notices, notices...)
	hosts, err := d.hostsFile(isHost)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"resolv.conf": resolv, resolvMade: resolv, "hostname": network.HostnameFile(d.hostname), "hosts": hosts} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return &container.Error{Verb: "write file of container", Object: name, Cause: err}
		}
	}
	return nil
}

func (e *Engine) resolvOptions(r *container.Record) network.ResolvOptions {
	n := &r.Network
	o := network.ResolvOptions{Servers: n.DNS, Search: n.DNSSearch, Options: n.DNSOptions, Host: n.Mode == modeHost}
	if len(o.Servers) == 0 && !o.Host {
		o.Servers = e.cfg.Network.DNS
	}
	return o
}

// resolvMade is resolv.conf as gourd wrote it, by which it sees at the next start whether the container
// has changed its own.
const resolvMade = "resolv.conf.made"

// refreshResolv rewrites resolv.conf at a start, since the host may use other resolvers by now. One that
// the container changed is left as it is.
func (e *Engine) refreshResolv(r *container.Record) error {
	dir := e.store.Dir(r.ID)
	file, made := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, resolvMade)
	now, err1 := os.ReadFile(file)
	before, err2 := os.ReadFile(made)
	if err1 != nil || err2 != nil || !bytes.Equal(now, before) {
		return nil // a joined network's is that container's
	}
	host, err := network.HostResolvConf()
	if err != nil {
		return err
	}
	fresh, _ := network.ResolvConf(host, e.resolvOptions(r))
	if bytes.Equal(fresh, before) {
		return nil
	}
	if err := container.WriteFile(made, fresh, 0o600); err != nil {
		return err
	}
	return container.WriteFile(file, fresh, 0o644)
}

func (d *draft) hostsFile(isHost bool) ([]byte, error) {
	if d.modes.Network == modeBridge {
		return nil, nil
	}
	o := network.HostsOptions{Hostname: d.hostname, Domainname: d.req.Domainname, Extra: d.extraHosts}
	if isHost {
		o.Base, _ = os.ReadFile("/etc/hosts") // a host without one has nothing to add to
		o.Gateway = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return network.HostsFile(o)
}

// checkNetwork checks what goes into the files and on the wire.
func (d *draft) checkNetwork() error {
	r := &d.req.Network
	if err := network.CheckHostname(d.req.Hostname, d.req.Domainname); err != nil {
		return err
	}
	if err := network.CheckMAC(r.MAC); err != nil {
		return err
	}
	if err := network.CheckResolv(network.ResolvOptions{Servers: r.DNS, Search: r.DNSSearch, Options: r.DNSOptions}); err != nil {
		return err
	}
	for _, s := range r.ExtraHosts {
		h, err := network.ParseExtraHost(s)
		if err != nil {
			return err
		}
		if h.HostGateway && d.modes.Network == modeNone {
			return invalid("use --add-host", s, "a container without a network has no gateway", "")
		}
		d.extraHosts = append(d.extraHosts, h)
	}
	return nil
}

// rawSeccomp is nil without a filter.
func rawSeccomp(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, &container.Error{Verb: "write seccomp profile", Cause: err}
	}
	return b, nil
}
