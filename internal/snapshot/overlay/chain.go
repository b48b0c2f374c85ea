package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gourd/internal/container"
	"gourd/internal/layer"

	"golang.org/x/sys/unix"
)

// A chain is what a stack of layers needs beyond its layers' directories. A layer alone doesn't know two things:
// how a directory looks that it has no entry for (as in the lower layers), and what a hard link to a lower layer's
// file is. Where a layer has such, a small directory that fixes it stands above the layer's. Chains are made when
// the first container needs them and shared.
//
//	ROOT/overlay/chains/HEX/chain.json
//	ROOT/overlay/chains/HEX/fix-N/      above layer N, counted from the lowest
type chain struct {
	Layers []layer.Digest `json:"layers"`
	Lower  []string       `json:"lower"` // the topmost first, relative to ROOT/overlay
	Model  string         `json:"model"` // the directory that the root itself looks like
}

func (d *Overlay) chainsDir() string { return filepath.Join(d.dir, "chains") }

func chainName(layers []layer.Digest) string {
	var b strings.Builder
	for _, l := range layers {
		b.WriteString(string(l) + "\n")
	}
	return layer.DigestOf([]byte(b.String())).Hex()
}

// chain gives the chain of a stack, making it where there is none. The lock is held.
func (d *Overlay) chain(ctx context.Context, layers []layer.Digest) (*chain, error) {
	for _, l := range layers {
		if !d.Has(l) {
			_, err := d.info(l)
			return nil, err
		}
	}
	dir := filepath.Join(d.chainsDir(), chainName(layers))
	c, err := readChain(dir)
	if err == nil && slices.Equal(c.Layers, layers) {
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) { // damaged
		if err := d.staging.Discard(dir); err != nil {
			return nil, err
		}
	}
	return d.makeChain(ctx, layers, dir)
}

func readChain(dir string) (*chain, error) {
	b, err := os.ReadFile(filepath.Join(dir, "chain.json"))
	if err != nil {
		return nil, err
	}
	c := new(chain)
	return c, json.Unmarshal(b, c)
}

func (d *Overlay) makeChain(ctx context.Context, layers []layer.Digest, dir string) (*chain, error) {
	w, err := d.staging.New()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	made := filepath.Join(w.Path, "chain")
	if err := os.Mkdir(made, 0o700); err != nil {
		return nil, &container.Error{Verb: "stack layers", Cause: err}
	}
	b := &chainBuilder{ctx: ctx, d: d, made: made, dir: dir, c: &chain{Layers: layers, Model: "base"}}
	defer b.below.close()
	for i, l := range layers {
		if err := b.add(i, l); err != nil {
			var known *container.Error
			if errors.As(err, &known) {
				return nil, err
			}
			return nil, &container.Error{Verb: "stack layer", Object: string(l), Cause: err}
		}
	}
	data, err := json.Marshal(b.c)
	if err == nil {
		err = os.WriteFile(filepath.Join(made, "chain.json"), append(data, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(made, dir)
	}
	if err != nil {
		return nil, &container.Error{Verb: "stack layers", Cause: err}
	}
	return b.c, nil
}

// chainBuilder goes up a stack.
type chainBuilder struct {
	ctx   context.Context
	d     *Overlay
	made  string // where the chain is made
	dir   string // where it will be
	c     *chain
	below merged // what the layers so far make
}

// push puts a directory on top of the stack: open is where it is now.
func (b *chainBuilder) push(dir, open string) (*os.File, error) {
	f, err := os.OpenFile(open, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	b.c.Lower = slices.Insert(b.c.Lower, 0, dir)
	b.below.dirs = slices.Insert(b.below.dirs, 0, f)
	return f, nil
}

func (b *chainBuilder) add(i int, id layer.Digest) error {
	info, err := b.d.info(id)
	if err != nil {
		return err
	}
	if info.Opaque { // overlayfs doesn't look at this attribute of a layer's root
		b.c.Lower = nil
		b.below.close()
	}
	rel := filepath.Join("layers", id.Hex(), "fs")
	f, err := b.push(rel, b.d.abs(rel))
	if err != nil {
		return err
	}
	if !slices.Contains(info.Implied, ".") {
		b.c.Model = rel
	}
	if slices.Equal(info.Implied, []string{"."}) || len(info.Implied)+len(info.Links) == 0 {
		return nil
	}
	return b.fix(i, info, f)
}

// fix makes the directory that stands above layer i.
func (b *chainBuilder) fix(i int, info *layerInfo, own *os.File) error {
	lower := &merged{dirs: b.below.dirs[1:]}
	name := fmt.Sprintf("fix-%d", i)
	open := filepath.Join(b.made, name)
	if err := os.Mkdir(open, 0o755); err != nil {
		return err
	}
	root, err := os.OpenFile(open, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	f := &fixer{ctx: b.ctx, root: root, own: &merged{dirs: []*os.File{own}}, lower: lower, done: map[string]bool{".": true}}
	if err := f.all(info); err != nil {
		return err
	}
	if len(f.done) == 1 {
		return os.Remove(open)
	}
	rel, err := filepath.Rel(b.d.dir, filepath.Join(b.dir, name))
	if err != nil {
		return err
	}
	_, err = b.push(rel, open)
	return err
}

// fixer fills one fix directory.
type fixer struct {
	ctx   context.Context
	root  *os.File
	own   *merged // the layer that is fixed
	lower *merged // what is below it
	done  map[string]bool
}

func (f *fixer) all(info *layerInfo) error {
	for _, dir := range info.Implied { // sorted: a directory comes before what is in it
		if !f.looks(dir) {
			continue
		}
		if err := f.ensure(path.Dir(dir)); err != nil {
			return err
		}
		if err := f.copy(dir, f.lower, dir); err != nil {
			return err
		}
		f.done[dir] = true
	}
	for _, l := range info.Links {
		if err := f.link(l); err != nil {
			return err
		}
	}
	return nil
}

// looks says whether an implied directory is one that the lower layers have and that this layer doesn't hide.
func (f *fixer) looks(dir string) bool {
	if dir == "." {
		return false
	}
	for at := dir; at != "."; at = path.Dir(at) {
		m := f.own.walk(at)
		hides := len(m.dirs) == 0 || layer.IsOpaque(m.dirs[0])
		m.close()
		if hides {
			return false
		}
	}
	m := f.lower.walk(dir)
	defer m.close()
	return len(m.dirs) > 0
}

// ensure makes a directory that the layer has, looking as it does there.
func (f *fixer) ensure(dir string) error {
	if f.done[dir] {
		return nil
	}
	if err := f.ensure(path.Dir(dir)); err != nil {
		return err
	}
	f.done[dir] = true
	return f.copy(dir, f.own, dir)
}

// copy makes name here what source is in a tree.
func (f *fixer) copy(name string, from *merged, source string) error {
	m := from.walk(path.Dir(source))
	defer m.close()
	holder, st := m.lookup(path.Base(source))
	if st == nil {
		return &container.Error{Verb: "stack layers", Object: fmt.Sprintf("%.300q", name), Kind: container.ErrCorrupt, Cause: fmt.Errorf("%.300q is in no layer", source)}
	}
	return layer.Copy(f.ctx, f.root, name, holder, path.Base(source))
}

// link makes a hard link's name: a copy, as overlayfs has no hard links across layers; names of one file in
// this layer stay one file.
func (f *fixer) link(l layer.LowerLink) error {
	if err := f.ensure(path.Dir(l.Name)); err != nil {
		return err
	}
	f.done[l.Name] = true
	err := linkHere(f.root, l)
	if err == nil {
		return nil
	}
	return f.copy(l.Name, f.lower, l.Target)
}

// linkHere links a name to a target that an earlier link made.
func linkHere(root *os.File, l layer.LowerLink) error {
	here := &merged{dirs: []*os.File{root}}
	from, to := here.walk(path.Dir(l.Target)), here.walk(path.Dir(l.Name))
	defer from.close()
	defer to.close()
	if len(from.dirs) == 0 || len(to.dirs) == 0 {
		return unix.ENOENT
	}
	return unix.Linkat(int(from.dirs[0].Fd()), path.Base(l.Target), int(to.dirs[0].Fd()), path.Base(l.Name), 0)
}
