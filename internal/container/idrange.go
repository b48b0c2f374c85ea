package container

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	// OwnIDs is how many ids of its own a container has: 0–65,535.
	OwnIDs = 1 << 16
	// HighBase is the host id of container id 65,536: the block above it is shared by all containers, so
	// that a file of user 88889462 can be owned by that user (design.md, "Decided"). It ends below
	// 2³²−1, which is no id but "none" (chown(2)).
	HighBase = 1 << 31
	// HighIDs is the length of that block: container ids up to 2³¹−1.
	HighIDs = 1<<31 - OwnIDs
)

// MapUIDs is the range as uid_map, MapGIDs as gid_map.
func (r *IDRange) MapUIDs() []specs.LinuxIDMapping { return r.mapping(r.UIDs) }

// MapGIDs is the range as gid_map.
func (r *IDRange) MapGIDs() []specs.LinuxIDMapping { return r.mapping(r.GIDs) }

func (r *IDRange) mapping(own []specs.LinuxIDMapping) []specs.LinuxIDMapping {
	if len(own) > 0 {
		return own
	}
	return []specs.LinuxIDMapping{
		{ContainerID: 0, HostID: r.Base, Size: OwnIDs},
		{ContainerID: OwnIDs, HostID: HighBase, Size: HighIDs},
	}
}

// IDPool is the host ids that ranges are leased from, cut into slots of OwnIDs ids. Used says whether a
// host id range is somebody else's (a user's, a line of /etc/subuid).
type IDPool struct {
	Base, Size uint32
	Used       func(first, count uint32) bool
}

// A lease is ROOT/ids/SLOT, a symbolic link to the container's id: made by symlink(2), which one of two
// processes wins. Further containers in the same user namespace hold ROOT/ids/SLOT+ID; when the first
// one goes, one of them takes its place.

func (s *Store) leaseDir() string { return filepath.Join(s.Root, "ids") }

func (s *Store) leasePath(slot int) string { return filepath.Join(s.leaseDir(), strconv.Itoa(slot)) }

func (s *Store) sharePath(slot int, id string) string {
	return s.leasePath(slot) + "+" + id
}

// LeaseIDs takes a free slot of the pool for container id. The search begins at a place that depends on
// the id, so that processes that search at once seldom meet. Errors: ErrInUse if all slots are taken.
func (s *Store) LeaseIDs(id string, pool IDPool) (*IDRange, error) {
	if err := os.Mkdir(s.leaseDir(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &Error{Verb: "lease ids", Object: s.leaseDir(), Cause: err}
	}
	slots := int(pool.Size / OwnIDs)
	h := fnv.New32a()
	h.Write([]byte(id))
	first := int(h.Sum32() % uint32(max(slots, 1)))
	for i := range slots {
		slot := (first + i) % slots
		base := pool.Base + uint32(slot)*OwnIDs
		if pool.Used != nil && pool.Used(base, OwnIDs) {
			continue
		}
		err := os.Symlink(id, s.leasePath(slot))
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, &Error{Verb: "lease ids", Object: s.leasePath(slot), Cause: err}
		}
		return &IDRange{Slot: slot, Base: base}, nil
	}
	return nil, &Error{
		Verb: "lease ids for container", Object: id, Kind: ErrInUse,
		Cause: fmt.Errorf("all %d ranges of the pool are taken", slots), Hint: "remove containers, enlarge [ids] in gourd.toml, or use --userns=host",
	}
}

// ShareIDs lets container id live in the range that container owner lives in; nil if owner has none. The
// owner's lock keeps it from being removed meanwhile. Errors: ErrNotFound.
func (s *Store) ShareIDs(id, owner string) (*IDRange, error) {
	unlock, err := s.Lock(owner)
	if err != nil {
		return nil, err
	}
	defer unlock()
	r, err := s.Load(owner)
	if err != nil {
		s.dropLock(owner, err)
		return nil, err
	}
	if r.IDs == nil || r.IDs.Slot < 0 {
		return r.IDs, nil
	}
	if err := os.Symlink(id, s.sharePath(r.IDs.Slot, id)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &Error{Verb: "share ids of container", Object: r.Name, Cause: err}
	}
	return r.IDs, nil
}

// ReleaseIDs gives back every lease and share of container id: its files must be gone by then, since
// their owners are ids of the range. slot is a hint from its record; -1: look through all leases.
func (s *Store) ReleaseIDs(id string, slot int) error {
	if slot < 0 {
		return s.releaseAll(id)
	}
	if os.Remove(s.sharePath(slot, id)) == nil {
		return nil
	}
	if owner, err := os.Readlink(s.leasePath(slot)); err != nil || owner != id {
		return nil
	}
	return s.release(slot)
}

// releaseAll is ReleaseIDs for a container whose record was not written yet or is damaged.
func (s *Store) releaseAll(id string) error {
	leases, err := s.Leases()
	if err != nil {
		return err
	}
	if slot, found := leases[id]; found {
		return s.ReleaseIDs(id, slot)
	}
	return nil
}

// release frees a slot, or hands it to a container that shares it: the rename replaces the link, so the
// slot is never free in between.
func (s *Store) release(slot int) error {
	names, err := readNames(s.leaseDir())
	if err != nil {
		return err
	}
	prefix := strconv.Itoa(slot) + "+"
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && os.Rename(filepath.Join(s.leaseDir(), name), s.leasePath(slot)) == nil {
			return nil
		}
	}
	if err := os.Remove(s.leasePath(slot)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{Verb: "give back ids", Object: s.leasePath(slot), Cause: err}
	}
	return nil
}

// Leases gives the slot of every container that has leased or shares one.
func (s *Store) Leases() (map[string]int, error) {
	names, err := readNames(s.leaseDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	leases := map[string]int{}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "+")
		slot, err := strconv.Atoi(number)
		owner, lerr := os.Readlink(filepath.Join(s.leaseDir(), name))
		if err == nil && lerr == nil {
			leases[owner] = slot
		}
	}
	return leases, nil
}
