package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// security is --security-opt, read.
type security struct {
	NoNewPrivs  bool
	Seccomp     string // "" the default profile, "unconfined", or a profile's JSON text
	AppArmor    string // profile name, "" for none
	SELinux     string // process label, "" for none
	SystemPaths bool   // nothing in /proc and /sys is masked or read-only
}

// parseSecurity reads the options. What needs a security module that this kernel doesn't run is refused,
// since the user would believe in a wall that isn't there.
func parseSecurity(options []string, m *machine) (*security, error) {
	s := &security{}
	var labels []string
	for _, option := range options {
		name, value, hasValue := strings.Cut(option, "=")
		if !hasValue {
			name, value, hasValue = strings.Cut(option, ":") // docker's older spelling
		}
		var err error
		switch name {
		case "no-new-privileges":
			s.NoNewPrivs, err = parseSwitch(value, hasValue)
		case "seccomp":
			s.Seccomp, err = seccompOption(value)
		case "apparmor":
			s.AppArmor, err = apparmorOption(value, m)
		case "label":
			labels = append(labels, value)
		case "systempaths":
			if s.SystemPaths = value == "unconfined"; !s.SystemPaths {
				err = errText("the only value is unconfined")
			}
		default:
			err = errText("there is no such option")
		}
		if err != nil {
			return nil, invalid("use --security-opt", short(option), err.Error(), "seccomp=, no-new-privileges, systempaths=unconfined, apparmor=, label=")
		}
	}
	var err error
	s.SELinux, err = selinuxLabel(labels, m)
	return s, err
}

// short cuts what is too long for a message: a profile's text.
func short(s string) string {
	if len(s) > 60 {
		return s[:57] + "..."
	}
	return s
}

func parseSwitch(value string, given bool) (bool, error) {
	if !given {
		return true, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", value)
	}
	return on, nil
}

func seccompOption(value string) (string, error) {
	switch {
	case value == "builtin":
		return "", nil
	case value == "unconfined", strings.HasPrefix(strings.TrimSpace(value), "{"):
		return value, nil
	}
	return "", errText("it is neither unconfined, builtin, nor a profile")
}

func apparmorOption(value string, m *machine) (string, error) {
	if value == "unconfined" || value == "" {
		return "", nil
	}
	if !m.AppArmor {
		return "", errText("AppArmor is not enabled on this machine")
	}
	return value, nil
}

// selinuxLabel makes a process label of label=user:U, role:, type:, level:; label=disable is none.
func selinuxLabel(labels []string, m *machine) (string, error) {
	part := map[string]string{"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
	names := []string{"user", "role", "type", "level"}
	set := false
	for _, l := range labels {
		if l == "disable" {
			continue
		}
		name, value, _ := strings.Cut(l, ":")
		if !slices.Contains(names, name) || value == "" {
			return "", invalid("use --security-opt", "label="+l, "it is not of the form label=type:VALUE", "user, role, type, level or disable")
		}
		part[name], set = value, true
	}
	if !set || slices.Contains(labels, "disable") {
		return "", nil
	}
	if !m.SELinux {
		return "", unsupported("use --security-opt", "label="+labels[0], "SELinux is not enabled on this machine", "leave it out")
	}
	return part["user"] + ":" + part["role"] + ":" + part["type"] + ":" + part["level"], nil
}

// maskedPaths tell a container about the host, or let it reach it (docker's list; powercap: CVE-2020-8694,
// interrupts and thermal_throttle: timing of the neighbours). thermal are the latter's paths.
func maskedPaths(thermal []string) []string {
	return append([]string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}, thermal...)
}

// readonlyPaths are switches of the host's kernel.
var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
