package runtime

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
)

// Delete removes a container that has stopped or was never started; with force a running one too, after killing
// it. It returns warnings of poststop hooks. Errors: container.ErrNotFound (not with force: engines delete twice),
// ErrRunning.
func (s *Store) Delete(id string, force bool) (warnings []string, err error) {
	l, err := s.lock(id)
	if err != nil {
		if force && errors.Is(err, container.ErrNotFound) {
			return nil, nil
		}
		return nil, err
	}
	defer l.release()
	st, err := s.Load(id)
	if errors.Is(err, container.ErrNotFound) {
		// A create that was killed before it had anything but the directory.
		if rerr := os.RemoveAll(s.dir(id)); rerr != nil || force {
			return nil, rerr
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	status, err := s.Status(st)
	if err != nil {
		return nil, err
	}
	if !force && status != specs.StateStopped && status != specs.StateCreated {
		return nil, &container.Error{
			Verb: "delete container", Object: id, Kind: container.ErrRunning,
			Cause: fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status), Hint: "kill it first, or use --force",
		}
	}
	return s.destroy(st)
}

// destroy ends what runs and removes what is left of a container. The lock is held.
func (s *Store) destroy(st *State) ([]string, error) {
	g, err := st.group()
	if err != nil {
		return nil, err
	}
	if err := st.kill(g); err != nil {
		return nil, err
	}
	if err := empty(g); err != nil {
		return nil, err
	}
	var warnings []string
	if st.Hooks != nil {
		warnings = runAllHooks("poststop", st.Hooks.Poststop, st.oci(specs.StateStopped))
	}
	if err := os.RemoveAll(s.dir(st.ID)); err != nil {
		return warnings, &container.Error{Verb: "delete container", Object: st.ID, Cause: err}
	}
	return warnings, nil
}
