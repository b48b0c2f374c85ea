package image

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// skopeo runs it, quietly trusting what it copies; without it the test is skipped.
func skopeo(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("skopeo"); err != nil {
		t.Skip("skopeo is not installed: apt-get install skopeo")
	}
	c := exec.Command("skopeo", append([]string{"--insecure-policy"}, args...)...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("skopeo %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestSkopeo: what gourd saves skopeo reads, in both of the archive's forms, and gourd reads what skopeo writes
// from it; the image's id stays, and where the form has a manifest, its digest too.
func TestSkopeo(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	s, d := newStore(t)
	one := makeSample(t, "one")
	files, manifest := one.oci(t, MediaTypeLayer+"+gzip", func(b []byte) []byte { return compress(t, "gzip", b) })
	if _, err := s.Load(t.Context(), bytes.NewReader(archiveOf(t, layout(t, files, named(manifest, "docker.io/library/one:1"))...)), d, nil); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(at("saved.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Save(t.Context(), f, []string{"one:1"}); err != nil {
		t.Fatal(err)
	}
	if out := skopeo(t, "inspect", "--config", "--raw", "docker-archive:"+at("saved.tar")); out != string(one.config) {
		t.Errorf("skopeo reads the configuration %s", out)
	}
	skopeo(t, "copy", "docker-archive:"+at("saved.tar"), "docker-archive:"+at("docker.tar")+":one:2")
	skopeo(t, "copy", "oci-archive:"+at("saved.tar"), "oci-archive:"+at("oci.tar")+":docker.io/library/one:3")
	skopeo(t, "copy", "oci-archive:"+at("saved.tar"), "oci:"+at("layout")+":one:4")
	skopeo(t, "copy", "--dest-compress-format", "zstd", "--dest-compress", "docker-archive:"+at("saved.tar"), "oci-archive:"+at("zstd.tar")+":one:5")
	for _, c := range []struct {
		name, tag string
		digest    bool
	}{{"docker.tar", "one:2", false}, {"oci.tar", "one:3", true}, {"layout", "one:4", true}, {"zstd.tar", "one:5", false}} {
		s2, d2 := newStore(t)
		loaded, err := loadPath(t, s2, d2, at(c.name))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		img, err := s2.Resolve(c.tag)
		if err != nil || img.ID != one.id() || c.digest && img.Manifest.Digest != manifest.Digest || len(loaded) != 1 {
			t.Errorf("%s: %v is %+v, %v; want %s", c.name, loaded, img, err, one.id())
			continue
		}
		checkClean(t, s2, d2)
	}
	// The store itself is a layout that others can read.
	if out := skopeo(t, "inspect", "--config", "--raw", "oci:"+s.dir+":docker.io/library/one:1"); out != string(one.config) {
		t.Errorf("skopeo reads from the store %s", out)
	}
}

func loadPath(t *testing.T, s *Store, d LayerSink, path string) ([]Loaded, error) {
	t.Helper()
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return s.LoadDir(t.Context(), path, d, nil)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return s.Load(t.Context(), f, d, nil)
}
