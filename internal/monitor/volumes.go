package monitor

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/linux"

	"golang.org/x/sys/unix"
)

// fillVolumes copies what the image has at a new volume's place into the volume, once, as docker does.
// The engine has left a file "fresh" beside the volume's data; it is removed when the copy is complete,
// so that a start that was cut short begins again.
func fillVolumes(store *container.Store, r *container.Record, root *os.File) error {
	for _, m := range r.Mounts {
		if m.Type != "volume" {
			continue
		}
		dir := filepath.Join(store.Root, "volumes", m.Name)
		if strings.ContainsRune(m.Name, '/') {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, "fresh")); err != nil {
			continue
		}
		if err := fillVolume(dir, r, root, m.Destination); err != nil {
			return &container.Error{Verb: "copy the image's files into volume", Object: m.Name, Cause: err}
		}
	}
	return nil
}

func fillVolume(dir string, r *container.Record, root *os.File, from string) error {
	source, err := linux.OpenInRoot(root, from, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return os.Remove(filepath.Join(dir, "fresh"))
	}
	if err != nil {
		return err
	}
	defer source.Close()
	data, err := os.Open(filepath.Join(dir, "_data"))
	if err != nil {
		return err
	}
	defer data.Close()
	if err := copyTree(source, data, r.IDs); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, "fresh"))
}

// copyTree copies a directory of the mounted root, where owners are the host's ids of the container's
// namespace, to one that keeps the container's own: binds of it are idmapped.
func copyTree(from, to *os.File, ids *container.IDRange) error {
	var maps layer.IDMaps
	if ids != nil {
		maps = layer.IDMaps{UIDs: ids.MapUIDs(), GIDs: ids.MapGIDs()}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := layer.Write(ctx, w, from, layer.WriteOptions{IDs: maps})
		w.CloseWithError(err)
		written <- err
	}()
	_, err := layer.Extract(ctx, to, layer.NewReader(r), layer.ExtractOptions{Mode: layer.Apply})
	if err == nil {
		_, err = io.Copy(io.Discard, r) // what follows the archive's end
	}
	r.CloseWithError(err)
	return errors.Join(<-written, err)
}
