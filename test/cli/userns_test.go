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
