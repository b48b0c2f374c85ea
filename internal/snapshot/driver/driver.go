// Package driver holds what the snapshot drivers have in common: the interface, its nouns, and how a directory
// is made and taken away in one step.
package driver

import (
	"context"
	"io"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// Driver keeps the layers of images and gives each container a writable layer above some of them. Several
// processes may use one root at once; every change is atomic, also against kill -9: what was cut short is
// invisible and goes away with the next Sweep. A layer in use by a container stays.
type Driver interface {
	// Name is what --storage-driver calls it.
	Name() string

	// Has says whether a layer is there, complete.
	Has(diffID layer.Digest) bool
	// Add reads one layer, uncompressed, to the stream's end, checks that it has this digest, and commits it:
	// all or nothing. Adding what is there reads nothing. Errors: container.ErrCorrupt.
	Add(ctx context.Context, diffID layer.Digest, tar io.Reader) error
	// LayerSize is the sum of the sizes of a layer's files in bytes, as docker counts it.
	LayerSize(diffID layer.Digest) (int64, error)
	// RemoveLayer takes a layer away; one that isn't there is no error. Errors: container.ErrInUse.
	RemoveLayer(diffID layer.Digest) error
	// Layers lists all complete ones.
	Layers() ([]layer.Digest, error)

	// Prepare makes the writable layer of a container above layers (the lowest first, as rootfs.diff_ids has
	// them) or above o.LowerDir. Errors: container.ErrNotFound for a missing layer, ErrExists.
	Prepare(ctx context.Context, id string, layers []layer.Digest, o Options) error
	// Mount says how the container's root is mounted. It mounts nothing itself.
	Mount(id string) (*container.RootFS, error)
	// Remove deletes a container's writable layer; one that isn't there is no error.
	Remove(id string) error
	// Containers lists the ids that have a writable layer.
	Containers() ([]string, error)
	// Layered gives the layers that a container stands on.
	Layered(id string) ([]layer.Digest, error)

	// Diff writes the writable layer as a layer tar, with the container's own ids.
	Diff(ctx context.Context, id string, w io.Writer) error
	// Changes lists what differs from the layers below, sorted by path, as `docker diff`.
	Changes(id string) ([]Change, error)
	// Usage is what the writable layer holds, in bytes.
	Usage(id string) (int64, error)

	// Sweep deletes what was cut short. It never touches what a living process works on.
	Sweep() error
}

// Options of a writable layer.
type Options struct {
	// IDs is the container's user namespace; the zero value means host ids. The writable layer belongs to
	// its root, and layers (which hold container ids) are shifted when they are mounted.
	IDs layer.IDMaps
	// LowerDir is an existing directory to stand on instead of layers (--rootfs PATH:O). Absolute.
	LowerDir string
	// Quota bounds the writable layer, in bytes; 0 is no bound. Errors: container.ErrUnsupported where the
	// driver can't.
	Quota int64
	// Volatile skips syncing, for a container whose files nobody sees after a crash (--rm).
	Volatile bool
}

// ChangeKind is how a path differs, in docker's letters.
type ChangeKind byte

const (
	Added    ChangeKind = 'A'
	Modified ChangeKind = 'C'
	Deleted  ChangeKind = 'D'
)

// Change is one line of `gourd diff`.
type Change struct {
	Kind ChangeKind
	Path string // absolute, in the container
}

func (c Change) String() string { return string(c.Kind) + " " + c.Path }
