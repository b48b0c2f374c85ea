package opts

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lookup finds a variable in the caller's environment: os.LookupEnv.
type Lookup func(name string) (value string, found bool)

// Env reads one -e argument: "K=V" stands as it is, a bare "K" takes the caller's value; if the caller
// has none it stays bare, which removes K from the image's environment (docker does the same).
func Env(s string, lookup Lookup) (string, error) {
	name, _, hasValue := strings.Cut(s, "=")
	if name == "" {
		return "", fmt.Errorf("invalid environment variable %q: it has no name", s)
	}
	if strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("invalid environment variable %q: it has a NUL byte", s)
	}
	if hasValue || lookup == nil {
		return s, nil
	}
	if value, found := lookup(name); found {
		return name + "=" + value, nil
	}
	return s, nil
}

// ReadEnvFile reads a file of "K=V" lines, as --env-file does. A bare "K" takes the caller's value and
// is left out if there is none; with a nil lookup (--label-file) it stays bare. Errors name the file,
// the line's number and its text.
func ReadEnvFile(path string, lookup Lookup) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseEnvFile(path, b, lookup)
}

func parseEnvFile(path string, b []byte, lookup Lookup) ([]string, error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	var list []string
	for i, raw := range strings.Split(string(b), "\n") {
		line := strings.TrimLeftFunc(strings.TrimSuffix(raw, "\r"), unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := checkEnvLine(line); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, i+1, err)
		}
		if strings.Contains(line, "=") || lookup == nil {
			list = append(list, line)
		} else if value, found := lookup(line); found {
			list = append(list, line+"="+value)
		}
	}
	return list, nil
}

func checkEnvLine(line string) error {
	name, _, _ := strings.Cut(line, "=")
	switch {
	case !utf8.ValidString(line):
		return fmt.Errorf("%q is not UTF-8", line)
	case strings.ContainsRune(line, 0):
		return fmt.Errorf("%q has a NUL byte", line)
	case name == "":
		return fmt.Errorf("%q has no name before the '='", line)
	case strings.ContainsAny(name, " \t"):
		return fmt.Errorf("%q: the name %q has white space in it; a value can't go on over several lines", line, name)
	}
	return nil
}

// KeyValue reads "K=V" (a label, a log option, a sysctl); a bare "K" has the empty value.
func KeyValue(s string) (key, value string, err error) {
	key, value, _ = strings.Cut(s, "=")
	if key == "" {
		return "", "", fmt.Errorf("%q has no name before the '='", s)
	}
	return key, value, nil
}
