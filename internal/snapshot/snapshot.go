// Package snapshot gives containers their root file systems: layers of images, shared and read-only, and above
// them a writable layer for each container. How is a driver's business; this package chooses one.
package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gourd/internal/container"
	"gourd/internal/snapshot/driver"
	"gourd/internal/snapshot/overlay"
	"gourd/internal/snapshot/vfs"
)

// The nouns, as the drivers know them.
type (
	Driver     = driver.Driver
	Options    = driver.Options
	Change     = driver.Change
	ChangeKind = driver.ChangeKind
)

const (
	Added    = driver.Added
	Modified = driver.Modified
	Deleted  = driver.Deleted
)

// Open opens the driver called name below an installation's root. With "" it is the one that this root was
// used with before, else overlay where the file system can carry its upper layers, else vfs (full copies; Why
// tells the reason). Errors: container.ErrInvalid for an unknown name, ErrUnsupported where it can't work.
func Open(root, name string) (Driver, error) {
	switch name {
	case "":
		return choose(root)
	case "overlay", "overlay2":
		if !used(root, "overlay") {
			if err := overlay.Probe(root); err != nil {
				return nil, &container.Error{
					Verb: "use storage driver", Object: "overlay", Kind: container.ErrUnsupported, Cause: err,
					Hint: "put --root on ext4, xfs or btrfs, or use --storage-driver vfs",
				}
			}
		}
		return overlay.Open(root)
	case "vfs":
		return vfs.Open(root)
	}
	return nil, container.Invalid("use storage driver", fmt.Sprintf("%q", name), errors.New("there is no driver of this name"), "gourd has overlay and vfs")
}

func choose(root string) (Driver, error) {
	switch {
	case used(root, "overlay"):
		return overlay.Open(root)
	case used(root, "vfs"):
		return vfs.Open(root)
	case Why(root) == nil:
		return overlay.Open(root)
	}
	return vfs.Open(root)
}

// Why tells why overlay can't be used below root; nil if it can.
func Why(root string) error { return overlay.Probe(root) }

func used(root, name string) bool {
	_, err := os.Lstat(filepath.Join(root, name, "layers"))
	return err == nil
}
