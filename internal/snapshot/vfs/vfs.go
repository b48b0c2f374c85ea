// Package vfs is the snapshot driver that works on every file system: each container gets a full copy of its
// image, with the host's ids of its user namespace. Slow and large; for where overlay can't be used.
//
//	ROOT/vfs/layers/HEX.tar         a layer as it is, uncompressed
//	ROOT/vfs/containers/ID/         root/, base.json (what root/ was made with), snapshot.json
//	ROOT/vfs/staging/               what is being made or deleted
//	ROOT/vfs/lock
package vfs

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

// VFS is the driver below one root.
type VFS struct {
	dir     string // ROOT/vfs
	staging container.Staging
}

var _ driver.Driver = (*VFS)(nil)

// Open makes the driver's directories where they are missing.
func Open(root string) (*VFS, error) {
	d := &VFS{dir: filepath.Join(root, "vfs")}
	d.staging = container.Staging{Dir: filepath.Join(d.dir, "staging")}
	for _, dir := range []string{d.dir, d.staging.Dir, d.containerDir(""), filepath.Join(d.dir, "layers")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, &container.Error{Verb: "open storage driver", Object: d.dir, Cause: err}
		}
	}
	return d, nil
}

// Name is "vfs".
func (d *VFS) Name() string { return "vfs" }

func (d *VFS) containerDir(id string) string { return filepath.Join(d.dir, "containers", id) }

func (d *VFS) layerPath(id layer.Digest, suffix string) string {
	return filepath.Join(d.dir, "layers", id.Hex()+suffix)
}

func (d *VFS) lock() (func(), error) { return container.LockFile(filepath.Join(d.dir, "lock")) }

// Has says whether the layer is there.
func (d *VFS) Has(id layer.Digest) bool {
	if _, err := layer.ParseDigest(string(id)); err != nil {
		return false
	}
	_, err := os.Lstat(d.layerPath(id, ".tar"))
	return err == nil
}

// Add keeps the tar, after all its entries were checked.
func (d *VFS) Add(ctx context.Context, id layer.Digest, tar io.Reader) error {
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
	f, err := os.OpenFile(filepath.Join(w.Path, "layer.tar"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return &container.Error{Verb: "add layer", Object: string(id), Cause: err}
	}
	defer f.Close()
	size, err := receive(ctx, f, tar, id)
	if err != nil {
		return err
	}
	info := filepath.Join(w.Path, "layer.json")
	err = errors.Join(f.Sync(), os.WriteFile(info, fmt.Appendf(nil, "{\"size\":%d}\n", size), 0o600))
	if err != nil {
		return &container.Error{Verb: "add layer", Object: string(id), Cause: err}
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	err = os.Rename(info, d.layerPath(id, ".json"))
	if err == nil {
		err = os.Rename(f.Name(), d.layerPath(id, ".tar"))
	}
	if err != nil {
		return &container.Error{Verb: "add layer", Object: string(id), Cause: err}
	}
	return nil
}

// receive copies and verifies a layer and sums up the sizes of its files.
func receive(ctx context.Context, f io.Writer, tar io.Reader, id layer.Digest) (size int64, err error) {
	v := layer.NewVerifier(tar, id)
	stream := io.TeeReader(v, f)
	r := layer.NewReader(stream)
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		if e.Kind == layer.File {
			size += e.Size
		}
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return 0, err
	}
	return size, v.Verify()
}

// LayerSize is the sum of the files' sizes.
func (d *VFS) LayerSize(id layer.Digest) (int64, error) {
	if !d.Has(id) {
		return 0, missing(id)
	}
	b, err := os.ReadFile(d.layerPath(id, ".json"))
	if err != nil {
		return 0, &container.Error{Verb: "read layer", Object: string(id), Cause: err}
	}
	var info struct{ Size int64 }
	if err := json.Unmarshal(b, &info); err != nil {
		return 0, &container.Error{Verb: "read layer", Object: string(id), Kind: container.ErrCorrupt, Cause: err}
	}
	return info.Size, nil
}

func missing(id layer.Digest) error {
	return &container.Error{Verb: "find layer", Object: string(id), Kind: container.ErrNotFound, Hint: "load or pull the image again"}
}

// RemoveLayer deletes a layer that no container was made from.
func (d *VFS) RemoveLayer(id layer.Digest) error {
	if _, err := layer.ParseDigest(string(id)); err != nil {
		return err
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	ids, err := d.Containers()
	if err != nil {
		return err
	}
	for _, c := range ids {
		s, err := d.load(c)
		if err != nil {
			return err
		}
		if slices.Contains(s.Layers, id) {
			return &container.Error{Verb: "remove layer", Object: string(id), Kind: container.ErrInUse, Cause: fmt.Errorf("container %s was made from it", c)}
		}
	}
	for _, suffix := range []string{".tar", ".json"} {
		if err := os.Remove(d.layerPath(id, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &container.Error{Verb: "remove layer", Object: string(id), Cause: err}
		}
	}
	return nil
}

// Layers lists the committed ones.
func (d *VFS) Layers() ([]layer.Digest, error) {
	entries, err := os.ReadDir(filepath.Join(d.dir, "layers"))
	if err != nil {
		return nil, &container.Error{Verb: "list layers", Object: d.dir, Cause: err}
	}
	var ids []layer.Digest
	for _, e := range entries {
		hex, ok := strings.CutSuffix(e.Name(), ".tar")
		if id, err := layer.ParseDigest("sha256:" + hex); ok && err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// snapshot is snapshot.json.
type snapshot struct {
	Layers []layer.Digest `json:"layers,omitempty"`
	IDs    layer.IDMaps   `json:"ids,omitzero"`
}

// Prepare copies the image.
func (d *VFS) Prepare(ctx context.Context, id string, layers []layer.Digest, o driver.Options) error {
	if err := checkID(id); err != nil {
		return err
	}
	if o.Quota != 0 || o.LowerDir != "" {
		return &container.Error{Verb: "prepare container", Object: id, Kind: container.ErrUnsupported,
			Cause: errors.New("the vfs driver has no disk quota and doesn't copy whole directories"), Hint: "use the overlay driver, or --rootfs without :O"}
	}
	if _, err := os.Lstat(d.containerDir(id)); err == nil {
		return &container.Error{Verb: "prepare container", Object: id, Kind: container.ErrExists}
	}
	w, err := d.staging.New()
	if err != nil {
		return err
	}
	defer w.Close()
	made := filepath.Join(w.Path, "container")
	if err := d.copyImage(ctx, made, layers, o.IDs); err != nil {
		return err
	}
	return d.show(id, made, layers)
}

// show puts a complete copy in its place, if its layers are still there: then they stay as long as it does.
func (d *VFS) show(id, made string, layers []layer.Digest) error {
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, l := range layers {
		if !d.Has(l) {
			return missing(l)
		}
	}
	if err := os.Rename(made, d.containerDir(id)); err != nil {
		kind := error(nil)
		if errors.Is(err, fs.ErrExist) {
			kind = container.ErrExists
		}
		return &container.Error{Verb: "prepare container", Object: id, Kind: kind, Cause: err}
	}
	return nil
}

func (d *VFS) copyImage(ctx context.Context, dir string, layers []layer.Digest, ids layer.IDMaps) error {
	rootDir := filepath.Join(dir, "root")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(rootDir, 0o755)); err != nil {
		return &container.Error{Verb: "copy image", Cause: err}
	}
	root, err := os.OpenFile(rootDir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &container.Error{Verb: "copy image", Cause: err}
	}
	defer root.Close()
	uid, gid, ok := ids.Root()
	if !ok {
		return &container.Error{Verb: "copy image", Cause: errors.New("the user namespace has no root")}
	}
	if err := errors.Join(root.Chown(int(uid), int(gid)), root.Chmod(0o755)); err != nil {
		return &container.Error{Verb: "copy image", Cause: err}
	}
	for _, l := range layers {
		if err := d.apply(ctx, root, l, ids); err != nil {
			return err
		}
	}
	if err := makeMountPoints(root, int(uid), int(gid)); err != nil {
		return &container.Error{Verb: "copy image", Cause: err}
	}
	base, err := readTree(root)
	if err != nil {
		return err
	}
	b, err := json.Marshal(base)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "base.json"), b, 0o600)
	}
	if err == nil {
		b, err = json.Marshal(snapshot{Layers: layers, IDs: ids})
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "snapshot.json"), b, 0o600)
	}
	if err != nil {
		return &container.Error{Verb: "copy image", Cause: err}
	}
	return nil
}

func (d *VFS) apply(ctx context.Context, root *os.File, id layer.Digest, ids layer.IDMaps) error {
	f, err := os.Open(d.layerPath(id, ".tar"))
	if errors.Is(err, fs.ErrNotExist) {
		return missing(id)
	}
	if err != nil {
		return &container.Error{Verb: "read layer", Object: string(id), Cause: err}
	}
	defer f.Close()
	_, err = layer.Extract(ctx, root, layer.NewReader(f), layer.ExtractOptions{Mode: layer.Apply, IDs: ids})
	return err
}

// makeMountPoints makes what the runtime mounts on, where the image lacks it, so that it doesn't count as a
// change. What is there in another form is left alone.
func makeMountPoints(root *os.File, uid, gid int) error {
	fd := int(root.Fd())
	restore, err := keepTime(fd)
	if err != nil {
		return err
	}
	defer restore()
	for _, name := range []string{"proc", "sys", "dev", "etc"} {
		if err := unix.Mkdirat(fd, name, 0o755); err == nil {
			if err := unix.Fchownat(fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return err
			}
		} else if err != unix.EEXIST {
			return err
		}
	}
	etc, err := unix.Openat(fd, "etc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // the image's /etc is no directory
	}
	defer unix.Close(etc)
	if restore, err = keepTime(etc); err != nil {
		return err
	}
	defer restore()
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		f, err := unix.Openat(etc, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
		if err == unix.EEXIST {
			continue
		}
		if err != nil {
			return err
		}
		err = errors.Join(unix.Fchown(f, uid, gid), unix.Fchmod(f, 0o644), unix.Close(f))
		if err != nil {
			return err
		}
	}
	return nil
}

// keepTime gives a directory the time back that it had.
func keepTime(fd int) (restore func(), err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	return func() {
		unix.UtimesNanoAt(fd, ".", []unix.Timespec{st.Mtim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	}, nil
}

// Mount gives the copy itself.
func (d *VFS) Mount(id string) (*container.RootFS, error) {
	if _, err := d.load(id); err != nil {
		return nil, err
	}
	return &container.RootFS{Layers: []container.Layer{{Dir: filepath.Join(d.containerDir(id), "root")}}}, nil
}

// Remove takes the copy out of sight and deletes it.
func (d *VFS) Remove(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := d.staging.Discard(d.containerDir(id)); err != nil {
		return &container.Error{Verb: "remove writable layer", Object: id, Cause: err}
	}
	return nil
}

// Containers lists the ids that have a copy.
func (d *VFS) Containers() ([]string, error) {
	entries, err := os.ReadDir(d.containerDir(""))
	if err != nil {
		return nil, &container.Error{Verb: "list containers", Object: d.dir, Cause: err}
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	return ids, nil
}

// Layered gives the layers a container was copied from.
func (d *VFS) Layered(id string) ([]layer.Digest, error) {
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	return s.Layers, nil
}

// Sweep deletes what crashes left behind.
func (d *VFS) Sweep() error { return d.staging.Sweep() }

func (d *VFS) load(id string) (*snapshot, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	s := new(snapshot)
	if err := readJSON(filepath.Join(d.containerDir(id), "snapshot.json"), id, s); err != nil {
		return nil, err
	}
	return s, nil
}

func readJSON(path, id string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &container.Error{Verb: "find writable layer", Object: id, Kind: container.ErrNotFound}
	}
	if err != nil {
		return &container.Error{Verb: "read writable layer", Object: id, Cause: err}
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &container.Error{Verb: "read writable layer", Object: id, Kind: container.ErrCorrupt, Cause: err}
	}
	return nil
}

// checkID keeps ids within the driver's directory.
func checkID(id string) error {
	if id == "" || len(id) > 200 || strings.HasPrefix(id, ".") || strings.ContainsAny(id, "/\x00") {
		return container.Invalid("use container id", fmt.Sprintf("%.100q", id), errors.New("it can't be a directory's name"), "")
	}
	return nil
}
