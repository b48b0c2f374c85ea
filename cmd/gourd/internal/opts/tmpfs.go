package opts

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// tmpfsFlags are the mount options without a value that --tmpfs takes (mount(8)).
var tmpfsFlags = map[string]bool{
	"ro": true, "rw": true, "exec": true, "noexec": true, "suid": true, "nosuid": true, "dev": true, "nodev": true,
	"sync": true, "async": true, "dirsync": true, "atime": true, "noatime": true, "diratime": true, "nodiratime": true,
	"relatime": true, "norelatime": true, "strictatime": true, "nostrictatime": true, "mand": true, "nomand": true,
	"bind": false, "private": true, "rprivate": true, "shared": true, "rshared": true, "slave": true, "rslave": true, "unbindable": true, "runbindable": true,
}

// Tmpfs reads a --tmpfs argument, DESTINATION[:OPTIONS], and checks the options' form (tmpfs(5)).
func Tmpfs(s string) (destination, options string, err error) {
	destination, options, _ = strings.Cut(s, ":")
	if !path.IsAbs(destination) || path.Clean(destination) == "/" {
		return "", "", fmt.Errorf("invalid tmpfs %q: the destination must be an absolute path below \"/\"", s)
	}
	if options == "" {
		return path.Clean(destination), "", nil
	}
	for _, o := range strings.Split(options, ",") {
		if err := tmpfsOption(o); err != nil {
			return "", "", fmt.Errorf("invalid tmpfs %q: %w", s, err)
		}
	}
	return path.Clean(destination), options, nil
}

func tmpfsOption(o string) error {
	key, value, hasValue := strings.Cut(o, "=")
	if !hasValue {
		if !tmpfsFlags[o] {
			return fmt.Errorf("unknown option %q", o)
		}
		return nil
	}
	ok := false
	switch key {
	case "size":
		ok = isTmpfsSize(strings.TrimSuffix(value, "%"))
	case "nr_blocks", "nr_inodes":
		ok = isTmpfsSize(value)
	case "mode":
		mode, err := strconv.ParseUint(value, 8, 32)
		ok = err == nil && mode <= 0o7777
	case "uid", "gid":
		_, err := strconv.ParseUint(value, 10, 31)
		ok = err == nil
	case "mpol", "huge":
		ok = value != ""
	default:
		return fmt.Errorf("unknown option %q", key)
	}
	if !ok {
		return fmt.Errorf("%s can't be %q", key, value)
	}
	return nil
}

// isTmpfsSize accepts what the kernel's memparse does: a number and one of k, m, g, t, p, e.
func isTmpfsSize(s string) bool {
	if n := len(s); n > 0 && strings.ContainsRune("kKmMgGtTpPeE", rune(s[n-1])) {
		s = s[:n-1]
	}
	_, err := strconv.ParseUint(s, 10, 63)
	return err == nil
}
