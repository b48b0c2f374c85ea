package nofile_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"gourd/internal/linux/nofile"
)

// TestOriginalLimit starts this test again under another soft limit.
func TestOriginalLimit(t *testing.T) {
	if os.Getenv("NOFILE_CHILD") != "" {
		if nofile.Soft != 57 {
			t.Fatalf("the soft limit at the start is given as %d, not 57", nofile.Soft)
		}
		return
	}
	cmd := exec.Command("sh", "-c", `ulimit -Sn 57; exec "$0" -test.run TestOriginalLimit -test.v`, os.Args[0])
	cmd.Env = append(os.Environ(), "NOFILE_CHILD=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Fatalf("%v: %s", err, out)
	}
}
