// Package image keeps images: an OCI image layout (image-spec, image-layout.md) that other tools can read.
//
//	ROOT/images/oci-layout
//	ROOT/images/index.json          every name, and every image without one: a descriptor of its manifest
//	ROOT/images/blobs/sha256/HEX    manifests, configurations, layers as they came (compressed or not)
//	ROOT/images/staging/            what is being loaded or removed
//	ROOT/images/lock                held around every change of index.json and blobs
//
// A blob gets its place by rename when its digest is verified, index.json is replaced by rename: readers need no
// lock. The unpacked layers are a snapshot driver's; this package tells it what to keep.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// LayerSink takes the layers of an image that is being loaded. A snapshot driver is one.
type LayerSink interface {
	Has(diffID layer.Digest) bool
	Add(ctx context.Context, diffID layer.Digest, tar io.Reader) error
	LayerSize(diffID layer.Digest) (int64, error)
}

// LayerKeeper also gives them up again.
type LayerKeeper interface {
	LayerSink
	Layers() ([]layer.Digest, error)
	RemoveLayer(diffID layer.Digest) error
}

// Store is the images of one installation.
type Store struct {
	dir     string
	staging container.Staging
}

// Open makes the layout where it is missing.
func Open(root string) (*Store, error) {
	s := &Store{dir: filepath.Join(root, "images")}
	s.staging = container.Staging{Dir: filepath.Join(s.dir, "staging")}
	if _, err := os.Lstat(filepath.Join(s.dir, "oci-layout")); err == nil {
		return s, nil // made last
	}
	for _, dir := range []string{s.dir, s.staging.Dir, s.blobDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, &container.Error{Verb: "open image store", Object: s.dir, Cause: err, Hint: "run as root, or choose another place with --root"}
		}
	}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Lstat(s.indexPath()); errors.Is(err, fs.ErrNotExist) {
		if err := s.writeIndex(&Index{SchemaVersion: 2, MediaType: MediaTypeIndex, Manifests: []Descriptor{}}); err != nil {
			return nil, err
		}
	}
	return s, writeSynced(filepath.Join(s.dir, "oci-layout"), []byte(ociLayout))
}

const ociLayout = `{"imageLayoutVersion":"1.0.0"}` + "\n"

func (s *Store) blobDir() string { return filepath.Join(s.dir, "blobs", "sha256") }

func (s *Store) blobPath(d layer.Digest) string { return filepath.Join(s.blobDir(), d.Hex()) }

func (s *Store) indexPath() string { return filepath.Join(s.dir, "index.json") }

func (s *Store) lock() (func(), error) { return container.LockFile(filepath.Join(s.dir, "lock")) }

// Annotations of index.json's descriptors. The name is OCI's own; the rest spares reading each image's
// configuration to list them.
const (
	annotationName    = "org.opencontainers.image.ref.name" // complete reference, with tag or digest
	annotationID      = "gourd.image.id"
	annotationSize    = "gourd.image.size"
	annotationCreated = "gourd.image.created"
)

// Summary is what a list shows of an image.
type Summary struct {
	ID          layer.Digest // digest of the configuration: the same for every copy of the image
	Manifest    Descriptor   // without annotations
	RepoTags    []string     // "busybox:latest"
	RepoDigests []string     // "busybox@sha256:…", of images that came from a registry
	Created     time.Time    // zero if the image doesn't say
	Size        int64        // of the files in its layers, in bytes, as docker counts
}

// Dangling says that the image has no name.
func (s *Summary) Dangling() bool { return len(s.RepoTags) == 0 && len(s.RepoDigests) == 0 }

// Image is one with its configuration.
type Image struct {
	Summary
	Config    *Config
	RawConfig []byte // the bytes that ID is the digest of
	DiffIDs   []layer.Digest
}

// Get reads an image by its full id.
func (s *Store) Get(id layer.Digest) (*Image, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, sum := range list {
		if sum.ID == id {
			return s.load(sum)
		}
	}
	return nil, noSuchImage(string(id))
}

// List gives all images, the newest first. Names are sorted.
func (s *Store) List() ([]*Summary, error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	return s.summaries(x)
}

func (s *Store) summaries(x *Index) ([]*Summary, error) {
	byID := map[layer.Digest]*Summary{}
	var list []*Summary
	for _, d := range x.Manifests {
		sum, err := s.summary(d)
		if err != nil {
			return nil, err
		}
		if known := byID[sum.ID]; known != nil {
			sum = known
		} else {
			byID[sum.ID] = sum
			list = append(list, sum)
		}
		ref, err := parseNamed(d.Annotations[annotationName])
		switch {
		case err != nil:
		case ref.Digest != "":
			sum.RepoDigests = append(sum.RepoDigests, Reference{Domain: ref.Domain, Path: ref.Path, Digest: ref.Digest}.Familiar())
		default:
			sum.RepoTags = append(sum.RepoTags, ref.Familiar())
		}
	}
	for _, sum := range list {
		sort.Strings(sum.RepoTags)
		sort.Strings(sum.RepoDigests)
	}
	sort.SliceStable(list, func(i, j int) bool {
		if !list[i].Created.Equal(list[j].Created) {
			return list[i].Created.After(list[j].Created)
		}
		return list[i].ID < list[j].ID
	})
	return list, nil
}

// summary reads what the annotations say; where another tool wrote the entry, the documents are read.
func (s *Store) summary(d Descriptor) (*Summary, error) {
	sum := &Summary{Manifest: Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform}}
	if id, err := layer.ParseDigest(d.Annotations[annotationID]); err == nil {
		sum.ID = id
		sum.Size, _ = strconv.ParseInt(d.Annotations[annotationSize], 10, 64)
		sum.Created, _ = time.Parse(time.RFC3339Nano, d.Annotations[annotationCreated])
		return sum, nil
	}
	m, err := s.manifest(d)
	if err != nil {
		return nil, err
	}
	c, _, err := s.config(m.Config.Digest)
	if err != nil {
		return nil, err
	}
	sum.ID = m.Config.Digest
	if c.Created != nil {
		sum.Created = *c.Created
	}
	for _, l := range m.Layers {
		sum.Size += l.Size
	}
	return sum, nil
}

// load reads the configuration of a listed image, verified against its id.
func (s *Store) load(sum *Summary) (*Image, error) {
	c, raw, err := s.config(sum.ID)
	if err != nil {
		return nil, err
	}
	return &Image{Summary: *sum, Config: c, RawConfig: raw, DiffIDs: c.RootFS.DiffIDs}, nil
}

func (s *Store) config(id layer.Digest) (*Config, []byte, error) {
	b, err := s.document("image configuration", id)
	if err != nil {
		return nil, nil, err
	}
	c, err := ParseConfig(b)
	return c, b, err
}

func (s *Store) manifest(d Descriptor) (*Manifest, error) {
	b, err := s.document("manifest", d.Digest)
	if err != nil {
		return nil, err
	}
	return parseManifest(b, d.MediaType)
}

// document reads a small blob and verifies it.
func (s *Store) document(what string, d layer.Digest) ([]byte, error) {
	f, err := os.Open(s.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &container.Error{Verb: "read " + what, Object: string(d), Kind: container.ErrNotFound, Cause: err, Hint: "load or pull the image again"}
	}
	if err != nil {
		return nil, &container.Error{Verb: "read " + what, Object: string(d), Cause: err}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, &container.Error{Verb: "read " + what, Object: string(d), Cause: err}
	}
	if layer.DigestOf(b) != d {
		return nil, &container.Error{Verb: "read " + what, Object: string(d), Kind: container.ErrCorrupt, Cause: errors.New("its content has another digest"), Hint: "load or pull the image again"}
	}
	return b, nil
}

// Resolve finds an image by name[:tag], name@digest, id, or a prefix of an id (with or without "sha256:"), in
// docker's order: a full id, then names, then prefixes.
// Errors: container.ErrNotFound; ErrInvalid for a prefix of several images and for what can't be a name.
func (s *Store) Resolve(ref string) (*Image, error) {
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	sum, err := s.find(x, ref)
	if err != nil {
		return nil, err
	}
	return s.load(sum)
}

func (s *Store) find(x *Index, ref string) (*Summary, error) {
	list, err := s.summaries(x)
	if err != nil {
		return nil, err
	}
	id := strings.TrimPrefix(ref, "sha256:")
	if len(id) == 64 && isHex(id) {
		for _, sum := range list {
			if sum.ID.Hex() == id || sum.Manifest.Digest.Hex() == id {
				return sum, nil
			}
		}
		return nil, noSuchImage(ref)
	}
	r, nameErr := ParseReference(ref)
	if nameErr == nil {
		if sum := s.findName(x, list, r); sum != nil {
			return sum, nil
		}
	}
	return findPrefix(list, ref, id, nameErr)
}

// findName also takes a digest that only the image's manifest has: docker with its containerd store does so too.
func (s *Store) findName(x *Index, list []*Summary, r Reference) *Summary {
	for _, d := range x.Manifests {
		have, err := parseNamed(d.Annotations[annotationName])
		if err != nil || have.Repository() != r.Repository() {
			continue
		}
		if r.Digest == "" && have.Tag == r.Tag && have.Digest == "" || r.Digest != "" && (have.Digest == r.Digest || d.Digest == r.Digest) {
			for _, sum := range list {
				if sum.Manifest.Digest == d.Digest {
					return sum
				}
				if id := d.Annotations[annotationID]; id != "" && string(sum.ID) == id {
					return sum
				}
			}
		}
	}
	return nil
}

func findPrefix(list []*Summary, ref, id string, nameErr error) (*Summary, error) {
	if !isHex(id) || len(id) > 64 {
		if nameErr != nil {
			return nil, nameErr
		}
		return nil, noSuchImage(ref)
	}
	var found []*Summary
	for _, sum := range list {
		if strings.HasPrefix(sum.ID.Hex(), id) {
			found = append(found, sum)
		}
	}
	switch len(found) {
	case 0:
		return nil, noSuchImage(ref)
	case 1:
		return found[0], nil
	}
	return nil, &container.Error{
		Verb: "find image", Object: ref, Kind: container.ErrInvalid,
		Cause: fmt.Errorf("the prefix is ambiguous: %d images' ids begin with it", len(found)), Hint: "give more digits",
	}
}

func noSuchImage(ref string) error {
	return &container.Error{Verb: "find image", Object: fmt.Sprintf("%.300s", ref), Kind: container.ErrNotFound, Cause: errors.New("no such image"), Hint: "`gourd images` lists them"}
}

// Layer opens a layer's blob as it came and says its digest and size: i counts from the lowest.
func (s *Store) Layer(img *Image, i int) (io.ReadCloser, Descriptor, error) {
	m, err := s.manifest(img.Manifest)
	if err != nil {
		return nil, Descriptor{}, err
	}
	if i < 0 || i >= len(m.Layers) {
		return nil, Descriptor{}, noSuchImage(fmt.Sprintf("%s, layer %d", img.ID, i))
	}
	f, err := os.Open(s.blobPath(m.Layers[i].Digest))
	if err != nil {
		return nil, Descriptor{}, &container.Error{Verb: "open layer", Object: string(m.Layers[i].Digest), Cause: err}
	}
	return f, m.Layers[i], nil
}

// EnsureLayers unpacks what a snapshot driver lacks of an image: after another driver was chosen, or damage.
func (s *Store) EnsureLayers(ctx context.Context, img *Image, sink LayerSink) error {
	for i, diffID := range img.DiffIDs {
		if sink.Has(diffID) {
			continue
		}
		f, _, err := s.Layer(img, i)
		if err != nil {
			return err
		}
		err = addLayer(ctx, sink, diffID, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readIndex() (*Index, error) {
	b, err := os.ReadFile(s.indexPath())
	if err != nil {
		return nil, &container.Error{Verb: "read list of images", Object: s.indexPath(), Cause: err}
	}
	x := new(Index)
	if err := json.Unmarshal(b, x); err != nil {
		return nil, &container.Error{Verb: "read list of images", Object: s.indexPath(), Kind: container.ErrCorrupt, Cause: err}
	}
	for _, d := range x.Manifests {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (s *Store) writeIndex(x *Index) error { return writeSynced(s.indexPath(), marshal(x)) }

// update changes index.json under the lock.
func (s *Store) update(change func(*Index) error) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	x, err := s.readIndex()
	if err != nil {
		return err
	}
	if err := change(x); err != nil {
		return err
	}
	return s.writeIndex(x)
}

// writeSynced replaces a file so that after a power cut it is the old one or the new one, whole.
func writeSynced(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return &container.Error{Verb: "write", Object: path, Cause: err}
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return &container.Error{Verb: "write", Object: path, Cause: err}
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
