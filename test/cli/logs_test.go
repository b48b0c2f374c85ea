package cli

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gourd/test/harness"
)

// LOG-01: vectordotdev/vector#14644.
func TestLogKeepsBytes(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	for name, program := range map[string]string{
		"border": `printf x; i=0; while [ $i -lt 8200 ]; do printf "\303\251"; i=$((i+1)); done; echo`,
		"binary": `head -c 100000 /dev/urandom`,
		"bad":    `printf 'a\377b\300\200\n\355\240\200'`,
	} {
		r := g.Run("run", "--name", name, "busybox", "sh", "-c", program)
		if log := g.Run("logs", name); log.Stdout != r.Stdout || r.Stdout == "" {
			t.Errorf("%s: %d bytes came out, %d are in the log, different", name, len(r.Stdout), len(log.Stdout))
		}
	}
}

// LOG-02: containers/podman#19545, containers/podman#1601.
func TestTailCountsLines(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "--name", "c", "busybox", "sh", "-c", `head -c 100000 /dev/zero | tr "\0" a; echo; echo end`)
	if n := len(g.Run("logs", "--tail", "2", "c").Stdout); n != 100005 {
		t.Errorf("--tail 2 gives %d bytes", n)
	}
	want(t, g.Run("logs", "--tail", "1", "c"), 0, "end\n")
	want(t, g.Run("logs", "-n", "0", "c"), 0, "")
}

// LOG-03: containers/podman#14458, containers/conmon#252.
func TestLastLineWithoutNewline(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "--name", "c", "busybox", "sh", "-c", "echo one; printf two")
	want(t, g.Run("logs", "c"), 0, "one\ntwo")
	want(t, g.Run("logs", "--tail", "1", "c"), 0, "two")
}

// LOG-04: moby#27687.
func TestTailOverRotatedFiles(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "--name", "c", "--log-opt", "max-size=2k", "--log-opt", "max-file=3", "busybox", "seq", "1", "100")
	all := strings.Fields(g.Run("logs", "c").Stdout)
	first, _ := strconv.Atoi(all[0])
	for i, s := range all {
		if s != strconv.Itoa(first+i) {
			t.Fatalf("line %d is %s: a gap", i, s)
		}
	}
	if all[len(all)-1] != "100" || len(all) < 60 {
		t.Errorf("%d lines that end at %s", len(all), all[len(all)-1])
	}
	tail := strings.Fields(g.Run("logs", "--tail", "40", "c").Stdout)
	if len(tail) != 40 || tail[0] != "61" {
		t.Errorf("--tail 40: %d lines from %s", len(tail), tail[0])
	}
}

// LOG-05: moby#53631, moby#29511.
func TestADamagedRecordDoesNotHideTheRest(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "--name", "c", "busybox", "sh", "-c", "for i in $(seq 1 20); do echo line $i; done")
	path := g.Must("inspect", "-f", "{{.LogPath}}", "c")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	copy(lines[9], make([]byte, len(lines[9])-1)) // its line end stays
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	for tail, n := range map[string]int{"all": 19, "15": 14} {
		r := g.Run("logs", "--tail", tail, "c")
		if got := strings.Count(r.Stdout, "\n"); got != n || r.Code != 0 || !strings.Contains(r.Stderr, "notice") {
			t.Errorf("--tail %s: %d lines, want %d; exit code %d, %q", tail, got, n, r.Code, r.Stderr)
		}
	}
}

// LOG-06.
func TestSinceAndUntil(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "--name", "c", "busybox", "sh", "-c", "echo a; sleep 1.2; echo b; sleep 1.2; echo c")
	stamped := strings.Split(g.Run("logs", "-t", "c").Stdout, "\n")
	at, _, _ := strings.Cut(stamped[1], " ")
	if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
		t.Fatalf("time stamp %q: %v", at, err)
	}
	want(t, g.Run("logs", "--since", at, "c"), 0, "b\nc\n")
	want(t, g.Run("logs", "--until", at, "c"), 0, "a\nb\n")
	want(t, g.Run("logs", "-f", "--until", "2000-01-01T00:00:00Z", "c"), 0, "")
	want(t, g.Run("logs", "--since", "1h", "c"), 0, "a\nb\nc\n")
	g.Fails(1, []string{"--since"}, "logs", "--since", "nonsense", "c")
	g.Fails(1, []string{"nosuch"}, "logs", "nosuch")
}

func TestFollow(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	g.Must("run", "-d", "--name", "c", "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done; echo err >&2")
	r := g.Run("logs", "-f", "c")
	if r.Stdout != "1\n2\n3\n4\n5\n" || r.Stderr != "err\n" || r.Code != 0 {
		t.Errorf("exit code %d, out %q, err %q", r.Code, r.Stdout, r.Stderr)
	}
	g.Must("run", "--name", "n", "--log-driver", "none", "busybox", "echo", "x")
	if r := g.Run("logs", "n"); r.Code != 1 || !strings.Contains(r.Stderr, "none") {
		t.Errorf("logs of driver none: exit code %d, %s", r.Code, r.Stderr)
	}
}
