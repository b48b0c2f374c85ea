package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// Tag gives an image another name; whoever had it loses it. replaced is that image's id.
// Errors: container.ErrNotFound, ErrInvalid.
func (s *Store) Tag(source, target string) (replaced layer.Digest, err error) {
	r, err := ParseReference(target)
	if err == nil && r.Digest != "" {
		err = container.Invalid("tag image", target, errors.New("a new name can't have a digest"), "")
	}
	if err != nil {
		return "", err
	}
	err = s.update(func(x *Index) error {
		sum, err := s.find(x, source)
		if err != nil {
			return err
		}
		d := sum.Manifest
		d.Annotations = sum.annotations()
		d.Annotations[annotationName] = r.String()
		replaced = x.enter(d)
		return nil
	})
	return replaced, err
}

func (s *Summary) annotations() map[string]string {
	a := map[string]string{annotationID: string(s.ID), annotationSize: fmt.Sprint(s.Size)}
	if !s.Created.IsZero() {
		a[annotationCreated] = s.Created.UTC().Format(time.RFC3339Nano)
	}
	return a
}

// User is a container that uses an image.
type User struct {
	ID      string
	Running bool
}

// Removed is one line of `gourd rmi`.
type Removed struct {
	Untagged string       // a familiar name, or ""
	Deleted  layer.Digest // an image's id or a layer's chain id, or ""
}

func (r Removed) String() string {
	if r.Untagged != "" {
		return "Untagged: " + r.Untagged
	}
	return "Deleted: " + string(r.Deleted)
}

// RemoveOptions of Remove.
type RemoveOptions struct {
	// Force also removes an image that has several names, when it is named by its id, or that stopped
	// containers use. Never one that a running container uses.
	Force bool
	// Users tells who uses an image, by its id.
	Users func(id layer.Digest) []User
}

// Remove takes a name from an image or, if that was its last one, or it is named by its id, deletes the image,
// with those of its layers that nothing needs any more. Docker's rules decide.
// Errors: container.ErrNotFound, ErrInvalid, ErrConflict.
func (s *Store) Remove(ref string, o RemoveOptions, layers LayerKeeper) ([]Removed, error) {
	return s.change(layers, func(x *Index) ([]Removed, error) {
		sum, err := s.find(x, ref)
		if err != nil {
			return nil, err
		}
		if !sum.isID(ref) {
			return x.removeName(sum, ref, o)
		}
		return x.removeImage(sum, ref, o)
	})
}

// isID says whether ref found the image by its id and not by a name.
func (s *Summary) isID(ref string) bool {
	hex := strings.TrimPrefix(ref, "sha256:")
	if !isHex(hex) || !strings.HasPrefix(s.ID.Hex(), hex) {
		return strings.HasPrefix(ref, "sha256:") && hex == s.Manifest.Digest.Hex()
	}
	r, err := ParseReference(ref)
	if err != nil {
		return true
	}
	for _, t := range s.RepoTags {
		if t == r.Familiar() {
			return false
		}
	}
	return true
}

func (x *Index) removeName(sum *Summary, ref string, o RemoveOptions) ([]Removed, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	last := len(sum.RepoTags)+len(sum.RepoDigests) <= 1
	if users := o.users(sum.ID); last && len(users) > 0 && (!o.Force || users[0].Running) {
		hint := "remove that container first, or use -f"
		if users[0].Running {
			hint = "stop and remove that container first"
		}
		return nil, &container.Error{Verb: "remove image", Object: ref, Kind: container.ErrConflict,
			Cause: fmt.Errorf("conflict: container %.12s is using its referenced image %s", users[0].ID, sum.ID.Short()), Hint: hint}
	}
	out := x.untag(sum, func(n Reference) bool {
		return n.String() == r.String() || r.Digest != "" && n.Repository() == r.Repository() && sum.Manifest.Digest == r.Digest
	})
	left := x.names(sum.ID)
	onlyDigests := len(left) > 0
	for _, n := range left {
		onlyDigests = onlyDigests && n.Digest != "" && n.Repository() == r.Repository()
	}
	if onlyDigests {
		out = append(out, x.untag(sum, func(Reference) bool { return true })...)
		left = nil
	}
	if len(left) > 0 {
		return out, nil
	}
	return append(out, x.drop(sum.ID)...), nil
}

func (x *Index) removeImage(sum *Summary, ref string, o RemoveOptions) ([]Removed, error) {
	repos := map[string]bool{}
	for _, n := range x.names(sum.ID) {
		repos[n.Repository()] = true
	}
	if len(repos) > 1 && !o.Force {
		return nil, &container.Error{Verb: "remove image", Object: ref, Kind: container.ErrConflict,
			Cause: errors.New("conflict: the image is referenced in multiple repositories"), Hint: "name one of them, or use -f"}
	}
	for _, u := range o.users(sum.ID) {
		if u.Running {
			return nil, &container.Error{Verb: "remove image", Object: ref, Kind: container.ErrConflict,
				Cause: fmt.Errorf("conflict: image is being used by running container %.12s", u.ID), Hint: "stop and remove that container first"}
		}
		if !o.Force {
			return nil, &container.Error{Verb: "remove image", Object: ref, Kind: container.ErrConflict,
				Cause: fmt.Errorf("conflict: image is being used by stopped container %.12s", u.ID), Hint: "remove that container first, or use -f"}
		}
	}
	out := x.untag(sum, func(Reference) bool { return true })
	return append(out, x.drop(sum.ID)...), nil
}

// users lists who uses an image, running ones first.
func (o RemoveOptions) users(id layer.Digest) []User {
	if o.Users == nil {
		return nil
	}
	var running, stopped []User
	for _, u := range o.Users(id) {
		if u.Running {
			running = append(running, u)
		} else {
			stopped = append(stopped, u)
		}
	}
	return append(running, stopped...)
}

// names of an image.
func (x *Index) names(id layer.Digest) []Reference {
	var out []Reference
	for _, d := range x.Manifests {
		if d.Annotations[annotationID] != string(id) {
			continue
		}
		if r, err := parseNamed(d.Annotations[annotationName]); err == nil {
			out = append(out, r)
		}
	}
	return out
}

// untag takes those names from an image that match; it stays in the index, if need be without a name.
func (x *Index) untag(sum *Summary, match func(Reference) bool) []Removed {
	var out []Removed
	kept := x.Manifests[:0:0]
	var bare *Descriptor
	others := false
	for _, d := range x.Manifests {
		if d.Annotations[annotationID] != string(sum.ID) {
			kept = append(kept, d)
			continue
		}
		if r, err := parseNamed(d.Annotations[annotationName]); err == nil && match(r) {
			out = append(out, Removed{Untagged: r.Familiar()})
			d.Annotations = without(d.Annotations, annotationName)
			bare = &d
			continue
		}
		others = true
		kept = append(kept, d)
	}
	if bare != nil && !others {
		kept = append(kept, *bare)
	}
	x.Manifests = kept
	return out
}

// drop takes an image out of the index.
func (x *Index) drop(id layer.Digest) []Removed {
	kept := x.Manifests[:0:0]
	for _, d := range x.Manifests {
		if d.Annotations[annotationID] != string(id) {
			kept = append(kept, d)
		}
	}
	x.Manifests = kept
	return []Removed{{Deleted: id}}
}

// Prune removes the images that match: all dangling ones, or, with all, every one that nobody uses. filter, if
// not nil, spares those it says no to. freed is in bytes of layers and blobs.
func (s *Store) Prune(all bool, users func(layer.Digest) []User, filter func(*Image) bool, layers LayerKeeper) (removed []Removed, freed int64, err error) {
	before := s.blobBytes()
	removed, err = s.change(layers, func(x *Index) ([]Removed, error) {
		list, err := s.summaries(x)
		if err != nil {
			return nil, err
		}
		var out []Removed
		for _, sum := range list {
			if !sum.Dangling() && !all || users != nil && len(users(sum.ID)) > 0 {
				continue
			}
			if filter != nil {
				img, err := s.load(sum)
				if err != nil {
					return nil, err
				}
				if !filter(img) {
					continue
				}
			}
			freed += sum.Size
			out = append(out, x.untag(sum, func(Reference) bool { return true })...)
			out = append(out, x.drop(sum.ID)...)
		}
		return out, nil
	})
	return removed, freed + max(0, before-s.blobBytes()), err
}

func (s *Store) blobBytes() (n int64) {
	entries, _ := os.ReadDir(s.blobDir())
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			n += st.Size()
		}
	}
	return n
}

// change changes the index, then deletes what it no longer refers to: blobs, and layers that the removed images
// had. A staging directory marks the work, so that what a crash leaves is found.
func (s *Store) change(layers LayerKeeper, f func(*Index) ([]Removed, error)) ([]Removed, error) {
	if err := s.Sweep(layers); err != nil {
		return nil, err
	}
	w, err := s.staging.New()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	if err := s.annotate(x); err != nil {
		return nil, err
	}
	out, err := f(x)
	if err != nil {
		return nil, err
	}
	stacks, err := s.stacksOf(out)
	if err != nil {
		return nil, err
	}
	if err := s.writeIndex(x); err != nil {
		return nil, err
	}
	if len(stacks) == 0 {
		return out, nil
	}
	gone, err := s.collect(x, layers, stacks)
	return append(out, gone...), err
}

// annotate gives entries of other tools the annotations that gourd's have.
func (s *Store) annotate(x *Index) error {
	for i, d := range x.Manifests {
		if d.Annotations[annotationID] != "" {
			continue
		}
		sum, err := s.summary(d)
		if err != nil {
			return err
		}
		a := sum.annotations()
		for k, v := range d.Annotations {
			a[k] = v
		}
		x.Manifests[i].Annotations = a
	}
	return nil
}

// stacksOf reads the layers of images that are going to be deleted.
func (s *Store) stacksOf(out []Removed) ([][]layer.Digest, error) {
	var stacks [][]layer.Digest
	for _, r := range out {
		if r.Deleted == "" {
			continue
		}
		c, _, err := s.config(r.Deleted)
		if errors.Is(err, container.ErrNotFound) || errors.Is(err, container.ErrCorrupt) {
			stacks = append(stacks, nil) // damaged: it must still be removable
			continue
		}
		if err != nil {
			return nil, err
		}
		stacks = append(stacks, c.RootFS.DiffIDs)
	}
	return stacks, nil
}

// collect deletes unreferenced blobs and those layers of the stacks that no image needs; the chain ids of the
// layers that went are reported, the uppermost first. The lock is held.
func (s *Store) collect(x *Index, layers LayerKeeper, stacks [][]layer.Digest) ([]Removed, error) {
	blobs, needed, err := s.reachable(x)
	if err != nil {
		return nil, err
	}
	if blobs == nil {
		return nil, nil
	}
	if err := s.sweepBlobs(blobs); err != nil {
		return nil, err
	}
	var out []Removed
	tried := map[layer.Digest]bool{}
	for _, stack := range stacks {
		for i := len(stack) - 1; i >= 0; i-- {
			d := stack[i]
			if needed[d] || tried[d] || layers == nil {
				continue
			}
			tried[d] = true
			err := layers.RemoveLayer(d)
			if errors.Is(err, container.ErrInUse) {
				continue // a container stands on it; Sweep takes it later
			}
			if err != nil {
				return out, err
			}
			out = append(out, Removed{Deleted: chainID(stack[:i+1])})
		}
	}
	return out, nil
}

// reachable lists the blobs and the layers that the index's images and running loads need. Both are nil if an
// image is damaged: then nobody knows, and nothing may be deleted before that image is removed or loaded again.
func (s *Store) reachable(x *Index) (blobs, diffIDs map[layer.Digest]bool, err error) {
	blobs = map[layer.Digest]bool{}
	if diffIDs, err = s.wanted(); err != nil {
		return nil, nil, err
	}
	for _, d := range x.Manifests {
		if blobs[d.Digest] {
			continue
		}
		m, err := s.manifest(d)
		var c *Config
		if err == nil {
			c, _, err = s.config(m.Config.Digest)
		}
		if errors.Is(err, container.ErrNotFound) || errors.Is(err, container.ErrCorrupt) {
			return nil, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
		blobs[d.Digest], blobs[m.Config.Digest] = true, true
		for _, l := range m.Layers {
			blobs[l.Digest] = true
		}
		for _, l := range c.RootFS.DiffIDs {
			diffIDs[l] = true
		}
	}
	return blobs, diffIDs, nil
}

func (s *Store) sweepBlobs(keep map[layer.Digest]bool) error {
	entries, err := os.ReadDir(s.blobDir())
	if err != nil {
		return &container.Error{Verb: "list blobs", Object: s.blobDir(), Cause: err}
	}
	for _, e := range entries {
		if keep[layer.Digest("sha256:"+e.Name())] {
			continue
		}
		if err := os.Remove(filepath.Join(s.blobDir(), e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return &container.Error{Verb: "delete blob", Object: e.Name(), Cause: err}
		}
	}
	return nil
}

// Sweep tidies after loads and removals that were cut short; it costs one directory listing where there is
// nothing to do. Every change of the store begins with it. layers may be nil.
func (s *Store) Sweep(layers LayerKeeper) error {
	_, stale, err := s.staging.Works()
	if err != nil || !stale {
		return err
	}
	return s.collectAll(layers)
}

// SweepLayers also deletes a driver's layers that no image and no container needs: those that were kept for
// containers that are gone, and those of loads that were killed.
func (s *Store) SweepLayers(layers LayerKeeper) error { return s.collectAll(layers) }

// collectAll deletes everything that belongs to nobody. A damaged image stops it, as then nobody knows.
func (s *Store) collectAll(layers LayerKeeper) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	x, err := s.readIndex()
	if err != nil {
		return err
	}
	blobs, needed, err := s.reachable(x)
	if err != nil {
		return err
	}
	if blobs != nil {
		err = errors.Join(s.sweepBlobs(blobs), sweepLayers(layers, needed))
	}
	// Last, since it is the sign that there is something to do.
	return errors.Join(err, s.staging.Sweep())
}

func sweepLayers(layers LayerKeeper, needed map[layer.Digest]bool) error {
	if layers == nil {
		return nil
	}
	have, err := layers.Layers()
	if err != nil {
		return err
	}
	for _, d := range have {
		if needed[d] {
			continue
		}
		if rerr := layers.RemoveLayer(d); rerr != nil && !errors.Is(rerr, container.ErrInUse) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}
