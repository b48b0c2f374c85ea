package engine

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"gourd/internal/container"
	"gourd/internal/image"
	"gourd/internal/image/hello"
	"gourd/internal/layer"
)

// findImage finds the image to run. gourd/hello needs no archive and no registry: it is in this program
// and loaded when first used.
func (e *Engine) findImage(ctx context.Context, ref, pull string) (*image.Image, error) {
	switch pull {
	case "", "missing", "never":
	case "always":
		return nil, unsupported("pull image", ref, "gourd can't pull images yet", "`gourd load` or `gourd import` one, and leave --pull out")
	default:
		return nil, invalid("use --pull", pull, "there is no such policy", "missing, always or never")
	}
	images, err := e.images()
	if err != nil {
		return nil, err
	}
	img, err := images.Resolve(ref)
	if errors.Is(err, container.ErrNotFound) && hello.Is(ref) {
		if err := e.loadHello(ctx, images); err != nil {
			return nil, err
		}
		img, err = images.Resolve(ref)
	}
	if errors.Is(err, container.ErrNotFound) {
		return nil, &container.Error{
			Verb: "find image", Object: ref, Kind: container.ErrNotFound, Cause: errText("no such image"),
			Hint: "`gourd images` lists those there are; `gourd load -i FILE` and `gourd import FILE NAME` bring others (gourd can't pull yet)",
		}
	}
	return img, err
}

// Image finds an image.
func (e *Engine) Image(ctx context.Context, ref string) (*image.Image, error) {
	return e.findImage(ctx, ref, "")
}

// Load reads an archive of images; progress may be nil. All of its images become visible, or on an error
// none.
func (e *Engine) Load(ctx context.Context, r io.Reader, progress image.Progress) ([]image.Loaded, error) {
	images, driver, err := e.imagesAndLayers()
	if err != nil {
		return nil, err
	}
	return images.Load(ctx, r, driver, progress)
}

// Import makes an image of a root file system's tar.
func (e *Engine) Import(ctx context.Context, r io.Reader, o image.ImportOptions) (image.Loaded, error) {
	images, driver, err := e.imagesAndLayers()
	if err != nil {
		return image.Loaded{}, err
	}
	return images.Import(ctx, r, o, driver)
}

// Save writes images as an archive that Load and docker read.
func (e *Engine) Save(ctx context.Context, w io.Writer, refs []string) error {
	images, err := e.images()
	if err != nil {
		return err
	}
	return images.Save(ctx, w, refs)
}

// Images lists all images, the newest first.
func (e *Engine) Images(context.Context) ([]*image.Summary, error) {
	images, err := e.images()
	if err != nil {
		return nil, err
	}
	return images.List()
}

// Tag gives an image another name. replaced is the id of the image that had it before, "" if none.
func (e *Engine) Tag(_ context.Context, ref, target string) (replaced string, err error) {
	images, err := e.images()
	if err != nil {
		return "", err
	}
	old, err := images.Tag(ref, target)
	return string(old), err
}

// RemoveImage takes a name from an image, or deletes it with its last one. Errors: ErrConflict while a
// container uses it.
func (e *Engine) RemoveImage(_ context.Context, ref string, force bool) ([]image.Removed, error) {
	images, driver, err := e.imagesAndLayers()
	if err != nil {
		return nil, err
	}
	users, err := e.imageUsers()
	if err != nil {
		return nil, err
	}
	return images.Remove(ref, image.RemoveOptions{Force: force, Users: users}, driver)
}

// imageUsers tells which containers stand on an image.
func (e *Engine) imageUsers() (func(layer.Digest) []image.User, error) {
	all, err := e.records()
	if err != nil {
		return nil, err
	}
	users := map[layer.Digest][]image.User{}
	for _, r := range all {
		id := layer.Digest(r.ImageID)
		users[id] = append(users[id], image.User{ID: r.ID, Running: isUp(r)})
	}
	return func(id layer.Digest) []image.User { return users[id] }, nil
}

func (e *Engine) imagesAndLayers() (*image.Store, image.LayerKeeper, error) {
	images, err := e.images()
	if err != nil {
		return nil, nil, err
	}
	driver, err := e.snapshots(e.cfg.StorageDriver)
	if err != nil {
		return nil, nil, err
	}
	return images, driver, nil
}

// ancestor is the filter for containers of an image and of those made from it. An image that isn't there
// is nobody's ancestor.
func (e *Engine) ancestor(ref string) (func(*container.Record) bool, error) {
	images, err := e.images()
	if err != nil {
		return nil, err
	}
	img, err := images.Resolve(ref)
	if errors.Is(err, container.ErrNotFound) {
		return func(*container.Record) bool { return false }, nil
	}
	if err != nil {
		return nil, err
	}
	descends := map[string]bool{string(img.ID): true}
	return func(r *container.Record) bool {
		if r.ImageID == "" {
			return false
		}
		yes, known := descends[r.ImageID]
		if !known {
			other, err := images.Get(layer.Digest(r.ImageID))
			yes = err == nil && madeFrom(other, img)
			descends[r.ImageID] = yes
		}
		return yes
	}, nil
}

// madeFrom says whether an image's layers and history begin with another's: neither alone tells, since an
// archive may be imported twice.
func madeFrom(img, base *image.Image) bool {
	layers, history := base.DiffIDs, base.Config.History
	if len(layers) == 0 || len(img.DiffIDs) < len(layers) || len(img.Config.History) < len(history) {
		return false
	}
	return slices.Equal(img.DiffIDs[:len(layers)], layers) &&
		slices.EqualFunc(img.Config.History[:len(history)], history, func(a, b image.History) bool {
			return a.CreatedBy == b.CreatedBy && a.Comment == b.Comment && a.EmptyLayer == b.EmptyLayer && sameTime(a.Created, b.Created)
		})
}

func sameTime(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// loadHello loads the built-in image.
func (e *Engine) loadHello(ctx context.Context, images *image.Store) error {
	driver, err := e.snapshots(e.cfg.StorageDriver)
	if err != nil {
		return err
	}
	_, err = hello.Load(ctx, images, driver)
	return err
}

// History tells how an image was made, the newest step first.
func (e *Engine) History(ctx context.Context, ref string) ([]image.HistoryLine, error) {
	img, err := e.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	images, driver, err := e.imagesAndLayers()
	if err != nil {
		return nil, err
	}
	return images.History(img, driver)
}
