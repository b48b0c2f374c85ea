package image

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"time"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// saved is an image with the names that Save gives it.
type saved struct {
	img      *Image
	manifest *Manifest
	names    []Reference
}

// Save writes images as a tar that is a docker archive and an OCI layout at once, as docker does since 25: docker,
// podman, skopeo and gourd can load it. Blobs are written as they are stored, so digests stay what they were.
// A ref with a tag saves that name; a bare repository all its names; an id the image without names.
func (s *Store) Save(ctx context.Context, w io.Writer, refs []string) error {
	images, err := s.choose(refs)
	if err != nil {
		return err
	}
	t := &saver{ctx: ctx, s: s, tar: tar.NewWriter(w), done: map[string]bool{}}
	if err := t.all(images); err != nil {
		return err
	}
	return t.tar.Close()
}

// choose finds what refs mean; an image that is named twice is saved once, with both names.
func (s *Store) choose(refs []string) ([]*saved, error) {
	if len(refs) == 0 {
		return nil, container.Invalid("save", "images", errors.New("none was named"), "")
	}
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	if err := s.annotate(x); err != nil {
		return nil, err
	}
	list, err := s.summaries(x)
	if err != nil {
		return nil, err
	}
	var out []*saved
	for _, ref := range refs {
		if out, err = s.selectOne(x, list, ref, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) selectOne(x *Index, list []*Summary, ref string, out []*saved) ([]*saved, error) {
	if r, err := parseNamed(ref); err == nil && r.Tag == "" && r.Digest == "" {
		n := len(out)
		for _, sum := range list {
			for _, name := range x.names(sum.ID) {
				if name.Repository() == r.Repository() && name.Digest == "" {
					if out, err = s.selected(sum, &name, out); err != nil {
						return nil, err
					}
					n = -1
				}
			}
		}
		if n < 0 {
			return out, nil
		}
	}
	sum, err := s.find(x, ref)
	if err != nil {
		return nil, err
	}
	var name *Reference
	if r, err := ParseReference(ref); err == nil && !sum.isID(ref) && r.Digest == "" {
		name = &r
	}
	return s.selected(sum, name, out)
}

func (s *Store) selected(sum *Summary, name *Reference, out []*saved) ([]*saved, error) {
	var one *saved
	for _, have := range out {
		if have.img.ID == sum.ID {
			one = have
		}
	}
	if one == nil {
		img, err := s.load(sum)
		if err != nil {
			return nil, err
		}
		m, err := s.manifest(sum.Manifest)
		if err != nil {
			return nil, err
		}
		one = &saved{img: img, manifest: m}
		out = append(out, one)
	}
	if name != nil {
		one.names = mergeNames(one.names, []Reference{*name})
	}
	return out, nil
}

// saver writes the archive. Times are the epoch, so that the same images give the same bytes.
type saver struct {
	ctx  context.Context
	s    *Store
	tar  *tar.Writer
	done map[string]bool
}

func (t *saver) all(images []*saved) error {
	list := make([]dockerImage, 0, len(images))
	x := Index{SchemaVersion: 2, MediaType: MediaTypeIndex}
	for _, one := range images {
		d, err := t.image(one)
		if err != nil {
			return err
		}
		list = append(list, d)
		x.Manifests = append(x.Manifests, one.descriptors()...)
	}
	for _, doc := range []struct {
		name string
		data []byte
	}{{"oci-layout", []byte(ociLayout)}, {"index.json", marshal(x)}, {"manifest.json", marshal(list)}} {
		if err := t.file(doc.name, doc.data); err != nil {
			return err
		}
	}
	return nil
}

// image writes an image's blobs.
func (t *saver) image(one *saved) (dockerImage, error) {
	blobs := append([]Descriptor{one.img.Manifest, one.manifest.Config}, one.manifest.Layers...)
	for _, b := range blobs {
		if err := t.blob(b); err != nil {
			return dockerImage{}, err
		}
	}
	d := dockerImage{Config: blobName(one.manifest.Config.Digest), Layers: []string{}}
	for _, n := range one.names {
		d.RepoTags = append(d.RepoTags, n.Familiar())
	}
	for _, l := range one.manifest.Layers {
		d.Layers = append(d.Layers, blobName(l.Digest))
	}
	return d, nil
}

func (one *saved) descriptors() []Descriptor {
	platform := one.img.Config.Platform()
	d := Descriptor{MediaType: one.img.Manifest.MediaType, Digest: one.img.Manifest.Digest, Size: one.img.Manifest.Size, Platform: &platform}
	if len(one.names) == 0 {
		return []Descriptor{d}
	}
	out := make([]Descriptor, 0, len(one.names))
	for _, n := range one.names {
		d.Annotations = map[string]string{"io.containerd.image.name": n.String(), annotationName: n.Tag}
		out = append(out, d)
	}
	return out
}

func blobName(d layer.Digest) string { return path.Join("blobs", "sha256", d.Hex()) }

// dirs writes the directories above a name, once.
func (t *saver) dirs(name string) error {
	dir := path.Dir(name)
	if dir == "." || t.done[dir] {
		return nil
	}
	if err := t.dirs(dir); err != nil {
		return err
	}
	t.done[dir] = true
	return t.tar.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(0, 0)})
}

func (t *saver) header(name string, size int64) error {
	if err := t.dirs(name); err != nil {
		return err
	}
	t.done[name] = true
	return t.tar.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0)})
}

func (t *saver) file(name string, data []byte) error {
	if err := t.header(name, int64(len(data))); err != nil {
		return err
	}
	_, err := t.tar.Write(data)
	return err
}

// blob writes one blob and verifies it on the way: what leaves the store is what its digest says.
func (t *saver) blob(d Descriptor) error {
	name := blobName(d.Digest)
	if t.done[name] {
		return nil
	}
	f, err := os.Open(t.s.blobPath(d.Digest))
	if err != nil {
		return &container.Error{Verb: "save blob", Object: string(d.Digest), Cause: err, Hint: "load or pull the image again"}
	}
	defer f.Close()
	if err := t.header(name, d.Size); err != nil {
		return err
	}
	v := layer.NewVerifier(withContext(t.ctx, f), d.Digest)
	if _, err := io.CopyBuffer(struct{ io.Writer }{t.tar}, v, make([]byte, 256<<10)); err != nil {
		return &container.Error{Verb: "save blob", Object: string(d.Digest), Cause: err}
	}
	return v.Verify()
}

// HistoryLine is one of `gourd history`, the newest first.
type HistoryLine struct {
	History
	ID   layer.Digest // of the image, for the newest; else ""
	Size int64        // of the layer's files, in bytes
}

// History tells how an image came about. The sizes are a snapshot driver's; without one they are 0.
func (s *Store) History(img *Image, layers LayerSink) ([]HistoryLine, error) {
	lines := make([]HistoryLine, 0, len(img.Config.History))
	next := 0
	for _, h := range img.Config.History {
		l := HistoryLine{History: h}
		if !h.EmptyLayer && next < len(img.DiffIDs) {
			if layers != nil {
				size, err := layers.LayerSize(img.DiffIDs[next])
				if err != nil {
					return nil, err
				}
				l.Size = size
			}
			next++
		}
		lines = append(lines, l)
	}
	for ; next < len(img.DiffIDs); next++ { // layers that the history doesn't mention
		l := HistoryLine{History: History{Created: img.Config.Created}}
		if layers != nil {
			size, err := layers.LayerSize(img.DiffIDs[next])
			if err != nil {
				return nil, err
			}
			l.Size = size
		}
		lines = append(lines, l)
	}
	slices.Reverse(lines)
	if len(lines) > 0 {
		lines[0].ID = img.ID
	}
	return lines, nil
}
