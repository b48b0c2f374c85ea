package monitor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"gourd/internal/container"
	"gourd/internal/container/control"
	"gourd/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// account is who a process runs as, in the container's own numbers.
type account struct {
	UID, GID uint32
	Groups   []uint32 // supplementary, the primary one first (CVE-2022-36109: without it, negative group permissions don't hold)
	Home     string
}

// maxID is the largest user or group number there is: larger ones wrap to root somewhere on their way
// (CVE-2024-40635).
const maxID = 1<<31 - 1

// Bounds for the container's own files, which may be hostile (CVE-2026-47262: a group file of 1 GB).
const (
	maxAccountFile = 16 << 20
	maxAccountLine = 1 << 20
)

// resolveUser finds out who `user[:group]` and --group-add mean, from /etc/passwd and /etc/group of the
// root filesystem. Digits are always a number, never a name (CVE-2016-3697). "" is user 0.
// Errors: ErrInvalid for an unknown name or a number that is too large.
func resolveUser(root *os.File, spec string, groupAdd []string) (*account, error) {
	user, group, _ := strings.Cut(spec, ":")
	if strings.Contains(group, ":") {
		return nil, container.Invalid("use user", strconv.Quote(spec), errors.New("it is not USER or USER:GROUP"), "")
	}
	a := &account{Home: "/"}
	name, err := a.lookUpUser(root, user)
	if err != nil {
		return nil, err
	}
	groups, err := a.lookUpGroup(root, group, name)
	if err != nil {
		return nil, err
	}
	added, err := lookUpAdded(root, groupAdd)
	if err != nil {
		return nil, err
	}
	a.Groups = []uint32{a.GID}
	for _, g := range append(groups, added...) {
		if !slices.Contains(a.Groups, g) {
			a.Groups = append(a.Groups, g)
		}
	}
	return a, nil
}

// lookUpUser sets the user's number, primary group and home directory, and gives its name if it has one.
func (a *account) lookUpUser(root *os.File, user string) (name string, err error) {
	uid, numeric, err := number("user", user)
	if err != nil {
		return "", err
	}
	found := false
	err = readAccounts(root, "etc/passwd", func(f []string) bool {
		if len(f) < 4 || f[0] == "" {
			return false
		}
		u, uerr := strconv.ParseUint(f[2], 10, 31)
		g, gerr := strconv.ParseUint(f[3], 10, 31)
		if uerr != nil || gerr != nil || numeric && uint32(u) != uid || !numeric && f[0] != user {
			return false
		}
		found, name = true, f[0]
		a.UID, a.GID = uint32(u), uint32(g)
		if len(f) > 5 && strings.HasPrefix(f[5], "/") {
			a.Home = f[5]
		}
		return true
	})
	switch {
	case err != nil:
		return "", err
	case !found && numeric:
		a.UID = uid
	case !found:
		return "", unknown("user", user, "passwd")
	}
	return name, nil
}

// lookUpGroup sets the primary group if one was asked for; else it gives the groups that list the user.
func (a *account) lookUpGroup(root *os.File, group, user string) (member []uint32, err error) {
	if group == "" && user == "" {
		return nil, nil
	}
	gid, numeric, err := number("group", group)
	if err != nil {
		return nil, err
	}
	if group != "" && numeric {
		a.GID = gid
		return nil, nil
	}
	found := false
	err = readGroups(root, func(name string, g uint32, members string) bool {
		switch {
		case group != "" && name == group:
			a.GID, found = g, true
		case group == "" && listed(members, user):
			member = append(member, g)
		}
		return found
	})
	if err == nil && group != "" && !found {
		err = unknown("group", group, "group")
	}
	return member, err
}

// lookUpAdded resolves the groups of --group-add.
func lookUpAdded(root *os.File, groups []string) ([]uint32, error) {
	var gids []uint32
	wanted := map[string]bool{}
	for _, group := range groups {
		if group == "" {
			return nil, unknown("group", group, "group")
		}
		gid, numeric, err := number("group", group)
		switch {
		case err != nil:
			return nil, err
		case numeric:
			gids = append(gids, gid)
		default:
			wanted[group] = true
		}
	}
	if len(wanted) == 0 {
		return gids, nil
	}
	err := readGroups(root, func(name string, g uint32, _ string) bool {
		if wanted[name] {
			gids = append(gids, g)
			delete(wanted, name)
		}
		return len(wanted) == 0
	})
	if err != nil {
		return nil, err
	}
	for name := range wanted {
		return nil, unknown("group", name, "group")
	}
	return gids, nil
}

// number reads a user's or group's number. What has a character that is no digit is a name; "" is 0.
func number(what, s string) (id uint32, numeric bool, err error) {
	if s == "" {
		return 0, true, nil
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > maxID {
		return 0, false, container.Invalid("use "+what, s, fmt.Errorf("its number is larger than %d", maxID), "")
	}
	return uint32(n), true, nil
}

func unknown(what, name, file string) error {
	return container.Invalid("use "+what, strconv.Quote(name), fmt.Errorf("there is no such %s in the container's /etc/%s", what, file), "give its number, or add it to the image")
}

// listed says whether a comma-separated list names user.
func listed(members, user string) bool {
	for m := range strings.SplitSeq(members, ",") {
		if m == user {
			return true
		}
	}
	return false
}

// readGroups gives each well-formed line of /etc/group to f until it returns true.
func readGroups(root *os.File, f func(name string, gid uint32, members string) bool) error {
	return readAccounts(root, "etc/group", func(fields []string) bool {
		if len(fields) < 3 || fields[0] == "" {
			return false
		}
		gid, err := strconv.ParseUint(fields[2], 10, 31)
		if err != nil {
			return false
		}
		members := ""
		if len(fields) > 3 {
			members = fields[3]
		}
		return f(fields[0], uint32(gid), members)
	})
}

// readAccounts gives the fields of each line of a passwd(5) or group(5) file to f until it returns true.
// A file that is missing is empty. Errors: ErrInvalid for one that is no regular file, or too large.
func readAccounts(root *os.File, path string, f func(fields []string) bool) error {
	file, err := openRegular(root, path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	limited := &io.LimitedReader{R: file, N: maxAccountFile}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxAccountLine)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if f(strings.Split(line, ":")) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return container.Invalid("read the container's", "/"+path, err, "")
	}
	if limited.N == 0 {
		return container.Invalid("read the container's", "/"+path, fmt.Errorf("it is larger than %d MiB", maxAccountFile>>20), "")
	}
	return nil
}

// openRegular opens a regular file of the root filesystem. Whatever else stands there is refused before
// anything is read: opening a FIFO or device could hang or do harm (O_NONBLOCK, then S_ISREG).
func openRegular(root *os.File, path string) (*os.File, error) {
	f, err := linux.OpenInRoot(root, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENOENT) {
		return nil, os.ErrNotExist
	}
	if err != nil {
		return nil, container.Invalid("open the container's", "/"+path, err, "")
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, container.Invalid("open the container's", "/"+path, errors.New("it is not a regular file"), "")
	}
	return f, nil
}

// applyUserIn makes an exec process run as its user, looked up in the root of the running container.
func applyUserIn(pid int, e *control.Exec, p *specs.Process) error {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("look into the container: %w", err)
	}
	defer root.Close()
	a, err := resolveUser(root, e.User, e.GroupAdd)
	if err != nil {
		return err
	}
	a.apply(p)
	return nil
}
