package hello

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gourd/internal/container"
	"gourd/internal/image"
	"gourd/internal/snapshot/overlay"
)

func TestIs(t *testing.T) {
	for ref, want := range map[string]bool{"gourd/hello": true, "gourd/hello:latest": true, "docker.io/gourd/hello": true, "hello": false, "gourd/hello:2": false, "x.y/gourd/hello": false, "": false} {
		if Is(ref) != want {
			t.Errorf("Is(%q) is %t", ref, !want)
		}
	}
}

func TestLoad(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("unpacking layers needs root")
	}
	root := t.TempDir()
	d, err := overlay.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := image.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(t.Context(), s, d)
	if errors.Is(err, container.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(t.Context(), s, d)
	if err != nil || again.ID != loaded.ID {
		t.Errorf("loading it again gave %v, %v; the first time %v", again, err, loaded)
	}
	a, _ := Archive()
	b, _ := Archive()
	if !bytes.Equal(a, b) {
		t.Error("the archive is not the same each time")
	}
	img, err := s.Resolve("gourd/hello")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureLayers(t.Context(), img, d); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(root, "overlay/layers", img.DiffIDs[0].Hex(), "fs/hello")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"process id", "user id map", "namespaces", "root file system", "capabilities", "no_new_privs", "lo ", runtime.GOOS[1:]} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it doesn't say %q:\n%s", want, out)
		}
	}
}
