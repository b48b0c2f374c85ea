package runtime

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"gourd/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxPasswd bounds what is read of a file that an image brings (CVE-2026-47262).
const maxPasswd = 1 << 20

// setHome adds HOME to an environment that has none, from the container's /etc/passwd, as runc does and its
// callers rely on; "/" if the user isn't there.
func (b *build) setHome(proc *specs.Process) error {
	if hasHome(proc.Env) {
		return nil
	}
	home := "/"
	if !b.plan {
		home = homeOf(b.rootMount, proc.User.UID)
	}
	proc.Env = append(proc.Env[:len(proc.Env):len(proc.Env)], "HOME="+home)
	return nil
}

// homeOf looks a user's home directory up in a container's /etc/passwd (passwd(5)).
func homeOf(root int, uid uint32) string {
	fd, err := linux.OpenInRootFD(root, "etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "/"
	}
	f := os.NewFile(uintptr(fd), "/etc/passwd")
	defer f.Close()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "/"
	}
	return findHome(io.LimitReader(f, maxPasswd), uid)
}

func findHome(r io.Reader, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Split(s.Text(), ":")
		if len(f) >= 6 && f[2] == want && f[5] != "" {
			return f[5]
		}
	}
	return "/"
}
