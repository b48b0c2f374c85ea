// gourd-monitor is the process that each container has; gourd starts it. Nobody calls it by hand, but
// `gourd-monitor --root R --state S ID` with a control connection as descriptor 3 is how.
package main

import (
	"fmt"
	"os"
	"runtime"

	"gourd/internal/container"
	"gourd/internal/container/control"
	"gourd/internal/monitor"
)

// The container's first process gets SIGKILL when the thread that made it ends (PR_SET_PDEATHSIG,
// prctl(2)): that must be the main thread, which lives as long as this process.
func init() { runtime.LockOSThread() }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gourd-monitor:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 5 || args[0] != "--root" || args[2] != "--state" {
		return fmt.Errorf("usage: gourd-monitor --root DIR --state DIR ID, with the engine's connection as descriptor 3")
	}
	store := &container.Store{Root: args[1], State: args[3]}
	first, err := control.NewConn(3)
	if err != nil {
		return fmt.Errorf("use descriptor 3 as the engine's connection: %w", err)
	}
	return monitor.Run(store, args[4], first)
}
