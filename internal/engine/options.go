package engine

import (
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Attach says which streams of a process the caller takes part in.
type Attach struct {
	Stdin, Stdout, Stderr bool
	Size                  *control.Size // the caller's window, with a terminal
}

// Any says whether there is a stream at all.
func (a Attach) Any() bool { return a.Stdin || a.Stdout || a.Stderr }

// StopOptions say how to stop.
type StopOptions struct {
	Timeout *int   // seconds until SIGKILL; nil: the container's own, else 10; -1 waits for ever
	Signal  string // instead of the container's stop signal
}

// RemoveOptions say how to remove.
type RemoveOptions struct {
	Force   bool // kill it first if it runs; a container that isn't there is no error of Remove's, the front door decides
	Volumes bool // anonymous volumes too
}

// ExecRequest is a further process for a running container.
type ExecRequest struct {
	Args       []string
	Env        []string // over the container's
	User       string   // "" is the container's
	Workdir    string   // "" is the container's
	Tty        bool
	Privileged bool
	Detach     bool
	Attach     Attach
}

// WaitCondition says what to wait for.
type WaitCondition string

// docker's conditions. NotRunning is the default.
const (
	WaitNotRunning WaitCondition = "not-running"
	WaitNextExit   WaitCondition = "next-exit"
	WaitRemoved    WaitCondition = "removed"
)

// LogOptions choose log entries.
type LogOptions struct {
	Follow       bool
	Tail         int       // whole lines from the end; negative: all
	Since, Until time.Time // both inclusive; zero: no bound
	Stdout       bool
	Stderr       bool
}

// LogEntry is one piece of output as it was written: a line with its newline, or a part of one.
type LogEntry struct {
	Time   time.Time
	Stderr bool
	Data   []byte // valid until the sink returns
	// Partial: the line goes on in the next entry of the same stream.
	Partial bool
}

// LogSink receives entries in order. Notice is not nil in place of an entry that could not be read.
type LogSink func(entry LogEntry, notice error) error

// ListOptions choose containers.
type ListOptions struct {
	All     bool                // not only the running ones
	Last    int                 // the newest n, whatever their state; 0: no bound
	Filters map[string][]string // docker's: id, name, label, status, exited, ancestor, before, since, network, volume, health, publish, expose, is-task
	Size    bool
}

// Listed is one container of a list.
type Listed struct {
	*container.Record
	// Command is what it runs, entry point and arguments.
	Command []string
	// SizeRW and SizeRootFS are bytes, -1 if not asked for.
	SizeRW, SizeRootFS int64
}

// Details is all that is known of a container.
type Details struct {
	Record *container.Record
	Spec   *specs.Spec
	// Where its files are on the host; "" where there is none.
	LogPath, HostsPath, HostnamePath, ResolvConfPath string
	// Execs are the ids of running exec processes.
	Execs              []string
	SizeRW, SizeRootFS int64 // -1 if not asked for
	RootFS             *container.RootFS
}

// Top is a table of a container's processes.
type Top struct {
	Titles []string
	Rows   [][]string
}

// Explanation shows how a container is made and what it is from both sides.
type Explanation struct {
	ID, Name   string
	Steps      []container.Step
	Views      []View
	Namespaces []NamespaceView
	Cgroups    []CgroupFile
}

// View is one fact as the host and as the container sees it.
type View struct{ What, Host, Container string }

// NamespaceView is one namespace of a container.
type NamespaceView struct {
	Type   string // "pid", "net", …
	Inode  uint64
	Host   uint64 // the host's (the caller's) of the same type
	Shared bool   // it is the host's
}

// CgroupFile is one limit as the kernel shows it.
type CgroupFile struct{ Controller, Path, Value string }

// Info is what `gourd info` says.
type Info struct {
	ConfigFile, Root, State                             string
	Containers, Running, Paused, Stopped, Images        int
	Driver                                              string
	LogDrivers, Networks, Security, Runtimes            []string
	DefaultRuntime, CgroupVersion, CgroupDriver         string
	Kernel, OperatingSystem, OSType, Architecture, Name string
	CPUs                                                int
	Memory                                              int64 // bytes
	Warnings                                            []string
}
