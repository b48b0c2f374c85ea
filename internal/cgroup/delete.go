package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// deleteTime bounds Delete when its context has no end.
const deleteTime = 10 * time.Second

// Delete removes the group and the groups below it from every hierarchy, as soon as their processes
// have ended; it kills none. A group that isn't there is no error.
// Errors: container.ErrInUse if processes are left when the context or ten seconds end.
func (g *Group) Delete(ctx context.Context) error {
	until := time.Now().Add(deleteTime)
	if t, ok := ctx.Deadline(); ok {
		until = t
	}
	g.Close()
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := g.remove()
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EBUSY) {
			return &container.Error{Verb: "remove cgroup", Object: g.path, Cause: err}
		}
		if ctx.Err() != nil || time.Now().After(until) {
			return g.inUse()
		}
		if err := g.waitEmpty(ctx, until, pause); err != nil {
			return &container.Error{Verb: "remove cgroup", Object: g.path, Cause: err}
		}
	}
	if g.unit != nil {
		return g.unit.Stop()
	}
	return nil
}

// remove removes all directories, the deepest first. The first error counts, but all are tried.
func (g *Group) remove() error {
	var first error
	for _, d := range g.dirs {
		err := unix.Rmdir(d.path)
		if errors.Is(err, unix.EBUSY) {
			// Processes, or groups that the container made.
			for _, at := range slices.Backward(subtree(d.path)) {
				if e := unix.Rmdir(at); e != nil && !errors.Is(e, unix.ENOENT) {
					err = e
				} else if at == d.path {
					err = nil
				}
			}
		}
		if err != nil && !errors.Is(err, unix.ENOENT) && first == nil {
			first = &os.PathError{Op: "rmdir", Path: d.path, Err: err}
		}
	}
	return first
}

// waitEmpty waits until some process of the group has ended. With none to be seen the kernel is still
// letting the last one go (a group is busy for a moment after its last process): then it pauses.
func (g *Group) waitEmpty(ctx context.Context, until time.Time, pause time.Duration) error {
	pids, err := g.Pids(true)
	if err != nil || len(pids) == 0 {
		time.Sleep(pause)
		return err
	}
	// In slices, so that a context that is cancelled is noticed.
	slice := time.Now().Add(100 * time.Millisecond)
	if ctx.Done() == nil || until.Before(slice) {
		slice = until
	}
	return waitExit(pids, slice)
}

func (g *Group) inUse() error {
	pids, _ := g.Pids(true)
	return &container.Error{
		Verb: "remove cgroup", Object: g.path, Kind: container.ErrInUse,
		Cause: fmt.Errorf("processes %v are still in it", pids[:min(len(pids), 10)]), Hint: "kill them first",
	}
}

// RemoveParents removes the groups above path, from the lowest, as far as they are empty. Nothing is
// waited for; a group in use stays.
func RemoveParents(path string) error {
	l, err := detect()
	if err != nil {
		return err
	}
	for _, h := range l.hierarchies {
		for at := filepath.Dir(filepath.Clean("/" + path)); at != "/"; at = filepath.Dir(at) {
			if unix.Rmdir(filepath.Join(h.mount, at)) != nil {
				break
			}
		}
	}
	return nil
}

// List names the groups right below a path, in any hierarchy: "/gourd" has one for each container, and
// what a killed monitor left.
func List(parent string) ([]string, error) {
	l, err := detect()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range l.hierarchies {
		entries, err := os.ReadDir(filepath.Join(h.mount, filepath.Clean("/"+parent)))
		if err != nil && !gone(err) {
			return nil, &container.Error{Verb: "list cgroups", Object: parent, Cause: err}
		}
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
