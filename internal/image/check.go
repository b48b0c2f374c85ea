package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gourd/internal/layer"
)

// Problem is something that Check found.
type Problem struct {
	Image layer.Digest // or ""
	Text  string
}

func (p Problem) String() string {
	if p.Image == "" {
		return p.Text
	}
	return fmt.Sprintf("image %s: %s", p.Image.Short(), p.Text)
}

// Check reads the whole store and verifies every byte against its digest: nothing that an image refers to may be
// missing or damaged, no blob may belong to nobody. layers, if not nil, must have every layer.
func (s *Store) Check(layers LayerSink) ([]Problem, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	x, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	c := &checker{s: s, layers: layers, seen: map[layer.Digest]bool{}}
	for _, d := range x.Manifests {
		c.image(d)
	}
	entries, err := os.ReadDir(s.blobDir())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !c.seen[layer.Digest("sha256:"+e.Name())] {
			c.found("", fmt.Errorf("blob %.80s belongs to no image", e.Name()))
		}
	}
	if _, stale, err := s.staging.Works(); err != nil || stale {
		c.found("", errors.Join(err, errors.New("an interrupted load or removal left files in "+filepath.Base(s.staging.Dir))))
	}
	return c.problems, nil
}

type checker struct {
	s        *Store
	layers   LayerSink
	seen     map[layer.Digest]bool
	problems []Problem
}

func (c *checker) found(id layer.Digest, err error) {
	c.problems = append(c.problems, Problem{Image: id, Text: err.Error()})
}

func (c *checker) image(d Descriptor) {
	id := layer.Digest(d.Annotations[annotationID])
	if c.seen[d.Digest] {
		return
	}
	c.seen[d.Digest] = true
	m, err := c.s.manifest(d)
	if err != nil {
		c.found(id, err)
		return
	}
	c.seen[m.Config.Digest] = true
	if id != "" && m.Config.Digest != id {
		c.found(id, fmt.Errorf("its manifest has the configuration %s", m.Config.Digest))
	}
	config, _, err := c.s.config(m.Config.Digest)
	if err != nil {
		c.found(id, err)
		return
	}
	for i, l := range m.Layers {
		if err := c.blob(l); err != nil {
			c.found(id, err)
		}
		if i < len(config.RootFS.DiffIDs) && c.layers != nil && !c.layers.Has(config.RootFS.DiffIDs[i]) {
			c.found(id, fmt.Errorf("layer %s is not unpacked", config.RootFS.DiffIDs[i]))
		}
	}
	if len(m.Layers) != len(config.RootFS.DiffIDs) {
		c.found(id, fmt.Errorf("it has %d layers, its configuration names %d", len(m.Layers), len(config.RootFS.DiffIDs)))
	}
}

func (c *checker) blob(d Descriptor) error {
	if c.seen[d.Digest] {
		return nil
	}
	c.seen[d.Digest] = true
	f, err := os.Open(c.s.blobPath(d.Digest))
	if err != nil {
		return err
	}
	defer f.Close()
	return layer.NewVerifier(f, d.Digest).Verify()
}
