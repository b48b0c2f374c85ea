package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// make makes the directory and the missing ones above it, and prepares each so that processes can
// enter. It gives those it made, the deepest first, also with an error.
func (d dir) make(path string) (made []string, err error) {
	if d.has("cpuset") && !d.unified {
		return d.makeEach(path)
	}
	// The common case: the parent is there and ready.
	err = os.Mkdir(d.path, 0o755)
	if err == nil && !d.unified {
		return []string{d.path}, d.prepare(d.path)
	}
	if err == nil {
		// The parent may lack a controller that came after it was made.
		return []string{d.path}, d.enableAbove(d.path)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if made, err = d.makeEach(path); err == nil && d.unified {
		err = d.enableAbove(d.path)
	}
	return made, err
}

// makeEach makes the directories one after the other from the top. A cpuset is prepared also where it was
// there already: whoever made it may have been killed before it did that.
func (d dir) makeEach(path string) (made []string, err error) {
	at := d.mount
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		at = filepath.Join(at, part)
		err := os.Mkdir(at, 0o755)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return made, err
		}
		if err == nil {
			made = append([]string{at}, made...)
		}
		if (err == nil || d.has("cpuset")) && !d.unified {
			if err := d.prepare(at); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// prepare makes a v1 directory fit for processes: a cpuset has no CPU and no memory node at first, and memory before Linux 5.11 counts no children unless told to.
func (d dir) prepare(at string) error {
	parent := filepath.Dir(at)
	if d.has("cpuset") {
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if own, err := readFile(at, file); err != nil || strings.TrimSpace(own) != "" {
				if err != nil {
					return err
				}
				continue
			}
			v, err := readFile(parent, file)
			if err != nil {
				return err
			}
			if v := strings.TrimSpace(v); v != "" {
				if err := writeFile(at, file, v); err != nil {
					return err
				}
			}
		}
	}
	if d.has("memory") && parent == d.mount {
		if v, err := readFile(at, "memory.use_hierarchy"); err == nil && strings.TrimSpace(v) == "0" {
			return writeFile(at, "memory.use_hierarchy", "1")
		}
	}
	return nil
}

// enableAbove turns the v2 controllers on in every directory above the one given. Only there: a
// directory that holds processes can't have controllers on for its children ("no internal processes",
// cgroups(7)).
func (d dir) enableAbove(leaf string) error {
	want := d.controllers
	for at := d.mount; at != leaf; {
		b, err := readFile(at, "cgroup.subtree_control")
		if err != nil {
			return err
		}
		on := strings.Fields(b)
		missing := slices.DeleteFunc(slices.Clone(want), func(c string) bool { return slices.Contains(on, c) })
		if len(missing) > 0 {
			if on, err = d.enable(at, on, missing); err != nil {
				return err
			}
		}
		want = slices.DeleteFunc(slices.Clone(want), func(c string) bool { return !slices.Contains(on, c) })
		rest := strings.TrimPrefix(leaf[len(at):], "/")
		part, _, _ := strings.Cut(rest, "/")
		at = filepath.Join(at, part)
	}
	return nil
}

// enable turns controllers on for the children of a directory and gives all that are on then. One that
// the kernel refuses stays off, and is missed only by a limit that needs it; but processes in the way
// are an error, or the ones moved that are this very process.
func (d dir) enable(at string, on, missing []string) ([]string, error) {
	for _, c := range missing {
		err := writeFile(at, "cgroup.subtree_control", "+"+c)
		if errors.Is(err, unix.EBUSY) {
			if err = d.stepAside(at); err == nil {
				err = writeFile(at, "cgroup.subtree_control", "+"+c)
			}
			if err != nil {
				return nil, err
			}
		}
		if err == nil {
			on = append(on, c)
		}
	}
	return on, nil
}

// stepAside moves this process out of a directory that is to have children with controllers, into a
// sibling of theirs named "self". Other processes are not ours to move.
func (d dir) stepAside(at string) error {
	pids, err := readPids(at)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid != os.Getpid() {
			return &container.Error{
				Verb: "enable controllers", Object: at, Kind: container.ErrInUse,
				Cause: fmt.Errorf("process %d is in it, and a v2 cgroup can't have both processes and limited children", pid),
				Hint:  "move its processes into a cgroup below it, or choose another --cgroup-parent",
			}
		}
	}
	self := filepath.Join(at, "self")
	if err := os.Mkdir(self, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return writeFile(self, "cgroup.procs", "0")
}

// checkUnused refuses a directory that was there already and holds processes, or is frozen: what
// enters it would stand still. The words are runc's, which engines know.
func (d dir) checkUnused() error {
	pids, err := readPids(d.path)
	if err != nil {
		return &container.Error{Verb: "use cgroup", Object: d.path, Cause: err}
	}
	if len(pids) > 0 {
		return &container.Error{
			Verb: "use cgroup", Object: d.path, Kind: container.ErrInUse,
			Cause: fmt.Errorf("container's cgroup is not empty: %d process(es) found", len(pids)), Hint: "choose another cgroup path",
		}
	}
	if frozen, err := d.frozen(); err == nil && frozen {
		return &container.Error{
			Verb: "use cgroup", Object: d.path, Kind: container.ErrInUse,
			Cause: errors.New("container's cgroup unexpectedly frozen"), Hint: "thaw it, or choose another cgroup path",
		}
	}
	return nil
}

// delegate gives the v2 directory to a user: the directory and the files that cgroups(7) names, no
// other, so that it can't raise its own limits.
func (g *Group) delegate(uid int) error {
	d := g.unifiedDir()
	if d == nil {
		return nil
	}
	files := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
	if b, err := os.ReadFile("/sys/kernel/cgroup/delegate"); err == nil {
		files = strings.Fields(string(bytes.TrimSpace(b)))
	}
	for _, f := range append([]string{"."}, files...) {
		err := os.Chown(filepath.Join(d.path, f), uid, -1)
		// The list names files of every controller: some aren't here.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &container.Error{Verb: "give cgroup to container", Object: d.path, Cause: err}
		}
	}
	return nil
}
