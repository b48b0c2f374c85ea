// Package hello carries the image gourd/hello inside the gourd command, so that the first container needs neither
// a registry nor a file: one layer with one static program (cmd/gourd-hello).
package hello

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"time"

	"gourd/internal/container"
	"gourd/internal/image"
	"gourd/internal/layer"
)

// Name of the image.
const Name = "gourd/hello:latest"

// bin holds hello-GOARCH if the Makefile built it before gourd, and a note otherwise.
//
//go:embed all:bin
var bin embed.FS

// made is the image's date. It is fixed, so that the same program gives the same digest.
var made = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Is says whether a reference means this image.
func Is(ref string) bool {
	r, err := image.ParseReference(ref)
	return err == nil && r.Familiar() == Name
}

// Load puts the image into a store. Errors: container.ErrUnsupported if this gourd was built without it.
func Load(ctx context.Context, s *image.Store, sink image.LayerSink) (image.Loaded, error) {
	archive, err := Archive()
	if err != nil {
		return image.Loaded{}, err
	}
	loaded, err := s.Load(ctx, bytes.NewReader(archive), sink, nil)
	if err != nil {
		return image.Loaded{}, err
	}
	return loaded[0], nil
}

// Archive is the image as `gourd save` would write it (docker's format); the same program gives the same bytes.
func Archive() ([]byte, error) {
	program, err := bin.ReadFile("bin/hello-" + runtime.GOARCH)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &container.Error{Verb: "load image", Object: Name, Kind: container.ErrUnsupported, Cause: errors.New("this gourd was built without it"), Hint: "build with `make build`"}
	}
	if err != nil {
		return nil, &container.Error{Verb: "load image", Object: Name, Cause: err}
	}
	plain, err := archive(file{"hello", program, 0o755})
	if err != nil {
		return nil, err
	}
	blob, err := compress(plain)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(configFor(layer.DigestOf(plain)))
	if err != nil {
		return nil, err
	}
	configName, layerName := layer.DigestOf(config).Hex()+".json", layer.DigestOf(plain).Hex()+".tar.gz"
	manifest := fmt.Appendf(nil, "[{\"Config\":%q,\"RepoTags\":[%q],\"Layers\":[%q]}]\n", configName, Name, layerName)
	return archive(file{configName, config, 0o644}, file{layerName, blob, 0o644}, file{"manifest.json", manifest, 0o644})
}

func configFor(diffID layer.Digest) image.Config {
	return image.Config{
		Created: &made, Author: "gourd", OS: "linux", Architecture: runtime.GOARCH,
		Config: image.ContainerConfig{Cmd: []string{"/hello"}, WorkingDir: "/", Env: []string{"PATH=/"}},
		RootFS: image.RootFS{Type: "layers", DiffIDs: []layer.Digest{diffID}},
		History: []image.History{
			{Created: &made, CreatedBy: "COPY hello / # gourd"},
			{Created: &made, CreatedBy: `CMD ["/hello"]`, EmptyLayer: true},
		},
	}
}

type file struct {
	name string
	data []byte
	mode int64
}

func archive(files ...file) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: f.mode, Size: int64(len(f.data)), ModTime: made, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}
