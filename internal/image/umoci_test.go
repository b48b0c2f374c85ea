package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"
	"gourd/internal/snapshot/suite"
)

// TestUmoci: another implementation unpacks the same image to the same tree.
func TestUmoci(t *testing.T) {
	if _, err := exec.LookPath("umoci"); err != nil {
		t.Skip("umoci is not installed: apt-get install umoci")
	}
	s, d := newStore(t)
	one := sample{tars: suite.Stack(t)}
	c := Config{OS: "linux", Architecture: HostPlatform().Architecture, RootFS: RootFS{Type: "layers"}}
	for _, l := range one.tars {
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, layer.DigestOf(l))
	}
	one.config = asJSON(t, c)
	files, manifest := one.oci(t, MediaTypeLayer+"+gzip", func(b []byte) []byte { return compress(t, "gzip", b) })
	entries := layout(t, files, named(manifest, "one"))
	if _, err := s.Load(t.Context(), bytes.NewReader(archiveOf(t, entries...)), d, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	unpack(t, filepath.Join(dir, "layout"), entries)
	if out, err := exec.Command("umoci", "unpack", "--image", filepath.Join(dir, "layout")+":one", filepath.Join(dir, "bundle")).CombinedOutput(); err != nil {
		t.Fatalf("umoci: %v: %s", err, out)
	}
	theirs := suite.Tree(t, filepath.Join(dir, "bundle/rootfs"), layer.IDMaps{})
	if err := d.Prepare(t.Context(), "c", c.RootFS.DiffIDs, driver.Options{}); err != nil {
		t.Fatal(err)
	}
	fs, err := d.Mount("c")
	if err != nil {
		t.Fatal(err)
	}
	suite.WithRoot(t, fs, layer.IDMaps{}, func(dir string) {
		ours := suite.Tree(t, dir, layer.IDMaps{})
		for _, name := range suite.MountPoints {
			if _, ok := theirs[name]; !ok {
				delete(ours, name)
			}
		}
		suite.Same(t, "gourd's against umoci's", ours, theirs)
	})
	if left, err := os.ReadDir(s.staging.Dir); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
