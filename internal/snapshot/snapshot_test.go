package snapshot

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

func TestOpen(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("the drivers need root")
	}
	root := t.TempDir()
	if Why(root) != nil {
		t.Skip(Why(root))
	}
	for name, want := range map[string]string{"": "overlay", "overlay": "overlay", "overlay2": "overlay", "vfs": "vfs"} {
		if d, err := Open(t.TempDir(), name); err != nil || d.Name() != want {
			t.Errorf("%q gives %v, %v", name, d, err)
		}
	}
	if _, err := Open(root, "zfs"); !errors.Is(err, container.ErrInvalid) {
		t.Errorf("zfs: %v", err)
	}
	if _, err := Open(root, "vfs"); err != nil {
		t.Fatal(err)
	}
	if d, err := Open(root, ""); err != nil || d.Name() != "vfs" {
		t.Errorf("a root that was used with vfs gives %v, %v", d, err)
	}
	if left, _ := filepath.Glob(filepath.Join(root, ".probe*")); len(left) > 0 {
		t.Errorf("the probe left %v", left)
	}
}

// TestOpenOnOverlay: where the root itself lies on an overlay, as inside another container, vfs is chosen.
func TestOpenOnOverlay(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	for _, d := range []string{"l", "u", "w", "m"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := func(d string) string { return filepath.Join(dir, d) }
	if err := unix.Mount("overlay", at("m"), "overlay", 0, "lowerdir="+at("l")+",upperdir="+at("u")+",workdir="+at("w")); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount(at("m"), unix.MNT_DETACH)
	if err := Why(at("m")); err == nil {
		t.Fatal("an overlay on an overlay is said to work")
	}
	if d, err := Open(at("m"), ""); err != nil || d.Name() != "vfs" {
		t.Errorf("it gives %v, %v", d, err)
	}
	if _, err := Open(at("m"), "overlay"); !errors.Is(err, container.ErrUnsupported) {
		t.Errorf("overlay there: %v", err)
	}
}
