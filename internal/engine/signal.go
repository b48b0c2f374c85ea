package engine

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The C library keeps the first two of the kernel's real-time signals, 32 and 33 (signal(7)).
const (
	rtMin = 34
	rtMax = 64
)

// signalName gives a signal its full name.
func signalName(s string) (string, error) {
	if n, err := strconv.Atoi(s); err == nil {
		return numberName(n)
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n, ok := realTime(name); ok {
		return numberName(n)
	}
	if unix.SignalNum(name) == 0 {
		return "", errText("there is no such signal")
	}
	return name, nil
}

func numberName(n int) (string, error) {
	switch {
	case n < 1 || n > rtMax:
		return "", fmt.Errorf("signal numbers are 1 to %d", rtMax)
	case n < 32:
		return unix.SignalName(unix.Signal(n)), nil
	case n >= rtMin:
		return "SIGRTMIN+" + strconv.Itoa(n-rtMin), nil
	}
	return "", errText("the C library keeps this signal for itself")
}

// realTime reads SIGRTMIN, SIGRTMIN+n, SIGRTMAX and SIGRTMAX-n.
func realTime(name string) (int, bool) {
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		return offset(rtMin, rest, "+")
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMAX"); ok {
		return offset(rtMax, rest, "-")
	}
	return 0, false
}

func offset(base int, rest, sign string) (int, bool) {
	if rest == "" {
		return base, true
	}
	digits, ok := strings.CutPrefix(rest, sign)
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || n > rtMax-rtMin {
		return 0, false
	}
	if sign == "-" {
		return base - int(n), true
	}
	return base + int(n), true
}
