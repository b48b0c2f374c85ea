package logfile

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// all reads a log into one string per stream.
func all(t testing.TB, path string, q Query) (map[string]string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, errs strings.Builder
	damaged, err := Read(ctx, path, q, func(e *Entry) error {
		if e.Stream == "stderr" {
			errs.Write(e.Data)
		} else {
			out.Write(e.Data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"stdout": out.String(), "stderr": errs.String()}, damaged
}

func newLog(t testing.TB, l Limits) (string, *Writer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	w, err := Open(path, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return path, w
}

func write(t testing.TB, s *Stream, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if err := s.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

func seq(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// LOG-02, LOG-03, LOG-04 of the public bug cases, and what they leave out.
func TestTail(t *testing.T) {
	long := strings.Repeat("a", 100000) + "\n"
	for _, tc := range []struct {
		name   string
		limits Limits
		out    string
		tail   int
		want   string
	}{
		{"long line counts once", DefaultLimits, "first\n" + long + "end\n", 2, long + "end\n"},
		{"only the end of it", DefaultLimits, long + "end\n", 1, "end\n"},
		{"last line without line end", DefaultLimits, "one\ntwo", 1, "two"},
		{"long line without line end", DefaultLimits, "one\n" + long[:50000], 1, long[:50000]},
		{"more than there is", DefaultLimits, "one\ntwo\n", 9, "one\ntwo\n"},
		{"none", DefaultLimits, "one\ntwo\n", 0, ""},
		{"all", DefaultLimits, "one\ntwo\n", -1, "one\ntwo\n"},
		{"over rotated files", Limits{Size: 2 << 10, Files: 5}, seq(1, 100), 40, seq(61, 100)},
		{"many blocks", DefaultLimits, seq(1, 5000), 4000, seq(1001, 5000)},
		{"empty", DefaultLimits, "", 5, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path, w := newLog(t, tc.limits)
			s := w.Stream("stdout", nil)
			write(t, s, tc.out)
			if err := s.End(); err != nil {
				t.Fatal(err)
			}
			got, damaged := all(t, path, Query{Tail: tc.tail})
			if got["stdout"] != tc.want || damaged != 0 {
				t.Errorf("%d bytes %.80q, %d damaged; want %d bytes %.80q", len(got["stdout"]), got["stdout"], damaged, len(tc.want), tc.want)
			}
		})
	}
}

func TestTailOfTwoStreams(t *testing.T) {
	path, w := newLog(t, DefaultLimits)
	out, errs := w.Stream("stdout", nil), w.Stream("stderr", nil)
	long := strings.Repeat("e", 40000)
	write(t, out, "o1\n")
	write(t, errs, long[:20000])
	write(t, out, "o2\no3\n")
	write(t, errs, long[20000:]+"\n")
	write(t, out, "o4\n")
	got, _ := all(t, path, Query{Tail: 2})
	if got["stderr"] != long+"\n" || got["stdout"] != "o4\n" {
		t.Errorf("stdout %q, %d bytes of stderr", got["stdout"], len(got["stderr"]))
	}
}

// LOG-05: damage hides no other record.
func TestDamage(t *testing.T) {
	for _, tc := range []struct {
		name      string
		newline   bool // the line end is overwritten too
		wantLines int
		wantTail  int
	}{{"record", false, 19, 14}, {"record and line end", true, 19, 15}} {
		t.Run(tc.name, func(t *testing.T) {
			path, w := newLog(t, DefaultLimits)
			write(t, w.Stream("stdout", nil), seq(101, 120))
			b, _ := os.ReadFile(path)
			lines := bytes.SplitAfter(b, []byte("\n"))
			at := len(bytes.Join(lines[:9], nil))
			n := len(lines[9])
			if !tc.newline {
				n--
			}
			copy(b[at:], make([]byte, n))
			os.WriteFile(path, b, 0o600)
			got, damaged := all(t, path, Query{Tail: -1})
			if n := strings.Count(got["stdout"], "\n"); n != tc.wantLines || damaged != 1 {
				t.Errorf("%d lines and %d damaged", n, damaged)
			}
			got, damaged = all(t, path, Query{Tail: 15})
			if n := strings.Count(got["stdout"], "\n"); n < 14 || damaged != 1 {
				t.Errorf("tail: %d lines and %d damaged", n, damaged)
			}
		})
	}
}

func TestSinceUntilInclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var b strings.Builder
	base := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for i, l := range []string{"a", "b", "c"} {
		fmt.Fprintf(&b, `{"log":"%s\n","stream":"stdout","attrs":{"x":"y"},"time":"%s"}`+"\n", l, base.Add(time.Duration(i)).Format(time.RFC3339Nano))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	middle := base.Add(1)
	for _, tc := range []struct {
		q    Query
		want string
	}{
		{Query{Tail: -1, Since: middle}, "b\nc\n"},
		{Query{Tail: -1, Until: middle}, "a\nb\n"},
		{Query{Tail: -1, Until: base.Add(-1), Follow: true}, ""},
		{Query{Tail: 2, Until: middle}, "b\n"},
	} {
		if got, _ := all(t, path, tc.q); got["stdout"] != tc.want {
			t.Errorf("%+v gives %q, want %q", tc.q, got["stdout"], tc.want)
		}
	}
}

func TestFollowAcrossRotations(t *testing.T) {
	// The writer must not overtake the reader by all its files, so there are many.
	path, w := newLog(t, Limits{Size: 8 << 10, Files: 100})
	s := w.Stream("stdout", nil)
	write(t, s, seq(1, 10))
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 11; i <= 5000; i++ {
			write(t, s, fmt.Sprintln(i))
			if i%1000 == 0 {
				time.Sleep(20 * time.Millisecond)
			}
		}
		s.End()
		close(done)
	})
	got, damaged := all(t, path, Query{Tail: 5, Follow: true, Done: done})
	wg.Wait()
	lines := strings.Fields(got["stdout"])
	if lines[len(lines)-1] != "5000" || damaged != 0 {
		t.Fatalf("ends at %s, %d damaged", lines[len(lines)-1], damaged)
	}
	var first int
	fmt.Sscan(lines[0], &first)
	if want := seq(first, 5000); first < 6 || got["stdout"] != want {
		t.Errorf("from %s on the lines have a gap or come twice", lines[0])
	}
}

func TestFollowIsPrompt(t *testing.T) {
	path, w := newLog(t, DefaultLimits)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	lines := make(chan string)
	go Read(ctx, path, Query{Tail: 0, Follow: true}, func(e *Entry) error {
		lines <- string(e.Data)
		return nil
	})
	time.Sleep(50 * time.Millisecond)
	s := w.Stream("stdout", nil)
	for i := range 3 {
		write(t, s, fmt.Sprintln(i))
		select {
		case got := <-lines:
			if got != fmt.Sprintln(i) {
				t.Errorf("got %q", got)
			}
		case <-time.After(2 * time.Second):
			t.Fatal("no line within 2 s")
		}
	}
}

func TestReadWhatIsNotThere(t *testing.T) {
	got, damaged := all(t, filepath.Join(t.TempDir(), "none"), Query{Tail: 3})
	if got["stdout"] != "" || damaged != 0 {
		t.Error(got, damaged)
	}
}

// Whatever a container prints comes back equal, in whatever pieces it was read.
func TestRandomBytesComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		data := make([]byte, r.IntN(100000))
		alphabet := r.IntN(3)
		for i := range data {
			switch alphabet {
			case 0:
				data[i] = byte(r.IntN(256))
			case 1:
				data[i] = "abc\n\"\\<\x00é"[r.IntN(10)]
			default:
				data[i] = "xé"[r.IntN(3)]
			}
		}
		roundTrip(t, t.TempDir(), data, r.IntN(30000)+1)
	}
}

// roundTrip uses and empties dir.
func roundTrip(t testing.TB, dir string, data []byte, piece int) {
	t.Helper()
	path := filepath.Join(dir, "log")
	w, err := Open(path, Limits{Size: 50 << 10, Files: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		w.Close()
		for n := range 50 {
			os.Remove(Rotated(path, n))
		}
	}()
	s := w.Stream("stdout", nil)
	for rest := data; len(rest) > 0; {
		n := min(piece, len(rest))
		if err := s.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	got, damaged := all(t, path, Query{Tail: -1})
	if got["stdout"] != string(data) || damaged != 0 {
		t.Fatalf("%d bytes in pieces of %d came back as %d, %d records damaged", len(data), piece, len(got["stdout"]), damaged)
	}
	if got, _ := all(t, path, Query{Tail: 1 << 20}); got["stdout"] != string(data) {
		t.Fatalf("tail of everything: %d bytes came back as %d", len(data), len(got["stdout"]))
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("one\ntwo"), 1)
	f.Add([]byte("\xff\xc3\n\xe2\x80\xa8"), 2)
	f.Add(bytes.Repeat([]byte("é"), 9000), 16383)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, piece int) {
		roundTrip(t, dir, data, max(1, piece%40000))
	})
}

// The file is the container's own output: whatever stands in it, the reader stays well.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\n","stream":"stdout","time":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"log":"\ud83d\ude00\u00e9","stream":"stderr","raw":"/w==","time":"2026-01-02T03:04:05.1Z"}`))
	f.Add([]byte("\x00\x00{\"log\":\"\\u12"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e, slow Entry
		if _, err := e.decode(line); err != nil {
			return
		}
		if e.decodeRecord(line) == nil && slow.decodeJSON(line) == nil && (!bytes.Equal(e.Data, slow.Data) || !e.Time.Equal(slow.Time)) {
			t.Errorf("%q is %q, encoding/json gives %q", line, e.Data, slow.Data)
		}
	})
}
