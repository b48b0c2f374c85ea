package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"gourd/internal/container"
)

// List reads all containers below Root, in the order of their ids. Those that can't be read are left out and
// named in the second result. Errors: container.ErrNotFound if Root is missing.
func (s *Store) List() ([]*View, []string, error) {
	entries, err := os.ReadDir(s.Root)
	if err != nil {
		kind := error(nil)
		if errors.Is(err, fs.ErrNotExist) {
			kind = container.ErrNotFound
		}
		return nil, nil, &container.Error{Verb: "list containers in", Object: s.Root, Kind: kind, Cause: err}
	}
	views := []*View{}
	var bad []string
	owners := map[uint32]string{}
	for _, e := range entries {
		if !e.IsDir() || !ours(e.Name()) {
			continue
		}
		v, err := s.View(e.Name())
		if errors.Is(err, container.ErrNotFound) {
			continue // just going, or what a killed create left
		}
		if err != nil {
			bad = append(bad, fmt.Sprintf("load container %s: %v", e.Name(), err))
			continue
		}
		v.Owner = userName(e, owners)
		views = append(views, v)
	}
	return views, bad, nil
}

// userName is the user whose directory it is, by name or as "#uid".
func userName(e fs.DirEntry, known map[uint32]string) string {
	info, err := e.Info()
	if err != nil {
		return ""
	}
	uid := info.Sys().(*syscall.Stat_t).Uid
	if name, ok := known[uid]; ok {
		return name
	}
	name := "#" + strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(name[1:]); err == nil {
		name = u.Username
	}
	known[uid] = name
	return name
}

// Processes are the host pids of all processes of a container.
func (s *Store) Processes(id string) ([]int, error) {
	st, err := s.Load(id)
	if err != nil {
		return nil, err
	}
	g, err := st.group()
	if err != nil {
		return nil, err
	}
	return g.Pids(true)
}
