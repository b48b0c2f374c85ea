package engine

import (
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	"gourd/internal/container"
)

// checkUser refuses what can be no user: ids above 2³¹−1 would wrap around to others (CVE-2024-40635).
// Names are looked up in the container's own files when it starts.
func checkUser(user string) error {
	name, group, hasGroup := strings.Cut(user, ":")
	for _, part := range []string{name, group} {
		if strings.ContainsAny(part, ":\x00\n/") {
			return invalid("use user", fmt.Sprintf("%q", user), "it is not of the form user[:group]", "")
		}
		n, err := strconv.ParseUint(part, 10, 64)
		if err == nil && n > math.MaxInt32 || errors.Is(err, strconv.ErrRange) {
			return invalid("use user", user, "ids are 0 to 2147483647", "")
		}
		if err != nil && strings.HasPrefix(part, "-") {
			return invalid("use user", user, "ids are 0 to 2147483647", "")
		}
	}
	if hasGroup && group == "" && name == "" {
		return invalid("use user", fmt.Sprintf("%q", user), "it is not of the form user[:group]", "")
	}
	return nil
}

// parseExpose is container.ExpandPorts for a port of a container, which is never 0.
func parseExpose(s string) ([]string, error) {
	list, err := container.ExpandPorts(s)
	if err == nil && strings.HasPrefix(list[0], "0/") {
		return nil, fmt.Errorf("%q is not a port or a range of ports", s)
	}
	return list, err
}

// checkLabels refuses what could not be shown or filtered.
func checkLabels(what string, labels map[string]string) error {
	for name := range labels {
		if name == "" {
			return invalid("use "+what, fmt.Sprintf("%q", "="+labels[name]), "it has no name", "NAME=VALUE")
		}
	}
	return nil
}

// cleanDestination is a place in the container: absolute, clean, not the root itself.
func cleanDestination(verb, p string) (string, error) {
	switch clean := path.Clean(p); {
	case !path.IsAbs(p) || strings.ContainsRune(p, 0):
		return "", invalid(verb, fmt.Sprintf("%q", p), "the destination is not an absolute path", "")
	case clean == "/":
		return "", invalid(verb, p, "the destination can't be '/'", "--rootfs runs on a directory")
	default:
		return clean, nil
	}
}

// ParseSize reads docker's sizes: "10m", "1.5g", "512" (bytes), powers of 1024.
func ParseSize(s string) (int64, error) {
	number := strings.TrimRight(strings.ToLower(s), "ib")
	factor := int64(1)
	if i := strings.IndexByte("kmgtp", lastByte(number)); i >= 0 {
		factor = 1 << (10 * (i + 1))
		number = number[:len(number)-1]
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f < 0 || f*float64(factor) >= math.MaxInt64 || strings.ContainsAny(number, "xXpPeEnN_+") {
		return 0, fmt.Errorf("%q is not a size such as 512, 64k, 10m or 1.5g", s)
	}
	return int64(f * float64(factor)), nil
}

func lastByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

func checkCount(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return fmt.Errorf("%q is not a number from 1 on", s)
	}
	return nil
}
