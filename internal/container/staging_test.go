package container

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStaging: work in progress is left alone by a sweep, work of the dead isn't.
func TestStaging(t *testing.T) {
	s := Staging{Dir: t.TempDir()}
	live, err := s.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(live.Path, "f"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(s.Dir, "0123")
	if err := os.MkdirAll(filepath.Join(dead, "deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	if works, stale, err := s.Works(); err != nil || !stale || len(works) != 1 || works[0] != live.Path {
		t.Errorf("works are %v, stale %t, %v", works, stale, err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dead); !os.IsNotExist(err) {
		t.Errorf("the dead one's work is still there: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(live.Path, "f")); err != nil {
		t.Errorf("the living one's work: %v", err)
	}
	thing := filepath.Join(t.TempDir(), "thing")
	if err := os.Mkdir(thing, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // gone already is no error
		if err := s.Discard(thing); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Hide(thing); !os.IsNotExist(err) {
		t.Errorf("hiding what isn't there: %v", err)
	}
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
