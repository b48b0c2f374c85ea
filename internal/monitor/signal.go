package monitor

import (
	"fmt"
	"strconv"
	"strings"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// parseSignal reads a signal's name, with or without SIG, or its number, as docker does; "" is fallback.
// Real-time signals are RTMIN, RTMIN+n, RTMAX-n, with glibc's RTMIN of 34.
func parseSignal(s string, fallback unix.Signal) (unix.Signal, error) {
	const rtmin, rtmax = 34, 64
	if s == "" {
		return fallback, nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= rtmax {
		return unix.Signal(n), nil
	}
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	base, sign, rest := rtmin, 1, ""
	switch {
	case strings.HasPrefix(name, "RTMIN"):
		rest = strings.TrimPrefix(name[5:], "+")
	case strings.HasPrefix(name, "RTMAX"):
		base, sign, rest = rtmax, -1, strings.TrimPrefix(name[5:], "-")
	default:
		return 0, unknownSignal(s)
	}
	n := 0
	if rest != "" || len(name) > 5 {
		var err error
		if n, err = strconv.Atoi(rest); err != nil || n < 0 || n > rtmax-rtmin {
			return 0, unknownSignal(s)
		}
	}
	return unix.Signal(base + sign*n), nil
}

func unknownSignal(s string) error {
	return container.Invalid("send signal", strconv.Quote(s), fmt.Errorf("there is no such signal"), "")
}
