package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Probe tries, below root, everything that this driver needs of a file system: whiteouts, trusted attributes and
// an overlay with an upper directory. The overlay is mounted nowhere (fsmount(2), Linux 5.2) and goes away with
// its descriptor. nil: it works.
func Probe(root string) error {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(root, ".probe-overlay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	if err := unix.Mknod(filepath.Join(dir, "lower", "whiteout"), unix.S_IFCHR, 0); err != nil {
		return fmt.Errorf("whiteouts can't be made here: %w", err)
	}
	if err := unix.Setxattr(filepath.Join(dir, "lower"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return fmt.Errorf("trusted attributes can't be set here: %w", err)
	}
	return probeMount(dir)
}

func probeMount(dir string) error {
	fsfd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("the kernel has no overlayfs: %w", err)
	}
	defer unix.Close(fsfd)
	for _, o := range [][2]string{{"lowerdir", "lower"}, {"upperdir", "upper"}, {"workdir", "work"}} {
		if err := unix.FsconfigSetString(fsfd, o[0], filepath.Join(dir, o[1])); err != nil {
			return fmt.Errorf("set %s: %w", o[0], err)
		}
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return fmt.Errorf("this file system can't carry an overlay's upper layer: %w", err)
	}
	mnt, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	defer unix.Close(mnt)
	fd, err := unix.Openat(mnt, "probe", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("write through an overlay: %w", err)
	}
	unix.Close(fd)
	if _, err := os.Lstat(filepath.Join(dir, "upper", "probe")); err != nil {
		return errors.New("what is written through an overlay doesn't arrive in its upper layer")
	}
	return nil
}
