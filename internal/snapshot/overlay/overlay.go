// Package overlay is the snapshot driver of directories and overlayfs: each layer is a directory, unpacked once;
// a container's writable layer is an upper directory of its own.
//
//	ROOT/overlay/layers/HEX/fs/       a layer's files as the archive has them: container ids, setuid bits, devices
//	ROOT/overlay/layers/HEX/layer.json
//	ROOT/overlay/chains/HEX/          what a stack of layers needs besides, see chain
//	ROOT/overlay/base/                what engines put into every root: empty /proc, /sys, /dev, /etc/hosts …
//	ROOT/overlay/containers/ID/       upper/, work/, snapshot.json
//	ROOT/overlay/staging/             what is being made or deleted
//	ROOT/overlay/lock
//
// ROOT is 0700, so no user of the host reaches a setuid file or device node in a layer. Nothing is mounted on
// the host: the runtime mounts the overlay in the container's mount namespace.
package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"

	"golang.org/x/sys/unix"
)

// Overlay is the driver below one root.
type Overlay struct {
	dir     string // ROOT/overlay
	staging container.Staging
}

var _ driver.Driver = (*Overlay)(nil)

// Open makes the driver's directories where they are missing.
func Open(root string) (*Overlay, error) {
	d := &Overlay{dir: filepath.Join(root, "overlay")}
	d.staging = container.Staging{Dir: filepath.Join(d.dir, "staging")}
	if _, err := os.Lstat(d.layersDir()); err == nil {
		return d, nil // made last
	}
	for _, dir := range []string{d.dir, d.staging.Dir, filepath.Join(d.dir, "containers"), d.chainsDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, &container.Error{Verb: "open storage driver", Object: d.dir, Cause: err}
		}
	}
	if err := d.makeBase(); err != nil {
		return nil, &container.Error{Verb: "open storage driver", Object: d.dir, Cause: err}
	}
	if err := os.MkdirAll(d.layersDir(), 0o700); err != nil {
		return nil, &container.Error{Verb: "open storage driver", Object: d.dir, Cause: err}
	}
	return d, nil
}

// Name is "overlay".
func (d *Overlay) Name() string { return "overlay" }

func (d *Overlay) layersDir() string { return filepath.Join(d.dir, "layers") }

func (d *Overlay) layerDir(id layer.Digest) string { return filepath.Join(d.dir, "layers", id.Hex()) }

func (d *Overlay) containerDir(id string) string { return filepath.Join(d.dir, "containers", id) }

func (d *Overlay) lock() (func(), error) { return container.LockFile(filepath.Join(d.dir, "lock")) }

// layerInfo is layer.json: what the directory alone doesn't tell.
type layerInfo struct {
	DiffID  layer.Digest      `json:"diff_id"`
	Size    int64             `json:"size"`
	Entries int               `json:"entries"`
	Implied []string          `json:"implied,omitempty"`
	Opaque  bool              `json:"opaque,omitempty"`
	Links   []layer.LowerLink `json:"links,omitempty"`
}

// Has says whether the layer is there.
func (d *Overlay) Has(id layer.Digest) bool {
	if _, err := layer.ParseDigest(string(id)); err != nil {
		return false
	}
	_, err := os.Lstat(d.layerDir(id))
	return err == nil
}

// Add unpacks a layer beside the others and shows it with one rename.
func (d *Overlay) Add(ctx context.Context, id layer.Digest, tar io.Reader) error {
	if _, err := layer.ParseDigest(string(id)); err != nil {
		return err
	}
	if d.Has(id) {
		return nil
	}
	if err := d.staging.Sweep(); err != nil { // a killed load may have left as much as this one needs
		return err
	}
	w, err := d.staging.New()
	if err != nil {
		return err
	}
	defer w.Close()
	made := filepath.Join(w.Path, "layer")
	if err := d.unpack(ctx, made, id, tar); err != nil {
		return err
	}
	err = os.Rename(made, d.layerDir(id))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil // another process was faster
	}
	if err != nil {
		return &container.Error{Verb: "add layer", Object: string(id), Cause: err}
	}
	return nil
}

// unpack makes a complete layer directory and syncs it.
func (d *Overlay) unpack(ctx context.Context, dir string, id layer.Digest, tar io.Reader) error {
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(dir, "fs"), 0o755)); err != nil {
		return &container.Error{Verb: "add layer", Object: string(id), Cause: err}
	}
	root, err := os.OpenFile(filepath.Join(dir, "fs"), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &container.Error{Verb: "add layer", Object: string(id), Cause: err}
	}
	defer root.Close()
	v := layer.NewVerifier(tar, id)
	got, err := layer.Extract(ctx, root, layer.NewReader(v), layer.ExtractOptions{Mode: layer.Diff, LowerLinks: true})
	if err != nil {
		return err
	}
	if err := v.Verify(); err != nil {
		return err
	}
	info := layerInfo{DiffID: id, Size: got.Bytes, Entries: got.Entries, Implied: got.Implied, Opaque: got.Opaque, Links: got.Links}
	b, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := container.WriteFile(filepath.Join(dir, "layer.json"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	// One sync for all files: after the rename the layer must be whole, also when the power fails.
	if err := unix.Syncfs(int(root.Fd())); err != nil {
		return &container.Error{Verb: "write layer", Object: string(id), Cause: err}
	}
	return nil
}

func (d *Overlay) info(id layer.Digest) (*layerInfo, error) {
	if _, err := layer.ParseDigest(string(id)); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(d.layerDir(id), "layer.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &container.Error{Verb: "find layer", Object: string(id), Kind: container.ErrNotFound, Hint: "load or pull the image again"}
	}
	if err != nil {
		return nil, &container.Error{Verb: "read layer", Object: string(id), Cause: err}
	}
	info := new(layerInfo)
	if err := json.Unmarshal(b, info); err != nil {
		return nil, &container.Error{Verb: "read layer", Object: string(id), Kind: container.ErrCorrupt, Cause: err}
	}
	return info, nil
}

// LayerSize is the sum of the files' sizes.
func (d *Overlay) LayerSize(id layer.Digest) (int64, error) {
	info, err := d.info(id)
	if err != nil {
		return 0, err
	}
	return info.Size, nil
}

// RemoveLayer deletes a layer that no container stands on.
func (d *Overlay) RemoveLayer(id layer.Digest) error {
	if _, err := layer.ParseDigest(string(id)); err != nil {
		return err
	}
	w, err := d.hideLayer(id)
	if err != nil || w == nil {
		return err
	}
	return w.Close()
}

// hideLayer does the part that needs the lock.
func (d *Overlay) hideLayer(id layer.Digest) (*container.Work, error) {
	unlock, err := d.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	ids, err := d.Containers()
	if err != nil {
		return nil, err
	}
	for _, c := range ids {
		s, err := d.load(c)
		if err != nil {
			return nil, err
		}
		for _, l := range s.Layers {
			if l == id {
				return nil, &container.Error{Verb: "remove layer", Object: string(id), Kind: container.ErrInUse, Cause: fmt.Errorf("container %s stands on it", c)}
			}
		}
	}
	if err := d.dropChains(id); err != nil {
		return nil, err
	}
	w, err := d.staging.Hide(d.layerDir(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return w, err
}

// dropChains deletes the chains that a layer is part of.
func (d *Overlay) dropChains(id layer.Digest) error {
	names, err := listDir(d.chainsDir())
	if err != nil {
		return err
	}
	for _, n := range names {
		dir := filepath.Join(d.chainsDir(), n)
		if c, err := readChain(dir); err == nil && !slices.Contains(c.Layers, id) {
			continue
		}
		if err := d.staging.Discard(dir); err != nil {
			return err
		}
	}
	return nil
}

// Layers lists the committed ones.
func (d *Overlay) Layers() ([]layer.Digest, error) {
	names, err := listDir(d.layersDir())
	if err != nil {
		return nil, err
	}
	ids := make([]layer.Digest, 0, len(names))
	for _, n := range names {
		if id, err := layer.ParseDigest("sha256:" + n); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Containers lists the ids that have a writable layer.
func (d *Overlay) Containers() ([]string, error) {
	names, err := listDir(filepath.Join(d.dir, "containers"))
	if err != nil {
		return nil, err
	}
	ids := names[:0]
	for _, n := range names {
		if !strings.HasPrefix(n, ".") {
			ids = append(ids, n)
		}
	}
	return ids, nil
}

// Sweep deletes what crashes left behind.
func (d *Overlay) Sweep() error {
	err := d.staging.Sweep()
	unlock, lerr := d.lock()
	if lerr != nil {
		return errors.Join(err, lerr)
	}
	defer unlock()
	// Containers are made under the lock: one that is still hidden belongs to nobody.
	names, lerr := listDir(filepath.Join(d.dir, "containers"))
	err = errors.Join(err, lerr)
	for _, n := range names {
		if strings.HasPrefix(n, ".") {
			err = errors.Join(err, os.RemoveAll(d.containerDir(n)))
		}
	}
	return err
}

func listDir(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, &container.Error{Verb: "list", Object: dir, Cause: err}
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, &container.Error{Verb: "list", Object: dir, Cause: err}
	}
	return names, nil
}

// makeBase makes the lowest layer of every container: the mount points that the runtime needs. Being the
// lowest, it gives way to everything an image has, and being there, nothing shows up as a change.
func (d *Overlay) makeBase() error {
	base := filepath.Join(d.dir, "base")
	for _, dir := range []string{"", "proc", "sys", "dev", "etc"} {
		path := filepath.Join(base, dir)
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"hosts", "hostname", "resolv.conf"} {
		f, err := os.OpenFile(filepath.Join(base, "etc", file), os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
