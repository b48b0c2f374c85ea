package opts

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"gourd/internal/container"
)

// Restart reads a --restart argument: no, always, unless-stopped, on-failure[:MAX].
func Restart(s string) (container.Restart, error) {
	name, count, counted := strings.Cut(s, ":")
	r := container.Restart{Name: name}
	switch name {
	case "", "no", "always", "unless-stopped", "on-failure":
	default:
		return r, fmt.Errorf("%q is no restart policy: no, always, unless-stopped or on-failure[:MAX]", s)
	}
	if !counted {
		return r, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return r, fmt.Errorf("%q: the maximum must be a number, 0 or more", s)
	}
	if name != "on-failure" && n > 0 {
		return r, fmt.Errorf("%q: only on-failure takes a maximum", s)
	}
	r.MaxRetries = n
	return r, nil
}

// SecurityOpt reads a --security-opt argument. For seccomp=FILE it reads the file, which is the
// caller's. "key:value" is docker's old spelling.
func SecurityOpt(s string) (string, error) {
	key, value, found := strings.Cut(s, "=")
	if !found {
		key, value, found = strings.Cut(s, ":")
	}
	switch key {
	case "no-new-privileges":
		if !found {
			value = "true"
		}
		if _, err := strconv.ParseBool(value); err != nil {
			return "", fmt.Errorf("no-new-privileges=%s: it must be true or false", value)
		}
	case "seccomp", "apparmor", "label", "systempaths":
		if value == "" {
			return "", fmt.Errorf("%q must be %s=VALUE", s, key)
		}
	case "writable-cgroups", "credentialspec":
		return "", fmt.Errorf("%s is not supported yet", key)
	default:
		return "", fmt.Errorf("%q is unknown: no-new-privileges, seccomp, apparmor, label or systempaths", s)
	}
	if key != "seccomp" || value == "unconfined" || value == "builtin" || strings.HasPrefix(value, "{") {
		return key + "=" + value, nil
	}
	profile, err := os.ReadFile(value)
	if err != nil {
		return "", fmt.Errorf("read seccomp profile: %w", err)
	}
	return "seccomp=" + string(profile), nil
}

// Platform checks the form of OS[/ARCH[/VARIANT]].
func Platform(s string) (string, error) {
	parts := strings.Split(s, "/")
	for _, p := range parts {
		if p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "" {
			return "", fmt.Errorf("%q is not OS[/ARCH[/VARIANT]]", s)
		}
	}
	if len(parts) > 3 {
		return "", fmt.Errorf("%q is not OS[/ARCH[/VARIANT]]", s)
	}
	return strings.ToLower(s), nil
}

// Streams reads the -a arguments.
func Streams(list []string) (stdin, stdout, stderr bool, err error) {
	for _, s := range list {
		switch strings.ToLower(s) {
		case "stdin":
			stdin = true
		case "stdout":
			stdout = true
		case "stderr":
			stderr = true
		default:
			return false, false, false, errors.New("-a " + s + ": it must be stdin, stdout or stderr")
		}
	}
	return stdin, stdout, stderr, nil
}
