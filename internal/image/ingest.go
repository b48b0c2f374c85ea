package image

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/layer/compression"
)

// ingest is one load or import under way. Everything it writes lies in a staging directory of its own until
// commit; the directory is locked by this process, so that after a crash the next command knows what to delete.
type ingest struct {
	store    *Store
	sink     LayerSink
	work     *container.Work
	blobs    map[layer.Digest]int64 // spooled in work, the name is the digest's hex; sizes
	used     map[layer.Digest]bool  // those that an image needs
	adds     []Descriptor           // for index.json
	unpacked []layer.Digest         // layers that the sink got from here, until they are committed
	n        int
}

func (s *Store) newIngest(sink LayerSink) (*ingest, error) {
	keeper, _ := sink.(LayerKeeper)
	if err := s.Sweep(keeper); err != nil {
		return nil, err
	}
	w, err := s.staging.New()
	if err != nil {
		return nil, err
	}
	return &ingest{store: s, sink: sink, work: w, blobs: map[layer.Digest]int64{}, used: map[layer.Digest]bool{}}, nil
}

// close ends the work: what was not committed is deleted, layers that were unpacked for it too.
func (in *ingest) close() {
	in.work.Close()
	keeper, ok := in.sink.(LayerKeeper)
	if !ok || len(in.unpacked) == 0 {
		return
	}
	unlock, err := in.store.lock()
	if err != nil {
		return
	}
	defer unlock()
	x, err := in.store.readIndex()
	if err != nil {
		return
	}
	if _, needed, err := in.store.reachable(x); err == nil && needed != nil {
		for _, d := range in.unpacked {
			if !needed[d] {
				keeper.RemoveLayer(d) // in use, or an error: the next sweep sees
			}
		}
	}
}

// spool writes a stream into the staging directory and names it by its digest.
func (in *ingest) spool(r io.Reader) (layer.Digest, int64, error) {
	in.n++
	tmp := filepath.Join(in.work.Path, "spool-"+strconv.Itoa(in.n))
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return "", 0, &container.Error{Verb: "store blob", Cause: err}
	}
	defer f.Close()
	h := layer.NewHasher()
	buf := make([]byte, 256<<10)
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(f, h)}, struct{ io.Reader }{r}, buf); err != nil {
		os.Remove(tmp)
		var known *container.Error
		if errors.As(err, &known) {
			return "", 0, err
		}
		return "", 0, &container.Error{Verb: "store blob", Cause: err}
	}
	d := h.Digest()
	if err := errors.Join(f.Sync(), os.Rename(tmp, in.path(d))); err != nil {
		os.Remove(tmp)
		return "", 0, &container.Error{Verb: "store blob", Object: string(d), Cause: err}
	}
	in.blobs[d] = h.Size()
	return d, h.Size(), nil
}

func (in *ingest) path(d layer.Digest) string { return filepath.Join(in.work.Path, d.Hex()) }

// open reads a spooled blob.
func (in *ingest) open(d layer.Digest) (*os.File, error) {
	f, err := os.Open(in.path(d))
	if err != nil {
		return nil, &container.Error{Verb: "open blob", Object: string(d), Cause: err}
	}
	return f, nil
}

// read gives a small spooled document.
func (in *ingest) read(d layer.Digest) ([]byte, error) {
	if size := in.blobs[d]; size > maxDocument {
		return nil, corruptf("document "+string(d), "it has %d bytes, more than %d", size, maxDocument)
	}
	b, err := os.ReadFile(in.path(d))
	if err != nil {
		return nil, &container.Error{Verb: "open blob", Object: string(d), Cause: err}
	}
	return b, nil
}

// want tells other processes' removals which layers this ingest counts on, before it looks whether they are there.
func (in *ingest) want(diffIDs []layer.Digest) error {
	unlock, err := in.store.lock()
	if err != nil {
		return err
	}
	defer unlock()
	f, err := os.OpenFile(filepath.Join(in.work.Path, wantedFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return &container.Error{Verb: "note layers", Cause: err}
	}
	for _, d := range diffIDs {
		_, werr := fmt.Fprintln(f, d)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, f.Close())
}

const wantedFile = "layers"

// wanted lists the layers that running ingests count on. The lock is held.
func (s *Store) wanted() (map[layer.Digest]bool, error) {
	set := map[layer.Digest]bool{}
	live, _, err := s.staging.Works()
	if err != nil {
		return nil, err
	}
	for _, dir := range live {
		f, err := os.Open(filepath.Join(dir, wantedFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for sc := bufio.NewScanner(f); sc.Scan(); {
			set[layer.Digest(sc.Text())] = true
		}
		f.Close()
	}
	return set, nil
}

// picture is one image found in an archive: its documents and where its layers are among the spooled blobs.
type picture struct {
	names    []Reference
	manifest Descriptor
	config   layer.Digest
	layers   []Descriptor
}

// add verifies an image, hands its layers to the sink, and notes it for commit.
func (in *ingest) add(ctx context.Context, p *picture, progress Progress) (layer.Digest, error) {
	raw, err := in.read(p.config)
	if err != nil {
		return "", err
	}
	c, err := ParseConfig(raw)
	if err != nil {
		return "", err
	}
	if len(c.RootFS.DiffIDs) != len(p.layers) {
		return "", corruptf("image", "it has %d layers, but its configuration names %d", len(p.layers), len(c.RootFS.DiffIDs))
	}
	if err := in.want(c.RootFS.DiffIDs); err != nil {
		return "", err
	}
	var size int64
	for i, diffID := range c.RootFS.DiffIDs {
		if err := in.addLayer(ctx, diffID, p.layers[i].Digest, progress); err != nil {
			return "", err
		}
		n, err := in.sink.LayerSize(diffID)
		if err != nil {
			return "", err
		}
		size += n
	}
	in.record(p, c, size)
	return p.config, nil
}

// addLayer unpacks a blob, or, where the layer is there already, checks that it is this one.
func (in *ingest) addLayer(ctx context.Context, diffID, blob layer.Digest, progress Progress) error {
	f, err := in.open(blob)
	if err != nil {
		return err
	}
	defer f.Close()
	exists := in.sink.Has(diffID)
	progress.say(Event{Layer: diffID, Size: in.blobs[blob], Exists: exists})
	if !exists {
		in.unpacked = append(in.unpacked, diffID)
		return addLayer(ctx, in.sink, diffID, f)
	}
	d, err := compression.Decompress(f)
	if err != nil {
		return err
	}
	defer d.Close()
	return layer.NewVerifier(withContext(ctx, d), diffID).Verify()
}

func addLayer(ctx context.Context, sink LayerSink, diffID layer.Digest, blob io.Reader) error {
	d, err := compression.Decompress(blob)
	if err != nil {
		return err
	}
	defer d.Close()
	return sink.Add(ctx, diffID, withContext(ctx, d))
}

// record makes the entries of index.json: one for each name, or one without.
func (in *ingest) record(p *picture, c *Config, size int64) {
	platform := c.Platform()
	d := Descriptor{MediaType: p.manifest.MediaType, Digest: p.manifest.Digest, Size: p.manifest.Size, Platform: &platform}
	names := make([]string, 0, len(p.names))
	for _, n := range p.names {
		names = append(names, n.String())
	}
	if len(names) == 0 {
		names = []string{""}
	}
	for _, n := range names {
		d.Annotations = map[string]string{annotationID: string(p.config), annotationSize: strconv.FormatInt(size, 10)}
		if c.Created != nil {
			d.Annotations[annotationCreated] = c.Created.UTC().Format(time.RFC3339Nano)
		}
		if n != "" {
			d.Annotations[annotationName] = n
		}
		in.adds = append(in.adds, d)
	}
	for _, d := range append([]Descriptor{p.manifest, {Digest: p.config}}, p.layers...) {
		in.used[d.Digest] = true
	}
}

// commit moves the used blobs to their places and enters the images, in one step for every reader. replaced
// lists the names that pointed elsewhere before.
func (in *ingest) commit() (replaced map[string]layer.Digest, err error) {
	s := in.store
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	for d := range in.used {
		if err := os.Rename(in.path(d), s.blobPath(d)); err != nil {
			return nil, &container.Error{Verb: "store blob", Object: string(d), Cause: err}
		}
	}
	if err := syncDir(s.blobDir()); err != nil {
		return nil, &container.Error{Verb: "store blobs", Object: s.blobDir(), Cause: err}
	}
	replaced = map[string]layer.Digest{}
	for _, d := range in.adds {
		if old := x.enter(d); old != "" {
			replaced[d.Annotations[annotationName]] = old
		}
	}
	if err := s.writeIndex(x); err != nil {
		return nil, err
	}
	in.unpacked = nil
	return replaced, nil
}

// enter puts an entry into the index. A name is taken from whoever had it (whose id is returned, if it is
// another image); an image that loses its last name stays without.
func (x *Index) enter(d Descriptor) (old layer.Digest) {
	name, id := d.Annotations[annotationName], d.Annotations[annotationID]
	if name == "" {
		for _, have := range x.Manifests {
			if have.Annotations[annotationID] == id {
				return ""
			}
		}
		x.Manifests = append(x.Manifests, d)
		return ""
	}
	kept := x.Manifests[:0:0]
	for _, have := range x.Manifests {
		sameID := have.Annotations[annotationID] == id
		switch {
		case have.Annotations[annotationName] == name:
			if !sameID {
				old = layer.Digest(have.Annotations[annotationID])
				if !x.named(old, name) {
					have.Annotations = without(have.Annotations, annotationName)
					kept = append(kept, have)
				}
			}
		case have.Annotations[annotationName] == "" && sameID: // it has a name now
		default:
			kept = append(kept, have)
		}
	}
	x.Manifests = append(kept, d)
	return old
}

// named says whether an image has another name than this.
func (x *Index) named(id layer.Digest, but string) bool {
	for _, d := range x.Manifests {
		if n := d.Annotations[annotationName]; d.Annotations[annotationID] == string(id) && n != "" && n != but {
			return true
		}
	}
	return false
}

func without(m map[string]string, key string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}

// Event tells what a load is doing.
type Event struct {
	Layer  layer.Digest
	Size   int64 // of the blob
	Exists bool  // the driver has it: it is only verified
}

// Progress is told of every layer; nil is nobody.
type Progress func(Event)

func (p Progress) say(e Event) {
	if p != nil {
		p(e)
	}
}

// withContext ends a stream when ctx does.
func withContext(ctx context.Context, r io.Reader) io.Reader { return &contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// checkLayout refuses layouts of versions that don't exist yet.
func checkLayout(b []byte) error {
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := unmarshal("oci-layout", b, &v); err != nil {
		return err
	}
	if !strings.HasPrefix(v.Version, "1.") {
		return &container.Error{Verb: "read", Object: "oci-layout", Kind: container.ErrUnsupported, Cause: fmt.Errorf("version %.20q", v.Version)}
	}
	return nil
}
