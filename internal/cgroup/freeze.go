package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// freezeTime bounds how long freezing may take: a process in an uninterruptible wait can't be frozen.
const freezeTime = 10 * time.Second

// Freeze stops every process of the group, in one step and unseen by them, and returns when all stand
// still. If that fails they run again.
func (g *Group) Freeze() error {
	d, err := g.freezer("freeze")
	if err != nil {
		return err
	}
	if d.unified {
		err = d.freezeV2()
	} else {
		err = d.freezeV1()
	}
	if err != nil {
		_ = d.setFrozen(false)
		return &container.Error{Verb: "freeze", Object: g.path, Cause: err}
	}
	return nil
}

// Thaw lets the processes run on.
func (g *Group) Thaw() error {
	d, err := g.freezer("thaw")
	if err != nil {
		return err
	}
	if err := d.setFrozen(false); err != nil {
		return &container.Error{Verb: "thaw", Object: g.path, Cause: err}
	}
	return nil
}

// Frozen says whether the group itself (not one above it) is told to stand still.
func (g *Group) Frozen() (bool, error) {
	d, err := g.freezer("look at")
	if err != nil {
		return false, err
	}
	frozen, err := d.frozen()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil // the group is gone
	}
	return frozen, err
}

// freezer is the directory whose files stop processes: v1's own controller where it is mounted, since
// other tools look there.
func (g *Group) freezer(verb string) (*dir, error) {
	if d := g.dirOf("freezer"); d != nil {
		return d, nil
	}
	if d := g.unifiedDir(); d != nil {
		return d, nil
	}
	return nil, &container.Error{
		Verb: verb, Object: g.path, Kind: container.ErrUnsupported,
		Cause: errors.New("the freezer controller is not mounted"), Hint: "mount -t cgroup -o freezer freezer " + root + "/freezer",
	}
}

func (d *dir) setFrozen(on bool) error {
	if d.unified {
		return writeFile(d.path, "cgroup.freeze", pick(on, "1", "0"))
	}
	return writeFile(d.path, "freezer.state", pick(on, "FROZEN", "THAWED"))
}

// frozen reads the state. A v1 group below a frozen one is frozen too, but not by its own will.
func (d *dir) frozen() (bool, error) {
	switch {
	case d.unified:
		v, err := readFile(d.path, "cgroup.freeze")
		return strings.TrimSpace(v) == "1", err
	case d.has("freezer"):
		v, err := readFile(d.path, "freezer.self_freezing")
		return strings.TrimSpace(v) == "1", err
	}
	return false, nil
}

func (d *dir) freezeV2() error {
	if err := d.setFrozen(true); err != nil {
		return err
	}
	done, err := waitEvent(d.path, "frozen", "1", time.Now().Add(freezeTime))
	if err == nil && !done {
		err = fmt.Errorf("some process did not stop in %v", freezeTime)
	}
	return err
}

// freezeV1 asks again and again: v1 does not catch a process that was forked while it froze the
// others, and tells nobody when it is done, so there is nothing to wait for but time.
func (d *dir) freezeV1() error {
	wait := 20 * time.Microsecond
	for until := time.Now().Add(freezeTime); ; {
		if err := d.setFrozen(true); err != nil {
			return err
		}
		v, err := readFile(d.path, "freezer.state")
		if err != nil {
			return err
		}
		if strings.TrimSpace(v) == "FROZEN" {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("some process did not stop in %v", freezeTime)
		}
		time.Sleep(wait)
		wait = min(2*wait, 10*time.Millisecond)
	}
}
