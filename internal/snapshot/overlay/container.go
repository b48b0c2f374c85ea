package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// snapshot is snapshot.json: what a container's writable layer stands on.
type snapshot struct {
	Layers   []layer.Digest `json:"layers,omitempty"` // the lowest first
	Lower    []string       `json:"lower"`            // directories, the topmost first, relative to ROOT/overlay or absolute
	IDs      layer.IDMaps   `json:"ids,omitzero"`
	Volatile bool           `json:"volatile,omitempty"`
}

// Prepare makes a container's upper and work directories.
func (d *Overlay) Prepare(ctx context.Context, id string, layers []layer.Digest, o driver.Options) error {
	if err := checkID(id); err != nil {
		return err
	}
	if o.Quota != 0 {
		return &container.Error{Verb: "prepare container", Object: id, Kind: container.ErrUnsupported, Cause: errors.New("the overlay driver has no disk quota yet"), Hint: "leave out --storage-opt size"}
	}
	unlock, err := d.lock()
	if err != nil {
		return err
	}
	defer unlock()
	s := &snapshot{Layers: layers, IDs: o.IDs, Volatile: o.Volatile}
	var model string
	if o.LowerDir != "" {
		s.Lower, model, err = lowerDir(o.LowerDir, layers)
	} else {
		var c *chain
		if c, err = d.chain(ctx, layers); err == nil {
			s.Lower, model = c.Lower, d.abs(c.Model)
		}
	}
	if err != nil {
		return err
	}
	// The kernel refuses a lower directory inside another one (ELOOP). One that holds the store is the
	// machine's own root or near it, and has what base would add.
	if o.LowerDir == "" || !holds(o.LowerDir, d.dir) {
		s.Lower = append(slices.Clone(s.Lower), "base")
	}
	return d.makeContainer(id, s, model)
}

// holds says whether path is dir or lies below it, links resolved.
func holds(dir, path string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func lowerDir(dir string, layers []layer.Digest) ([]string, string, error) {
	if !filepath.IsAbs(dir) || len(layers) > 0 {
		return nil, "", container.Invalid("use root directory", dir, errors.New("it must be an absolute path, and without image layers"), "")
	}
	st, err := os.Stat(dir)
	if err != nil {
		kind := error(nil)
		if errors.Is(err, fs.ErrNotExist) {
			kind = container.ErrNotFound
		}
		return nil, "", &container.Error{Verb: "use root directory", Object: dir, Kind: kind, Cause: err}
	}
	if !st.IsDir() {
		return nil, "", container.Invalid("use root directory", dir, errors.New("it is not a directory"), "")
	}
	return []string{dir}, dir, nil
}

// makeContainer makes the directory hidden and shows it with a rename. The lock is held.
func (d *Overlay) makeContainer(id string, s *snapshot, model string) (err error) {
	if _, err := os.Lstat(d.containerDir(id)); err == nil {
		return &container.Error{Verb: "prepare container", Object: id, Kind: container.ErrExists}
	}
	making := d.containerDir("." + id)
	if err := os.RemoveAll(making); err != nil {
		return &container.Error{Verb: "prepare container", Object: id, Cause: err}
	}
	defer func() {
		if err != nil {
			os.RemoveAll(making)
			err = &container.Error{Verb: "prepare container", Object: id, Cause: err}
		}
	}()
	if err := errors.Join(os.Mkdir(making, 0o700), os.Mkdir(filepath.Join(making, "work"), 0o755)); err != nil {
		return err
	}
	if err := makeUpper(filepath.Join(making, "upper"), model, s.IDs); err != nil {
		return err
	}
	uid, gid, ok := s.IDs.Root()
	if !ok {
		return errors.New("the user namespace has no root")
	}
	if err := os.Chown(filepath.Join(making, "work"), int(uid), int(gid)); err != nil {
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(making, "snapshot.json"), append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(making, d.containerDir(id))
}

// makeUpper makes the upper directory, which is what the container sees as /: it looks like model's root, but
// with the host's ids of its owner.
func makeUpper(dir, model string, ids layer.IDMaps) error {
	var st unix.Stat_t
	if err := unix.Stat(model, &st); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	uid, gid := ids.Host(st.Uid, st.Gid)
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return err
	}
	if err := unix.Chmod(dir, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, dir, []unix.Timespec{st.Mtim, st.Mtim}, 0)
}

// Mount tells the runtime what to mount.
func (d *Overlay) Mount(id string) (*container.RootFS, error) {
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	root := &container.RootFS{
		Overlay: true, Idmap: len(s.IDs.UIDs) > 0, Volatile: s.Volatile,
		Upper: filepath.Join(d.containerDir(id), "upper"), Work: filepath.Join(d.containerDir(id), "work"),
	}
	for _, dir := range s.Lower {
		root.Layers = append(root.Layers, container.Layer{Dir: d.abs(dir)})
	}
	if s.Volatile {
		// The kernel marks an upper layer that may have lost writes in a crash, and refuses it from then on
		// (overlayfs.rst, "Volatile mount"). No volatile container outlives a crash; this one is restarted.
		if err := os.RemoveAll(filepath.Join(root.Work, "work", "incompat")); err != nil {
			return nil, &container.Error{Verb: "mount container", Object: id, Cause: err}
		}
	}
	return root, nil
}

func (d *Overlay) abs(dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(d.dir, dir)
}

// Remove takes the container's files out of sight and deletes them.
func (d *Overlay) Remove(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := d.staging.Discard(d.containerDir(id)); err != nil {
		return &container.Error{Verb: "remove writable layer", Object: id, Cause: err}
	}
	return nil
}

// Layered gives the layers below a container.
func (d *Overlay) Layered(id string) ([]layer.Digest, error) {
	s, err := d.load(id)
	if err != nil {
		return nil, err
	}
	return s.Layers, nil
}

func (d *Overlay) load(id string) (*snapshot, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(d.containerDir(id), "snapshot.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &container.Error{Verb: "find writable layer", Object: id, Kind: container.ErrNotFound}
	}
	if err != nil {
		return nil, &container.Error{Verb: "read writable layer", Object: id, Cause: err}
	}
	s := new(snapshot)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, &container.Error{Verb: "read writable layer", Object: id, Kind: container.ErrCorrupt, Cause: err}
	}
	return s, nil
}

// checkID keeps ids within the driver's directory.
func checkID(id string) error {
	if id == "" || len(id) > 200 || strings.HasPrefix(id, ".") || strings.ContainsAny(id, "/\x00") {
		return container.Invalid("use container id", fmt.Sprintf("%.100q", id), errors.New("it can't be a directory's name"), "")
	}
	return nil
}
