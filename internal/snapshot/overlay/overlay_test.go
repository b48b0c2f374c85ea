package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gourd/internal/container"
	"gourd/internal/layer"
	"gourd/internal/snapshot/driver"
	"gourd/internal/snapshot/suite"
)

func open(t testing.TB) *Overlay {
	t.Helper()
	root := t.TempDir()
	if err := Probe(root); err != nil {
		t.Skip(err)
	}
	d, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSuite(t *testing.T) {
	open(t)
	suite.Run(t, func(root string) (driver.Driver, error) { return Open(root) })
}

// TestLowerDir: the machine's own root, copy-on-write above it.
func TestLowerDir(t *testing.T) {
	d := open(t)
	if err := d.Prepare(t.Context(), "c", nil, driver.Options{LowerDir: "/"}); err != nil {
		t.Fatal(err)
	}
	fs, err := d.Mount("c")
	if err != nil {
		t.Fatal(err)
	}
	suite.WithRoot(t, fs, layer.IDMaps{}, func(dir string) {
		want, err := os.ReadFile("/etc/passwd")
		got, gerr := os.ReadFile(filepath.Join(dir, "etc/passwd"))
		if err != nil || gerr != nil || !bytes.Equal(got, want) {
			t.Errorf("/etc/passwd reads %q, %v", got, gerr)
		}
		if err := os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("mine"), 0o644); err != nil {
			t.Error(err)
		}
	})
	if b, err := os.ReadFile("/etc/passwd"); err != nil || string(b) == "mine" {
		t.Fatal("the machine's own file was written")
	}
	if got, err := d.Changes("c"); err != nil || fmt.Sprint(got) != "[C /etc C /etc/passwd]" {
		t.Errorf("changes are %v, %v", got, err)
	}
	for dir, kind := range map[string]error{"etc": container.ErrInvalid, "/no/such": container.ErrNotFound, "/etc/passwd": container.ErrInvalid} {
		if err := d.Prepare(t.Context(), "x", nil, driver.Options{LowerDir: dir}); !errors.Is(err, kind) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := d.Prepare(t.Context(), "x", nil, driver.Options{Quota: 1}); !errors.Is(err, container.ErrUnsupported) {
		t.Errorf("a quota: %v", err)
	}
}

// TestLeftovers: what a crash leaves is invisible, and gone after Sweep; what is being worked on stays.
func TestLeftovers(t *testing.T) {
	d := open(t)
	live, err := d.staging.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(d.staging.Dir, "dead/layer/fs"), d.containerDir(".half")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if ids, err := d.Containers(); err != nil || len(ids) != 0 {
		t.Errorf("containers are %v, %v", ids, err)
	}
	if err := d.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(live.Path); err != nil {
		t.Errorf("what is worked on: %v", err)
	}
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{d.staging.Dir, filepath.Join(d.dir, "containers")} {
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%s still has %v, %v", dir, left, err)
		}
	}
}

// TestChainDamage: a chain that can't be read is made again; one whose layer goes, goes with it.
func TestChainDamage(t *testing.T) {
	d := open(t)
	tar := make([]byte, 1024)
	id := layer.DigestOf(tar)
	if err := d.Add(t.Context(), id, bytes.NewReader(tar)); err != nil {
		t.Fatal(err)
	}
	stack := []layer.Digest{id}
	for _, damage := range []string{"", "{", `{"layers":["sha256:0"]}`} {
		if damage != "" {
			if err := os.WriteFile(filepath.Join(d.chainsDir(), chainName(stack), "chain.json"), []byte(damage), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(d.Prepare(t.Context(), "c", stack, driver.Options{}), d.Remove("c")); err != nil {
			t.Errorf("after %q: %v", damage, err)
		}
	}
	if err := d.RemoveLayer(id); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(d.chainsDir()); err != nil || len(left) != 0 {
		t.Errorf("chains left: %v, %v", left, err)
	}
}

// BenchmarkPrepare is a container's writable layer made, mounted (told how) and removed, above 20 layers.
func BenchmarkPrepare(b *testing.B) {
	d := open(b)
	var stack []layer.Digest
	for n := range 20 {
		tar := make([]byte, 1024*(n+1))
		id := layer.DigestOf(tar)
		if err := d.Add(b.Context(), id, bytes.NewReader(tar)); err != nil {
			b.Fatal(err)
		}
		stack = append(stack, id)
	}
	for b.Loop() {
		if err := d.Prepare(b.Context(), "c", stack, driver.Options{}); err != nil {
			b.Fatal(err)
		}
		if _, err := d.Mount("c"); err != nil {
			b.Fatal(err)
		}
		if err := d.Remove("c"); err != nil {
			b.Fatal(err)
		}
	}
}
