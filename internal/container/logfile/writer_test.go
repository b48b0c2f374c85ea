package logfile

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// record is what docker's own reader decodes.
type dockerLine struct {
	Log    string
	Stream string
	Time   time.Time
}

func decodeAll(t *testing.T, path string) []dockerLine {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []dockerLine
	for _, l := range bytes.SplitAfter(b, []byte("\n")) {
		if len(l) == 0 {
			continue
		}
		var d dockerLine
		if err := json.Unmarshal(l, &d); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		lines = append(lines, d)
	}
	return lines
}

func TestRecordsAreDockers(t *testing.T) {
	long := strings.Repeat("a", 40000)
	for _, tc := range []struct {
		name string
		in   []string
		want []string
	}{
		{"lines", []string{"one\ntwo\n"}, []string{"one\n", "two\n"}},
		{"a line in pieces", []string{"o", "ne", "\n"}, []string{"one\n"}},
		{"no line end", []string{"one\ntwo"}, []string{"one\n", "two"}},
		{"empty lines", []string{"\n\n"}, []string{"\n", "\n"}},
		{"long line", []string{long + "\nend\n"}, []string{long[:MaxPiece], long[:MaxPiece], long[:40000-2*MaxPiece] + "\n", "end\n"}},
		{"exactly a piece", []string{long[:MaxPiece] + "\n"}, []string{long[:MaxPiece], "\n"}},
		{"line end is the last byte of a piece", []string{long[:MaxPiece-1] + "\n"}, []string{long[:MaxPiece-1] + "\n"}},
		{
			"character on the border",
			[]string{"x" + strings.Repeat("é", 8200) + "\n"},
			[]string{"x" + strings.Repeat("é", 8191), strings.Repeat("é", 9) + "\n"},
		},
		{"escapes", []string{"a\"b\\c\x00\x1f\x7f\t\r<>&\u2028é😀\n"}, []string{"a\"b\\c\x00\x1f\x7f\t\r<>&\u2028é😀\n"}},
		{"not UTF-8", []string{"a\xff\xc3b\n"}, []string{"a\ufffd\ufffdb\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			w, err := Open(path, DefaultLimits)
			if err != nil {
				t.Fatal(err)
			}
			s := w.Stream("stdout", nil)
			for _, p := range tc.in {
				if err := s.Write([]byte(p)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.End(); err != nil {
				t.Fatal(err)
			}
			got := decodeAll(t, path)
			if len(got) != len(tc.want) {
				t.Fatalf("%d records, want %d", len(got), len(tc.want))
			}
			for i, d := range got {
				if d.Log != tc.want[i] || d.Stream != "stdout" || time.Since(d.Time) > time.Minute {
					t.Errorf("record %d is %.60q %s %s, want %.60q", i, d.Log, d.Stream, d.Time, tc.want[i])
				}
			}
		})
	}
}

// Docker escapes as encoding/json does; the file must be the same to the byte.
func TestEscapesAsEncodingJSON(t *testing.T) {
	for c := range 0x3000 {
		if c >= 0xd800 && c < 0xe000 || c == '\b' || c == '\f' {
			continue // encoding/json gives \b and \f since Go 1.22, docker's own writer \u0008 and \u000c
		}
		want, _ := json.Marshal(string(rune(c)))
		got, exact := appendEscaped([]byte{'"'}, []byte(string(rune(c))))
		if string(append(got, '"')) != string(want) || !exact {
			t.Errorf("%U is escaped as %s, encoding/json gives %s", c, got, want)
		}
	}
}

func TestPlainPrefixAtEveryPlace(t *testing.T) {
	for at := range 24 {
		for c := range 256 {
			s := bytes.Repeat([]byte("~"), 24)
			s[at] = byte(c)
			want := 24
			if !plain[c] {
				want = at
			}
			if got := plainPrefix(s); got != want {
				t.Fatalf("byte %#x at %d: %d plain bytes, want %d", c, at, got, want)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w, err := Open(path, Limits{Size: 2 << 10, Files: 3})
	if err != nil {
		t.Fatal(err)
	}
	s := w.Stream("stdout", nil)
	for range 100 {
		if err := s.Write([]byte("one line\nand another\n")); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		st, err := os.Stat(Rotated(path, n))
		if err != nil {
			t.Fatal(err)
		}
		if st.Size() > 2<<10+100 || n > 0 && st.Size() < 2<<10 {
			t.Errorf("file %d has %d bytes", n, st.Size())
		}
	}
	if _, err := os.Stat(Rotated(path, 3)); err == nil {
		t.Error("a fourth file exists")
	}
}

func TestOneFileIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w, err := Open(path, Limits{Size: 500, Files: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := w.Stream("stdout", nil)
	for range 50 {
		if err := s.Write([]byte("one line\n")); err != nil {
			t.Fatal(err)
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Size() > 600 {
		t.Errorf("%v, %v", st, err)
	}
	if got := decodeAll(t, path); got[len(got)-1].Log != "one line\n" {
		t.Errorf("the last record is %q", got[len(got)-1].Log)
	}
}

func TestOpenEndsATornRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(`{"log":"torn`), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := Open(path, DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	w.Stream("stdout", nil).Write([]byte("whole\n"))
	b, _ := os.ReadFile(path)
	if i := bytes.IndexByte(b, '\n'); i != len(`{"log":"torn`) {
		t.Errorf("the torn record is not ended: %q", b)
	}
}

func BenchmarkLines(b *testing.B) {
	line := append(bytes.Repeat([]byte("x"), 99), '\n')
	batch := bytes.Repeat(line, 640)
	w, err := Open(filepath.Join(b.TempDir(), "log"), DefaultLimits)
	if err != nil {
		b.Fatal(err)
	}
	s := w.Stream("stdout", nil)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		if err := s.Write(batch); err != nil {
			b.Fatal(err)
		}
	}
}
