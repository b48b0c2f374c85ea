package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	dir := t.TempDir()
	s, err := OpenStore(filepath.Join(dir, "root"), filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, s *Store, name string) *Record {
	t.Helper()
	r := &Record{ID: NewID(), Name: name, Created: time.Now(), State: State{Status: Created}}
	if err := s.Create(r, []byte("{}"), nil); err != nil {
		t.Fatal(err)
	}
	return r
}

func files(t *testing.T, s *Store) (n int) {
	t.Helper()
	for _, dir := range []string{s.Root, s.State} {
		err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if !d.IsDir() {
				n++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestResolveOrder(t *testing.T) {
	s := newStore(t)
	a, b := create(t, s, "web"), create(t, s, "db")
	named := create(t, s, a.ID[:6]) // a name equal to another's prefix wins (LIF-03)
	for ref, want := range map[string]string{
		"web": a.ID, "/web": a.ID, b.ID: b.ID, b.ID[:20]: b.ID, a.ID[:6]: named.ID, a.ID[:12]: a.ID,
	} {
		if got, err := s.Resolve(ref); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", ref, got, err, want)
		}
	}
	for _, ref := range []string{"", "nosuch", "../names/web", "web/", "."} {
		if _, err := s.Resolve(ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("Resolve(%q): %v; want not found", ref, err)
		}
	}
}

func TestResolveAmbiguousPrefix(t *testing.T) {
	s := newStore(t)
	seen := map[byte]bool{}
	for i := 0; ; i++ {
		r := create(t, s, fmt.Sprintf("name%d", i))
		if seen[r.ID[0]] {
			_, err := s.Resolve(r.ID[:1])
			if !errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) {
				t.Fatalf("ambiguous prefix: %v", err)
			}
			return
		}
		seen[r.ID[0]] = true
	}
}

func TestCreateIsAllOrNothing(t *testing.T) {
	s := newStore(t)
	create(t, s, "taken")
	before := files(t, s)
	r := &Record{ID: NewID(), Name: "taken"}
	if err := s.Create(r, []byte("{}"), nil); !errors.Is(err, ErrExists) {
		t.Errorf("second container of a name: %v; want already exists", err)
	}
	boom := errors.New("boom")
	r = &Record{ID: NewID(), Name: "other"}
	if err := s.Create(r, []byte("{}"), func(dir string) error {
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
		return boom
	}); !errors.Is(err, boom) {
		t.Errorf("prepare's error: %v", err)
	}
	for _, name := range []string{"", "-x", "a/b", "a b", "..", "é1"} {
		if err := s.Create(&Record{ID: NewID(), Name: name}, nil, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("name %q: %v; want invalid", name, err)
		}
	}
	if after := files(t, s); after != before {
		t.Errorf("%d files after failed creates, %d before", after, before)
	}
}

func TestOneNameManyCreators(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	var won sync.Map
	for i := range 20 {
		wg.Go(func() {
			r := &Record{ID: NewID(), Name: "same"}
			if err := s.Create(r, []byte("{}"), nil); err == nil {
				won.Store(i, r.ID)
			} else if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	won.Range(func(_, id any) bool {
		n++
		if got, err := s.Resolve("same"); err != nil || got != id {
			t.Errorf("Resolve = %q, %v; the winner is %q", got, err, id)
		}
		return true
	})
	if n != 1 {
		t.Errorf("%d containers have the one name", n)
	}
}

func TestUpdateLosesNothing(t *testing.T) {
	s := newStore(t)
	r := create(t, s, "counted")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				if _, err := s.Update(r.ID, func(r *Record) error { r.State.RestartCount++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Load(r.ID)
	if err != nil || got.State.RestartCount != 160 {
		t.Errorf("RestartCount = %v, %v; want 160", got.State.RestartCount, err)
	}
}

func TestUpdateErrorWritesNothing(t *testing.T) {
	s := newStore(t)
	r := create(t, s, "kept")
	boom := errors.New("boom")
	if _, err := s.Update(r.ID, func(r *Record) error { r.State.ExitCode = 9; return boom }); !errors.Is(err, boom) {
		t.Errorf("Update: %v; want the change's own error", err)
	}
	if got, _ := s.Load(r.ID); got.State.ExitCode != 0 {
		t.Errorf("a refused change was written: exit code %d", got.State.ExitCode)
	}
}

func TestRename(t *testing.T) {
	s := newStore(t)
	a := create(t, s, "old")
	create(t, s, "other")
	if err := s.Rename(a.ID, "other"); !errors.Is(err, ErrExists) {
		t.Errorf("rename to a taken name: %v", err)
	}
	if err := s.Rename(a.ID, "old"); err == nil {
		t.Error("rename to its own name is accepted")
	}
	if err := s.Rename(a.ID, "new"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Resolve("new"); err != nil || got != a.ID {
		t.Errorf("Resolve(new) = %q, %v", got, err)
	}
	if _, err := s.Resolve("old"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old name still resolves: %v", err)
	}
	create(t, s, "old")
}

func TestHideFreesTheName(t *testing.T) {
	s := newStore(t)
	r := create(t, s, "gone")
	trash, err := s.Hide(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve("gone"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a hidden container resolves: %v", err)
	}
	create(t, s, "gone")
	half, err := s.Half()
	if err != nil || len(half) != 1 || half[0] != r.ID {
		t.Errorf("Half = %v, %v; want the hidden one", half, err)
	}
	if err := os.RemoveAll(trash); err != nil {
		t.Fatal(err)
	}
}

func TestSweepNamesKeepsLivingOnes(t *testing.T) {
	s := newStore(t)
	create(t, s, "kept")
	if err := os.Symlink(NewID(), filepath.Join(s.Root, "names", "orphan")); err != nil {
		t.Fatal(err)
	}
	making := NewID()
	unlock, err := s.Lock(making)
	if err != nil {
		t.Fatal(err)
	}
	os.Symlink(making, filepath.Join(s.Root, "names", "making"))
	if err := s.SweepNames(); err != nil {
		t.Fatal(err)
	}
	unlock()
	names, _ := readNames(filepath.Join(s.Root, "names"))
	if len(names) != 2 {
		t.Errorf("names after the sweep: %v; want kept and making", names)
	}
}

func TestLiveAndLost(t *testing.T) {
	s := newStore(t)
	r := create(t, s, "alive")
	if s.Live(r.ID) {
		t.Error("a container without a monitor is live")
	}
	f, err := s.SetLive(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Live(r.ID) {
		t.Error("not live while its monitor holds the file")
	}
	if _, err := s.SetLive(r.ID); !errors.Is(err, ErrRunning) {
		t.Errorf("a second monitor: %v; want already running", err)
	}
	if lost, _ := s.Lost(); len(lost) != 0 {
		t.Errorf("Lost = %v while it lives", lost)
	}
	f.Close()
	if lost, err := s.Lost(); err != nil || len(lost) != 1 {
		t.Errorf("Lost = %v, %v after its monitor ended", lost, err)
	}
}

func TestLostWithoutLiveFile(t *testing.T) {
	s := newStore(t)
	id := NewID()
	dir := s.RunDir(id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if lost, _ := s.Lost(); len(lost) != 0 {
		t.Errorf("Lost = %v: a monitor that is just beginning", lost)
	}
	old := time.Now().Add(-time.Minute)
	os.Chtimes(dir, old, old)
	if lost, _ := s.Lost(); len(lost) != 1 {
		t.Errorf("Lost = %v: a monitor killed before it held its lock", lost)
	}
}

func TestLoadRefusesWhatItDoesNotKnow(t *testing.T) {
	s := newStore(t)
	r := create(t, s, "future")
	path := filepath.Join(s.Dir(r.ID), "record.json")
	os.WriteFile(path, []byte(`{"version":99}`), 0o600)
	if _, err := s.Load(r.ID); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a newer record: %v", err)
	}
	os.WriteFile(path, []byte(`{"version":`), 0o600)
	if _, err := s.Load(r.ID); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a cut record: %v", err)
	}
}
