package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/layer/compression"
)

// Loaded is one image that a load brought.
type Loaded struct {
	ID    layer.Digest
	Names []string // familiar; none if the archive gave none
	// Replaced tells, by familiar name, which image had the name before.
	Replaced map[string]layer.Digest
}

// Load reads an archive of images from a stream, compressed or not: docker's (`docker save`, `podman save`,
// skopeo's docker-archive; old and new layouts), an OCI layout, or both at once. Every layer is verified and
// handed to sink. All images of the archive become visible together, or, on any error, none.
// Errors: container.ErrCorrupt, ErrUnsupported; errors of r and of the disk.
func (s *Store) Load(ctx context.Context, r io.Reader, sink LayerSink, progress Progress) ([]Loaded, error) {
	return s.loadFrom(ctx, sink, progress, func(in *ingest) (*archive, error) { return in.readArchive(ctx, r) })
}

// LoadDir reads the same from a directory: an OCI layout, or a docker archive that was unpacked.
func (s *Store) LoadDir(ctx context.Context, dir string, sink LayerSink, progress Progress) ([]Loaded, error) {
	return s.loadFrom(ctx, sink, progress, func(in *ingest) (*archive, error) { return in.readDir(ctx, dir) })
}

func (s *Store) loadFrom(ctx context.Context, sink LayerSink, progress Progress, read func(*ingest) (*archive, error)) ([]Loaded, error) {
	in, err := s.newIngest(sink)
	if err != nil {
		return nil, err
	}
	defer in.close()
	a, err := read(in)
	if err != nil {
		return nil, err
	}
	pictures, err := a.pictures()
	if err != nil {
		return nil, err
	}
	loaded := make([]Loaded, 0, len(pictures))
	for _, p := range pictures {
		id, err := in.add(ctx, p, progress)
		if err != nil {
			return nil, err
		}
		l := Loaded{ID: id}
		for _, n := range p.names {
			l.Names = append(l.Names, n.Familiar())
		}
		loaded = append(loaded, l)
	}
	replaced, err := in.commit()
	if err != nil {
		return nil, err
	}
	for i, p := range pictures {
		for _, n := range p.names {
			if old, ok := replaced[n.String()]; ok {
				if loaded[i].Replaced == nil {
					loaded[i].Replaced = map[string]layer.Digest{}
				}
				loaded[i].Replaced[n.Familiar()] = old
			}
		}
	}
	return loaded, nil
}

// archive is the content of an image archive: its files by name, spooled, and its links.
type archive struct {
	in    *ingest
	files map[string]layer.Digest
	links map[string]string
}

// maxFiles bounds the files of an image archive: a document or layer each.
const maxFiles = 100_000

// readArchive spools every file of a tar stream. What they are is known only at the end, as manifest.json may
// stand there.
func (in *ingest) readArchive(ctx context.Context, r io.Reader) (*archive, error) {
	d, err := compression.Decompress(withContext(ctx, r))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	a := &archive{in: in, files: map[string]layer.Digest{}, links: map[string]string{}}
	t := layer.NewReader(d)
	for {
		e, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := a.entry(e, t); err != nil {
			return nil, err
		}
	}
	if d.Size() == 0 {
		return nil, corruptf("image archive", "it is empty")
	}
	return a, nil
}

func (a *archive) entry(e *layer.Entry, r io.Reader) error {
	if len(a.files)+len(a.links) >= maxFiles {
		return corruptf("image archive", "it has more than %d files", maxFiles)
	}
	switch e.Kind {
	case layer.File:
		return a.file(e.Name, r)
	case layer.Symlink:
		if !path.IsAbs(e.Link) {
			a.links[e.Name] = path.Join(path.Dir(e.Name), e.Link)
		}
	case layer.HardLink:
		a.links[e.Name] = e.Link
	}
	return nil
}

// file spools one file. One that is named by its digest must have it.
func (a *archive) file(name string, r io.Reader) error {
	d, _, err := a.in.spool(r)
	if err != nil {
		return err
	}
	if hex, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && d.Hex() != hex {
		return corruptf("image archive", "blob %.80q has the digest %s", name, d)
	}
	delete(a.links, name)
	a.files[name] = d
	return nil
}

// find follows links within the archive.
func (a *archive) find(name string) (layer.Digest, bool) {
	name = path.Clean(name)
	for range 40 { // as many as the kernel follows
		if d, ok := a.files[name]; ok {
			return d, true
		}
		next, ok := a.links[name]
		if !ok {
			return "", false
		}
		name = next
	}
	return "", false
}

// document reads a small file; nil if there is none of this name.
func (a *archive) document(name string) ([]byte, error) {
	d, ok := a.find(name)
	if !ok {
		return nil, nil
	}
	return a.in.read(d)
}

// readDir spools the files of a directory, never following a link out of it.
func (in *ingest) readDir(ctx context.Context, dir string) (*archive, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &container.Error{Verb: "open image directory", Object: dir, Cause: err}
	}
	defer root.Close()
	a := &archive{in: in, files: map[string]layer.Digest{}, links: map[string]string{}}
	names := []string{"oci-layout", "index.json", "manifest.json"}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		names = append(names, path.Join("blobs", "sha256", filepath.Base(b)))
	}
	for _, name := range names {
		if err := a.dirFile(ctx, root, name); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *archive) dirFile(ctx context.Context, root *os.Root, name string) error {
	st, err := root.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &container.Error{Verb: "read image directory", Object: name, Cause: err}
	}
	if !st.Mode().IsRegular() {
		return corruptf("image directory", "%.100q is no file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return &container.Error{Verb: "read image directory", Object: name, Cause: err}
	}
	defer f.Close()
	return a.file(name, withContext(ctx, f))
}

// pictures finds the images of an archive.
func (a *archive) pictures() ([]*picture, error) {
	if b, err := a.document("oci-layout"); err != nil {
		return nil, err
	} else if b != nil {
		if err := checkLayout(b); err != nil {
			return nil, err
		}
	}
	list, err := a.document("manifest.json")
	if err != nil {
		return nil, err
	}
	if list != nil {
		return a.dockerImages(list)
	}
	index, err := a.document("index.json")
	if err != nil {
		return nil, err
	}
	if index == nil {
		return nil, &container.Error{Verb: "read", Object: "image archive", Kind: container.ErrCorrupt, Cause: errors.New("it has neither manifest.json nor index.json"),
			Hint: "if it is a root file system, use `gourd import`"}
	}
	return a.ociImages(index)
}

// dockerImage is an element of docker's manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *archive) dockerImages(b []byte) ([]*picture, error) {
	var list []dockerImage
	if err := unmarshal("manifest.json", b, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, corruptf("manifest.json", "it lists no image")
	}
	known := a.manifests()
	pictures := make([]*picture, 0, len(list))
	for _, d := range list {
		p, err := a.dockerImage(d, known)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, p)
	}
	return pictures, nil
}

func (a *archive) dockerImage(d dockerImage, known map[layer.Digest]*picture) (*picture, error) {
	p := new(picture)
	for _, tag := range d.RepoTags {
		r, err := ParseReference(tag)
		if err == nil && (r.Digest != "" || r.Tag == "") {
			err = corruptf("manifest.json", "%.100q is no name with a tag", tag)
		}
		if err != nil {
			return nil, &container.Error{Verb: "read", Object: "manifest.json", Kind: container.ErrCorrupt, Cause: err}
		}
		p.names = append(p.names, r)
	}
	config, ok := a.find(d.Config)
	if !ok {
		return nil, corruptf("image archive", "the configuration %.100q is missing", d.Config)
	}
	if base := strings.TrimSuffix(path.Base(d.Config), ".json"); len(base) == 64 && isHex(base) && base != config.Hex() {
		return nil, corruptf("image archive", "the configuration %.100q has the digest %s", d.Config, config)
	}
	p.config = config
	if k := known[config]; k != nil { // the archive is an OCI layout too: its manifest keeps its digest
		p.manifest, p.layers = k.manifest, k.layers
		return p, nil
	}
	if len(d.Layers) > maxLayers {
		return nil, corruptf("manifest.json", "an image has %d layers, more than %d", len(d.Layers), maxLayers)
	}
	for _, name := range d.Layers {
		blob, ok := a.find(name)
		if !ok {
			return nil, corruptf("image archive", "the layer %.100q is missing", name)
		}
		l, err := a.in.describeLayer(blob)
		if err != nil {
			return nil, err
		}
		p.layers = append(p.layers, l)
	}
	return p, a.in.writeManifest(p)
}

// describeLayer finds out how a layer is compressed. OCI has no media type for bzip2 and xz: those are kept
// uncompressed.
func (in *ingest) describeLayer(blob layer.Digest) (Descriptor, error) {
	f, err := in.open(blob)
	if err != nil {
		return Descriptor{}, err
	}
	defer f.Close()
	d, err := compression.Decompress(f)
	if err != nil {
		return Descriptor{}, err
	}
	defer d.Close()
	out := Descriptor{MediaType: MediaTypeLayer, Digest: blob, Size: in.blobs[blob]}
	switch d.Format {
	case compression.Gzip, compression.Zstd:
		out.MediaType += "+" + string(d.Format)
	case compression.Bzip2, compression.XZ:
		if out.Digest, out.Size, err = in.spool(d); err != nil {
			return Descriptor{}, err
		}
	}
	return out, nil
}

// writeManifest makes the manifest that a docker archive doesn't have.
func (in *ingest) writeManifest(p *picture) error {
	m := Manifest{SchemaVersion: 2, MediaType: MediaTypeManifest, Layers: p.layers,
		Config: Descriptor{MediaType: MediaTypeConfig, Digest: p.config, Size: in.blobs[p.config]}}
	if m.Layers == nil {
		m.Layers = []Descriptor{}
	}
	d, size, err := in.spool(strings.NewReader(string(marshal(m))))
	p.manifest = Descriptor{MediaType: MediaTypeManifest, Digest: d, Size: size}
	return err
}

// manifests finds the complete manifests of an archive's index.json by the configuration they name. A damaged or
// partial index counts as none here: manifest.json leads.
func (a *archive) manifests() map[layer.Digest]*picture {
	found := map[layer.Digest]*picture{}
	b, err := a.document("index.json")
	if err != nil || b == nil {
		return found
	}
	w := &indexWalk{a: a, budget: maxIndexEntries}
	if w.index(b, "", nil, 0) != nil {
		return found
	}
	for _, p := range w.found {
		found[p.config] = p
	}
	return found
}

// Bounds of an index (GO-2026-6597: indexes that refer to indexes grow exponentially).
const (
	maxIndexDepth   = 4
	maxIndexEntries = 2000
)

// indexWalk collects the images of an OCI index and of the indexes it refers to.
type indexWalk struct {
	a       *archive
	budget  int
	found   []*picture
	strict  bool     // a missing blob is an error
	skipped []string // platforms of other machines
}

func (a *archive) ociImages(b []byte) ([]*picture, error) {
	w := &indexWalk{a: a, budget: maxIndexEntries, strict: true}
	if err := w.index(b, "", nil, 0); err != nil {
		return nil, err
	}
	if len(w.found) == 0 {
		err := &container.Error{Verb: "load", Object: "OCI layout", Kind: container.ErrNotFound, Cause: errors.New("it holds no image")}
		if len(w.skipped) > 0 {
			err.Cause = fmt.Errorf("it holds no image for %s, only for %s", HostPlatform(), strings.Join(w.skipped, ", "))
		}
		return nil, err
	}
	return w.found, nil
}

func (w *indexWalk) index(b []byte, mediaType string, names []Reference, depth int) error {
	x, err := parseIndex(b, mediaType)
	if err != nil {
		return err
	}
	if depth > maxIndexDepth {
		return corruptf("index", "it is nested more than %d deep", maxIndexDepth)
	}
	for _, d := range x.Manifests {
		if w.budget--; w.budget < 0 {
			return corruptf("index", "it has more than %d entries", maxIndexEntries)
		}
		if err := w.entry(d, names, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *indexWalk) entry(d Descriptor, names []Reference, depth int) error {
	if own := nameOf(d); own != nil {
		names = []Reference{*own}
	}
	if depth > 0 && d.Platform != nil && !runsHere(*d.Platform) {
		w.skipped = append(w.skipped, d.Platform.String())
		return nil
	}
	if !isManifest(d.MediaType) && !isIndex(d.MediaType) {
		return nil // artifacts: signatures, attestations
	}
	blob, ok := w.a.find("blobs/sha256/" + d.Digest.Hex())
	if !ok {
		if w.strict {
			return corruptf("OCI layout", "the manifest %s is missing", d.Digest)
		}
		return nil
	}
	b, err := w.a.in.read(blob)
	if err != nil {
		return err
	}
	if int64(len(b)) != d.Size {
		return corruptf("OCI layout", "the manifest %s has %d bytes, not %d", d.Digest, len(b), d.Size)
	}
	if isIndex(d.MediaType) {
		return w.index(b, d.MediaType, names, depth+1)
	}
	return w.manifest(b, d, names)
}

func (w *indexWalk) manifest(b []byte, d Descriptor, names []Reference) error {
	m, err := parseManifest(b, d.MediaType)
	if err != nil {
		if w.strict || !errors.Is(err, container.ErrUnsupported) {
			return err
		}
		return nil
	}
	p := &picture{names: names, config: m.Config.Digest, layers: m.Layers, manifest: Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}}
	for _, l := range append([]Descriptor{m.Config}, m.Layers...) {
		blob, ok := w.a.find("blobs/sha256/" + l.Digest.Hex())
		switch {
		case !ok && !w.strict:
			return nil
		case !ok:
			return corruptf("OCI layout", "the blob %s is missing", l.Digest)
		case w.a.in.blobs[blob] != l.Size:
			return corruptf("OCI layout", "the blob %s has %d bytes, not %d", l.Digest, w.a.in.blobs[blob], l.Size)
		}
	}
	// The same image under several names is one image.
	for _, have := range w.found {
		if have.manifest.Digest == p.manifest.Digest {
			have.names = mergeNames(have.names, p.names)
			return nil
		}
	}
	w.found = append(w.found, p)
	return nil
}

func mergeNames(a, b []Reference) []Reference {
	seen := map[Reference]bool{}
	var out []Reference
	for _, n := range append(a, b...) {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

// nameOf reads an entry's name: containerd's annotation has a complete one; OCI's has one, or just a tag, which
// names nothing by itself.
func nameOf(d Descriptor) *Reference {
	for _, key := range []string{"io.containerd.image.name", annotationName} {
		name := d.Annotations[key]
		if name == "" || key == annotationName && !strings.ContainsAny(name, "/:") {
			continue
		}
		if r, err := ParseReference(name); err == nil && r.Digest == "" {
			return &r
		}
	}
	return nil
}

func runsHere(p Platform) bool {
	host := HostPlatform()
	return (p.OS == "" || p.OS == host.OS) && (p.Architecture == "" || p.Architecture == host.Architecture)
}
