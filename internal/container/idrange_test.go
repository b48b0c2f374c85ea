package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"
)

// createLeased stores a container that has leased ids.
func createLeased(t *testing.T, s *Store, name string) string {
	t.Helper()
	r := &Record{ID: NewID(), Name: name}
	err := s.Create(r, []byte("{}"), func(string) error {
		var err error
		r.IDs, err = s.LeaseIDs(r.ID, IDPool{Base: 1 << 29, Size: 1 << 30})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestLeasesNeverOverlapUnderConcurrency(t *testing.T) {
	s := newStore(t)
	const slots = 32
	pool := IDPool{Base: 1 << 29, Size: slots * OwnIDs}
	var mu sync.Mutex
	taken := map[int]string{}
	var wg sync.WaitGroup
	for i := range slots {
		wg.Add(1)
		go func() {
			defer wg.Done()
			id := fmt.Sprintf("container%d", i)
			r, err := s.LeaseIDs(id, pool)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other := taken[r.Slot]; other != "" {
				t.Errorf("slot %d went to %s and %s", r.Slot, other, id)
			}
			taken[r.Slot] = id
		}()
	}
	wg.Wait()
	if _, err := s.LeaseIDs("one too many", pool); !errors.Is(err, ErrInUse) {
		t.Errorf("a full pool gave %v", err)
	}
	for slot, id := range taken {
		if err := s.ReleaseIDs("somebody else", slot); err != nil {
			t.Fatal(err)
		}
		if owner, _ := os.Readlink(s.leasePath(slot)); owner != id {
			t.Fatalf("slot %d was released by a stranger", slot)
		}
		if err := s.ReleaseIDs(id, slot); err != nil {
			t.Fatal(err)
		}
	}
	if names, _ := readNames(s.leaseDir()); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

func TestLeaseSkipsUsedRanges(t *testing.T) {
	s := newStore(t)
	pool := IDPool{Base: 1 << 29, Size: 2 * OwnIDs, Used: func(first, _ uint32) bool { return first == 1<<29 }}
	for _, id := range []string{"a", "b"} {
		r, err := s.LeaseIDs(id, pool)
		if id == "b" {
			if !errors.Is(err, ErrInUse) {
				t.Errorf("second lease: %v, %v", r, err)
			}
			continue
		}
		if err != nil || r.Base != 1<<29+OwnIDs {
			t.Errorf("lease: %v, %v", r, err)
		}
	}
}

// TestSharedLeaseOutlivesItsFirstOwner: files of the second container belong to ids of the range.
func TestSharedLeaseOutlivesItsFirstOwner(t *testing.T) {
	s := newStore(t)
	first := createLeased(t, s, "first")
	shared, err := s.ShareIDs("second", first)
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(string, *Record) error { return nil }
	if err := s.Forget(first, nothing); err != nil {
		t.Fatal(err)
	}
	if owner, _ := os.Readlink(s.leasePath(shared.Slot)); owner != "second" {
		t.Errorf("the slot belongs to %q", owner)
	}
	if err := s.ReleaseIDs("second", shared.Slot); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(s.leasePath(shared.Slot)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the slot is still taken: %v", err)
	}
}

// TestForgetAfterACrash: a removal that failed after Hide is found and finished, once.
func TestForgetAfterACrash(t *testing.T) {
	s := newStore(t)
	id := createLeased(t, s, "victim")
	boom := errors.New("killed here")
	if err := s.Forget(id, func(string, *Record) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	half, err := s.Half()
	if err != nil || len(half) != 1 || half[0] != id {
		t.Fatalf("half: %v, %v", half, err)
	}
	calls := 0
	for range 2 {
		err := s.FinishForget(id, func(_ string, r *Record) error {
			calls++
			if r == nil || r.Name != "victim" {
				t.Errorf("record: %v", r)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("cleaned %d times", calls)
	}
	if names, _ := readNames(s.leaseDir()); len(names) > 0 {
		t.Errorf("leases left: %v", names)
	}
	if half, _ := s.Half(); len(half) > 0 {
		t.Errorf("still half: %v", half)
	}
}
