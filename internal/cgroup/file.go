package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// open opens a file of a group. Names come from specifications ("unified"), so one that isn't a plain
// file name is refused.
func open(dir, file string, flags int) (*os.File, error) {
	if file == "" || strings.Contains(file, "/") || file == ".." {
		return nil, fmt.Errorf("%q is not the name of a cgroup file", file)
	}
	name := dir + "/" + file
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readFile reads a file of a group.
func readFile(dir, file string) (string, error) {
	f, err := open(dir, file, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return string(b), err
}

// writeFile writes a value in one write(2), as cgroup files want it.
func writeFile(dir, file, value string) error {
	if file == "" || strings.Contains(file, "/") || file == ".." {
		return fmt.Errorf("%q is not the name of a cgroup file", file)
	}
	name := dir + "/" + file
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	for {
		_, err = unix.Write(fd, []byte(value))
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return &os.PathError{Op: fmt.Sprintf("write %q to", value), Path: name, Err: err}
	}
	return nil
}

// readPids reads cgroup.procs. Processes of another pid namespace show as 0 and are left out: they
// can't be named from here.
func readPids(dir string) ([]int, error) {
	b, err := readFile(dir, "cgroup.procs")
	if err != nil {
		return nil, err
	}
	var pids []int
	for f := range strings.FieldsSeq(b) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("read %s/cgroup.procs: %q is not a pid", dir, f)
		}
		if pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// readUint reads a file with one number; "max" is what all bits set say.
func readUint(dir, file string) (uint64, error) {
	s, err := readFile(dir, file)
	if err != nil {
		return 0, err
	}
	return parseUint(strings.TrimSpace(s))
}

// parseUint reads a number of a cgroup file. "max" is the greatest; v1 shows some negative (memory
// counters that ran backwards), which count as 0.
func parseUint(s string) (uint64, error) {
	if s == "max" {
		return ^uint64(0), nil
	}
	if strings.HasPrefix(s, "-") {
		if _, err := strconv.ParseInt(s, 10, 64); err != nil {
			return 0, err
		}
		return 0, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// parseKeyed reads a flat keyed file ("key value" a line: memory.stat, cpu.stat, memory.events).
// Lines of another shape are left out.
func parseKeyed(b []byte) map[string]uint64 {
	m := make(map[string]uint64, bytes.Count(b, []byte{'\n'}))
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		if v, err := parseUint(f[1]); err == nil {
			m[f[0]] = v
		}
	}
	return m
}

// readKeyed reads a flat keyed file of a group.
func readKeyed(dir, file string) (map[string]uint64, error) {
	b, err := readFile(dir, file)
	if err != nil {
		return nil, err
	}
	return parseKeyed([]byte(b)), nil
}

// isUnavailable says that a file is there but has nothing to tell on this kernel: PSI switched off, a
// controller without data.
func isUnavailable(err error) bool { return errors.Is(err, unix.EOPNOTSUPP) }
