package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

func kill(c *call) (int, error) {
	var all bool
	both(c.set().BoolVar, &all, "all", "a", false, "signal every process of the container")
	args, err := c.parse(1, 2)
	if err != nil {
		return 0, err
	}
	name := "SIGTERM"
	if len(args) == 2 {
		name = args[1]
	}
	sig, err := parseSignal(name)
	if err != nil {
		return 0, err
	}
	err = c.store().Signal(args[0], sig, all)
	if all && errors.Is(err, container.ErrNotRunning) {
		return 0, nil
	}
	return 0, err
}

// lastSignal is SIGRTMAX.
const lastSignal = 64

// parseSignal takes 9, KILL, SIGKILL, kill and the like.
func parseSignal(text string) (unix.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 0 || n > lastSignal {
			return 0, container.Invalid("use signal", text, fmt.Errorf("there are signals 1 to %d", lastSignal), "")
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, container.Invalid("use signal", text, fmt.Errorf("unknown signal %q", text), "`kill -l` lists them")
}
