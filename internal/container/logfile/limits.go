package logfile

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"gourd/internal/container"
)

// ParseLimits reads docker's options of a json-file log: max-size ("10m", "-1" for no rotation) and
// max-file. What isn't given is DefaultLimits'. Errors: ErrInvalid.
func ParseLimits(opts map[string]string) (Limits, error) {
	l := DefaultLimits
	for name, value := range opts {
		var err error
		switch name {
		case "max-size":
			l.Size, err = parseSize(value)
		case "max-file":
			l.Files, err = strconv.Atoi(value)
			if err == nil && l.Files < 1 {
				err = errors.New("it must be 1 or more")
			}
		default:
			err = errors.New("the json-file log has no such option")
		}
		if err != nil {
			return l, container.Invalid("use log option", name+"="+value, err, "options are max-size=10m and max-file=3")
		}
	}
	return l, nil
}

// parseSize reads a number of bytes with k, m or g (powers of 1024, with or without b), as docker does.
func parseSize(s string) (int64, error) {
	if s == "-1" {
		return 0, nil
	}
	number := strings.TrimSuffix(strings.ToLower(s), "b")
	shift := 0
	if i := strings.IndexAny(number, "kmgt"); i >= 0 && i == len(number)-1 {
		shift = 10 * (1 + strings.IndexByte("kmgt", number[i]))
		number = number[:i]
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(f) {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	if f *= float64(int64(1) << shift); f < 1 || f > 1<<50 {
		return 0, fmt.Errorf("%q is not between 1 byte and 1 PiB", s)
	}
	return int64(f), nil
}
