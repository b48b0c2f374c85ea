package runtime

import (
	"gourd/internal/container"
	"gourd/internal/runtime/child"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// OnParent runs a function on the thread that makes all processes with a parent-death signal, which the
// kernel sends when that thread ends: a process that executes another program must do it there
// (execve(2) ends all other threads).
func OnParent(do func()) {
	done := make(chan struct{})
	keeper() <- func() { do(); close(done) }
	<-done
}

// MountRoot makes the root tree of a container that another runtime builds: a detached mount, whose
// descriptor the caller attaches and closes. Its ids are not shifted.
func MountRoot(fs *container.RootFS) (fd int, err error) {
	b := &build{c: &Config{RootFS: fs}, spec: &specs.Spec{Linux: &specs.Linux{}}, track: track{p: child.NewPlan()}, rootMount: -1}
	err = b.mountRoot()
	return b.rootMount, err
}
