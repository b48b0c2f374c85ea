package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gourd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfig(t *testing.T) {
	c, err := LoadConfig(writeConfig(t, `
root = "/srv/gourd"
storage-driver = "overlay"
default-runtime = "crun"
[runtimes.crun]
path = "/usr/bin/crun"
args = ["--debug"]
[ids]
base = 0x30000000
size = 0x100000
[network]
default = "none"
subnet = "10.9.0.0/16"
[log.opts]
max-size = "1m"
`), true)
	if err != nil {
		t.Fatal(err)
	}
	if c.Root != "/srv/gourd" || c.State != "/run/gourd" || c.Runtimes["crun"].Args[0] != "--debug" || c.IDs.Base != 0x30000000 ||
		c.Network.subnet.Bits() != 16 || c.Log.Opts["max-size"] != "1m" || c.Log.Opts["max-file"] != "3" || c.File == "" {
		t.Errorf("%+v", c)
	}
	for text, says := range map[string]string{
		"root = 1":                        "line 1",
		"\nbogus = true":                  `"bogus"`,
		"[network]\ndefault = \"mine\"":   "mine",
		"[network]\nsubnet = \"x\"":       "subnet",
		"root = \"relative\"":             "absolute",
		"[ids]\nbase = 5":                 "ids",
		"default-runtime = \"x\"":         "runtimes",
		"[runtimes.x]\npath = \"runc\"":   "absolute",
		"root = \"/a\"\nroot = \"/b\"\n[": "line",
	} {
		if _, err := LoadConfig(writeConfig(t, text), true); !errors.Is(err, container.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if c, err := LoadConfig("/nosuch/gourd.toml", false); err != nil || c.Root != "/var/lib/gourd" {
		t.Errorf("missing file: %+v, %v", c, err)
	}
	if _, err := LoadConfig("/nosuch/gourd.toml", true); !errors.Is(err, container.ErrInvalid) {
		t.Errorf("missing file that was named: %v", err)
	}
}

// TestOpenIsCheap: it is paid by every command.
func TestOpenIsCheap(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Root, cfg.State = filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "state")
	best := time.Hour
	for range 20 {
		begin := time.Now()
		if _, err := Open(cfg); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(begin))
	}
	if best > time.Millisecond {
		t.Errorf("opening takes %v", best)
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"10m", "1.5g", "", "k", "9e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseSize(s); err == nil && n < 0 {
			t.Errorf("%q is %d", s, n)
		}
	})
}
