package image

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/layer/compression"
)

var (
	errDigestName = errors.New("a new image's name can't have a digest")
	errNoEnd      = errors.New("it has no end marker")
)

// ImportOptions of Import and of Create.
type ImportOptions struct {
	Ref      string   // name for the image, or ""
	Changes  []string // Dockerfile instructions for ApplyChange
	Message  string   // of the history; "" is "Imported from -"
	Author   string
	Platform Platform // zero: this machine's
	Created  time.Time
}

// Import makes an image of one layer from the tar stream of a root file system, compressed or not.
// Errors: container.ErrInvalid, ErrCorrupt; then no image is made.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions, sink LayerSink) (Loaded, error) {
	c := &Config{}
	for _, line := range o.Changes {
		if err := c.Config.ApplyChange(line); err != nil {
			return Loaded{}, err
		}
	}
	if o.Message == "" {
		o.Message = "Imported from -"
	}
	return s.Create(ctx, c, r, o, sink)
}

// Create makes an image from a configuration and one more layer (r, a tar stream, compressed or not; nil for
// none) above base's layers: what commit does. The configuration's layers and history are base's; o adds the new
// layer's. o.Changes is not applied.
func (s *Store) Create(ctx context.Context, c *Config, r io.Reader, o ImportOptions, sink LayerSink) (Loaded, error) {
	return s.create(ctx, c, nil, r, o, sink)
}

// CreateFrom is Create above another image.
func (s *Store) CreateFrom(ctx context.Context, base *Image, c *Config, r io.Reader, o ImportOptions, sink LayerSink) (Loaded, error) {
	return s.create(ctx, c, base, r, o, sink)
}

func (s *Store) create(ctx context.Context, c *Config, base *Image, r io.Reader, o ImportOptions, sink LayerSink) (Loaded, error) {
	var names []Reference
	if o.Ref != "" {
		ref, err := ParseReference(o.Ref)
		if err != nil {
			return Loaded{}, err
		}
		if ref.Digest != "" {
			return Loaded{}, container.Invalid("name image", o.Ref, errDigestName, "")
		}
		names = append(names, ref)
	}
	in, err := s.newIngest(sink)
	if err != nil {
		return Loaded{}, err
	}
	defer in.close()
	p := &picture{names: names}
	out := *c
	out.stamp(o)
	if base != nil {
		if err := in.borrow(base, p); err != nil {
			return Loaded{}, err
		}
		out.RootFS.DiffIDs = append([]layer.Digest{}, base.DiffIDs...)
		out.History = append([]History{}, base.Config.History...)
	}
	if err := in.addTop(ctx, r, &out, p, o, base == nil); err != nil {
		return Loaded{}, err
	}
	if p.config, _, err = in.spool(strings.NewReader(string(marshal(out)))); err != nil {
		return Loaded{}, err
	}
	if err := in.writeManifest(p); err != nil {
		return Loaded{}, err
	}
	if _, err := in.add(ctx, p, nil); err != nil {
		return Loaded{}, err
	}
	return in.finish(p)
}

// stamp fills in what every new image has.
func (c *Config) stamp(o ImportOptions) {
	platform := o.Platform
	if platform == (Platform{}) {
		platform = HostPlatform()
	}
	if c.OS == "" {
		c.OS, c.Architecture, c.Variant = platform.OS, platform.Architecture, platform.Variant
	}
	if o.Created.IsZero() {
		o.Created = time.Now().UTC()
	}
	c.Created, c.Author = &o.Created, o.Author
	c.RootFS = RootFS{Type: "layers", DiffIDs: []layer.Digest{}}
}

// addTop spools the new layer and enters it in configuration and picture.
func (in *ingest) addTop(ctx context.Context, r io.Reader, c *Config, p *picture, o ImportOptions, whole bool) error {
	h := History{Created: c.Created, Comment: o.Message, Author: o.Author, EmptyLayer: r == nil}
	if r != nil {
		blob, _, err := in.spool(withContext(ctx, r))
		if err != nil {
			return err
		}
		l, err := in.describeLayer(blob)
		if err != nil {
			return err
		}
		diffID, err := in.diffID(ctx, l.Digest, whole)
		if err != nil {
			return err
		}
		p.layers = append(p.layers, l)
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, diffID)
	}
	c.History = append(c.History, h)
	return nil
}

// diffID reads a spooled layer once and checks all its entries. whole wants the archive's end marker, without
// which a cut stream can't be told from a complete one.
func (in *ingest) diffID(ctx context.Context, blob layer.Digest, whole bool) (layer.Digest, error) {
	f, err := in.open(blob)
	if err != nil {
		return "", err
	}
	defer f.Close()
	d, err := compression.Decompress(f)
	if err != nil {
		return "", err
	}
	defer d.Close()
	h := layer.NewHasher()
	stream := io.TeeReader(withContext(ctx, d), h)
	t := layer.NewReader(stream)
	for {
		if _, err = t.Next(); err != nil {
			break
		}
	}
	if err != io.EOF {
		return "", err
	}
	if whole && !t.Complete() {
		return "", &container.Error{Verb: "import", Object: "archive", Kind: container.ErrCorrupt, Cause: errNoEnd, Hint: "was it cut off?"}
	}
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return "", err
	}
	return h.Digest(), nil
}

// borrow links the blobs of a stored image into the staging directory, so that they are here whatever happens to
// that image meanwhile.
func (in *ingest) borrow(base *Image, p *picture) error {
	m, err := in.store.manifest(base.Manifest)
	if err != nil {
		return err
	}
	for _, l := range m.Layers {
		if err := in.link(l); err != nil {
			return err
		}
	}
	p.layers = append(p.layers, m.Layers...)
	return nil
}

func (in *ingest) link(d Descriptor) error {
	err := os.Link(in.store.blobPath(d.Digest), in.path(d.Digest))
	if err != nil && !errors.Is(err, os.ErrExist) {
		return &container.Error{Verb: "use layer", Object: string(d.Digest), Cause: err, Hint: "load or pull the image again"}
	}
	in.blobs[d.Digest] = d.Size
	return nil
}

// finish commits a single new image.
func (in *ingest) finish(p *picture) (Loaded, error) {
	replaced, err := in.commit()
	if err != nil {
		return Loaded{}, err
	}
	out := Loaded{ID: p.config}
	for _, n := range p.names {
		out.Names = append(out.Names, n.Familiar())
		if old, ok := replaced[n.String()]; ok {
			out.Replaced = map[string]layer.Digest{n.Familiar(): old}
		}
	}
	return out, nil
}
