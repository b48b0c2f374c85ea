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

// The main goroutine stays on the main thread, which lives as long as the process: see monitor.ExecSelf.
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
	hand := monitor.ExecSelf(func(do func()) { do() })
	switch {
	case len(args) == 2 && args[0] == "hold":
		fd, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return monitor.Hold(fd, hand)
	case len(args) == 5 && args[0] == "--root" && args[2] == "--state":
		first, err := control.NewConn(3)
		if err != nil {
			return fmt.Errorf("use descriptor 3 as the engine's connection: %w", err)
		}
		return monitor.Run(&container.Store{Root: args[1], State: args[3]}, args[4], first, hand)
	}
	return errors.New("usage: gourd-monitor --root DIR --state DIR ID, with the engine's connection as descriptor 3")
}
