// gourd-monitor is the process that each container has; gourd starts it. Nobody calls it by hand, but
// `gourd-monitor --root R --state S ID` with a control connection as descriptor 3 is how.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"gourd/internal/container"
	"gourd/internal/container/control"
	"gourd/internal/monitor"

	"golang.org/x/sys/unix"
)

// The main goroutine stays on the main thread: the thread that executes the monitor anew becomes the main
// thread there, and is what the container's parent-death signal hangs on (see internal/monitor/hold.go).
func init() { runtime.LockOSThread() }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gourd-monitor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "plan" {
		return monitor.Plan(os.Stdin, os.Stdout)
	}
	// Nobody but root may look into this process, not even a container that shares the host's pids and
	// user ids (ptrace(2), "dumpable").
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	if len(args) == 2 && args[0] == "hold" {
		fd, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return monitor.Hold(fd)
	}
	store, id, o, err := parse(args)
	if err != nil {
		return err
	}
	if o.First, err = control.NewConn(3); err != nil {
		return fmt.Errorf("use descriptor 3 as the engine's connection: %w", err)
	}
	o.Hold = true
	return monitor.Run(store, id, o)
}

// parse reads the command line. There is no help: gourd is what reads this one's words.
func parse(args []string) (*container.Store, string, monitor.Options, error) {
	store, o := new(container.Store), monitor.Options{}
	for len(args) >= 2 {
		switch args[0] {
		case "--root":
			store.Root = args[1]
		case "--state":
			store.State = args[1]
		case "--runtime":
			o.Foreign.Path = args[1]
		case "--runtime-arg":
			o.Foreign.Args = append(o.Foreign.Args, args[1])
		default:
			return nil, "", o, fmt.Errorf("unknown flag %q", args[0])
		}
		args = args[2:]
	}
	if len(args) != 1 || store.Root == "" || store.State == "" {
		return nil, "", o, errors.New("usage: gourd-monitor --root DIR --state DIR [--runtime PATH [--runtime-arg ARG]…] ID, with the engine's connection as descriptor 3")
	}
	return store, args[0], o, nil
}
