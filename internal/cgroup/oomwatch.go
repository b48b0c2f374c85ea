package cgroup

import (
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// OOMWatch remembers the OOM kills of a group that systemd takes away as soon as its last process has ended,
// before anybody could ask OOMKills. It sleeps until the kernel says that memory.events has changed.
type OOMWatch struct {
	kills   atomic.Uint64
	changes *os.File // inotify
}

// WatchOOM begins to watch; nil for a group that stays until Delete, or where there is nothing to watch.
func (g *Group) WatchOOM() *OOMWatch {
	d := g.dirOf("memory")
	if g.unit == nil || d == nil || !d.unified {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	w := &OOMWatch{changes: os.NewFile(uintptr(fd), "inotify")}
	if _, err := unix.InotifyAddWatch(fd, filepath.Join(d.path, "memory.events"), unix.IN_MODIFY); err != nil {
		w.changes.Close()
		return nil
	}
	w.count(g)
	go w.run(g)
	return w
}

func (w *OOMWatch) run(g *Group) {
	b := make([]byte, 4096)
	for {
		if _, err := w.changes.Read(b); err != nil {
			return
		}
		w.count(g)
	}
}

func (w *OOMWatch) count(g *Group) {
	if n, err := g.OOMKills(); err == nil {
		w.kills.Store(n)
	}
}

// Kills is the last count. A nil watch has none.
func (w *OOMWatch) Kills() uint64 {
	if w == nil {
		return 0
	}
	return w.kills.Load()
}

// Close ends the watch.
func (w *OOMWatch) Close() {
	if w != nil {
		w.changes.Close()
	}
}
