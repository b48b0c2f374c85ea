package cli

import (
	"strings"
	"testing"

	"gourd/test/harness"
)

// TestKeepID: the user behind sudo is the same user inside, and owns what it makes in a bind.
func TestKeepID(t *testing.T) {
	g := harness.New(t)
	g.Env = []string{"SUDO_UID=1000", "SUDO_GID=1000"}
	if got := strings.TrimSpace(g.Must("run", "--rm", "--network", "none", "--userns", "keep-id", g.Busybox(), "id", "-u")); got != "1000" {
		t.Errorf("inside the user is %s; want 1000", got)
	}
	g.Env = []string{"SUDO_UID="}
	g.Fails(125, []string{"root"}, "run", "--rm", "--userns", "keep-id", "busybox", "true")
}

// TestRootfsThatHoldsTheStore: the machine's own root, and a directory between it and the writable layer,
// with and without a user namespace.
func TestRootfsThatHoldsTheStore(t *testing.T) {
	g := harness.New(t)
	for _, mode := range []string{"auto", "host"} {
		for dir, command := range map[string]string{"/": "/bin/ls", "/var": "/nosuch"} {
			r := g.Run("run", "--rm", "--network", "none", "--userns", mode, "--rootfs", dir+":O", command, "/")
			if want := map[string]int{"/": 0, "/var": 127}[dir]; r.Code != want {
				t.Errorf("%s with user namespace %s: exit code %d; want %d: %s", dir, mode, r.Code, want, r.Stderr)
			}
		}
	}
}
