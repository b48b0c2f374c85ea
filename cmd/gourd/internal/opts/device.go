package opts

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/docker/go-units"
)

// Device reads a --device argument: HOST[:CONTAINER][:PERMISSIONS].
func Device(s string) (container.Device, error) {
	if strings.Contains(s, "=") && !filepath.IsAbs(s) {
		return container.Device{}, fmt.Errorf("%q names a CDI device, which is not supported yet", s)
	}
	d := container.Device{Permissions: "rwm"}
	parts := strings.Split(s, ":")
	d.Host, d.Container = parts[0], parts[0]
	switch len(parts) {
	case 1:
	case 2:
		if isDevicePermissions(parts[1]) {
			d.Permissions = parts[1]
		} else {
			d.Container = parts[1]
		}
	case 3:
		d.Container, d.Permissions = parts[1], parts[2]
		if !isDevicePermissions(d.Permissions) {
			return d, fmt.Errorf("invalid device %q: permissions are r, w and m, each at most once", s)
		}
	default:
		return d, fmt.Errorf("invalid device %q: it has more than two colons", s)
	}
	if !filepath.IsAbs(d.Host) || !path.IsAbs(d.Container) {
		return d, fmt.Errorf("invalid device %q: both paths must be absolute", s)
	}
	return d, nil
}

func isDevicePermissions(s string) bool {
	for i, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.ContainsRune(s[:i], c) {
			return false
		}
	}
	return s != ""
}

// ThrottleBps reads DEVICE:RATE with the rate in bytes per second ("/dev/sda:1mb").
func ThrottleBps(s string) (engine.Throttle, error) {
	return throttle(s, func(rate string) (uint64, error) {
		n, err := units.RAMInBytes(rate)
		if err == nil && n < 0 {
			err = errors.New("negative")
		}
		return uint64(n), err
	})
}

// ThrottleIOps reads DEVICE:RATE with the rate in operations per second.
func ThrottleIOps(s string) (engine.Throttle, error) {
	return throttle(s, func(rate string) (uint64, error) { return strconv.ParseUint(rate, 10, 64) })
}

func throttle(s string, rate func(string) (uint64, error)) (engine.Throttle, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return engine.Throttle{}, fmt.Errorf("%q is not DEVICE:RATE", s)
	}
	t := engine.Throttle{Path: s[:i]}
	if !strings.HasPrefix(t.Path, "/dev/") {
		return t, fmt.Errorf("%q: the device must be a path below /dev", s)
	}
	n, err := rate(s[i+1:])
	if err != nil {
		return t, fmt.Errorf("%q: the rate %q is no positive number", s, s[i+1:])
	}
	t.Rate = n
	return t, nil
}

// Ulimit reads NAME=SOFT[:HARD]; -1 is unlimited.
func Ulimit(s string) (engine.Ulimit, error) {
	u, err := units.ParseUlimit(s)
	if err != nil {
		return engine.Ulimit{}, err
	}
	return engine.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard}, nil
}
