package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
)

func TestColumns(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "UID PID PPID C STIME TTY TIME CMD",
		"-ef":                 "UID PID PPID C STIME TTY TIME CMD",
		"aux":                 "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
		"-o pid,comm":         "PID COMMAND",
		"-eo pid,user=WHO":    "PID WHO",
		"-o pid -o ppid":      "PID PPID",
		"-e":                  "PID TTY TIME CMD",
		"-o pid=Number,pcpu,": "Number %CPU",
	} {
		columns, err := psColumns(strings.Fields(args))
		if args == "-o pid -o ppid" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		var titles []string
		for _, c := range columns {
			titles = append(titles, c.title)
		}
		if got := strings.Join(titles, " "); err != nil || got != want {
			t.Errorf("%q: %q, %v", args, got, err)
		}
	}
	for _, args := range []string{"--bogus", "-o", "-o bogus", "-o pid;reboot"} {
		if _, err := psColumns(strings.Fields(args)); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestReadOwnProcess(t *testing.T) {
	p, err := readProcess(os.Getpid(), nil, machineTimes())
	if err != nil {
		t.Fatal(err)
	}
	if p.pid != os.Getpid() || p.ppid != os.Getppid() || p.uid != os.Geteuid() || !strings.Contains(p.args, os.Args[0]) || p.rss == 0 || p.threads < 1 {
		t.Errorf("%+v", p)
	}
	shifted, err := readProcess(os.Getpid(), &container.IDRange{Base: uint32(os.Geteuid())}, machineTimes())
	if err != nil || shifted.uid != 0 || shifted.user != "root" {
		t.Errorf("in a range that begins with its uid: %+v, %v", shifted, err)
	}
}

// A process chooses its name: neither a parenthesis in it nor a control character may mislead.
func TestHostileName(t *testing.T) {
	p := &process{}
	line := "42 (a) R 7 (\x1b[2J) S 1 2 3 34816 5 6 7 8 9 10 250 50 13 14 15 0 4 18 1000 4096 2 22 23 24"
	if err := p.parseStat([]byte(line)); err != nil {
		t.Fatal(err)
	}
	if p.comm != "a) R 7 (?[2J" || p.state != "S" || p.ppid != 1 || p.cpu != 3*time.Second || p.tty() != "pts/0" || p.threads != 4 {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", ")("} {
		if (&process{}).parseStat([]byte(bad)) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzStat(f *testing.F) {
	own, _ := os.ReadFile("/proc/self/stat")
	f.Add(own)
	f.Add([]byte("1 (a) b) S 1 2 3"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		p := &process{}
		if p.parseStat(b) == nil {
			_ = p.tty() + p.started() + p.args
		}
	})
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{65 * time.Second: "00:01:05", 25 * time.Hour: "1-01:00:00", -1: "00:00:00"} {
		if got := clock(d, true); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

func TestTopOfALostContainerIsNotRunning(t *testing.T) {
	e := testEngine(t)
	importImage(t, e, "base", `CMD ["sh"]`)
	mustCreate(t, e, CreateRequest{Name: "box", Image: "base"}, func(s *container.State) { s.Status = container.Running })
	if _, err := e.Top(context.Background(), "box", nil); !errors.Is(err, container.ErrNotRunning) {
		t.Error(err)
	}
}
