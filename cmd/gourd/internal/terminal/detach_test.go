package terminal

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseKeys(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a": "a", "ctrl-p,ctrl-q": "\x10\x11", "ctrl-a,q": "\x01q", "ctrl-@": "\x00", "ctrl-_": "\x1f",
		"ctrl-\\": "\x1c", "DEL": "\x7f", "CTRL-p": "\x10", "a,b,c": "abc",
	} {
		got, err := ParseKeys(in)
		if err != nil || string(got) != want {
			t.Errorf("ParseKeys(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"ab", "ctrl-", "ctrl-1", "ctrl-pp", ",", "a,", "\x01", "é", "ctrl-P"} {
		if got, err := ParseKeys(in); err == nil {
			t.Errorf("ParseKeys(%q) = %q, want an error", in, got)
		}
	}
}

func TestDetacher(t *testing.T) {
	tests := []struct {
		name, keys, typed, passed string
		detached                  bool
	}{
		{"unfinished sequence arrives", "ctrl-p,ctrl-q", "a\x10b\x10\x11rest", "a\x10b", true},
		{"other keys", "ctrl-a,q", "\x10\x11x\x01q", "\x10\x11x", true},
		{"first key twice", "ctrl-p,ctrl-q", "\x10\x10\x11", "\x10", true},
		{"held at the end arrives", "ctrl-p,ctrl-q", "a\x10", "a\x10", false},
		{"overlap", "a,a,b", "aaab", "a", true},
		{"overlap of two", "a,b,a,c", "ababac", "ab", true},
		{"no keys", "", "\x10\x11", "\x10\x11", false},
		{"one key", "q", "xyq", "xy", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseKeys(tt.keys)
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range []io.Reader{strings.NewReader(tt.typed), iotest.OneByteReader(strings.NewReader(tt.typed))} {
				got, err := io.ReadAll(NewDetacher(in, keys))
				if string(got) != tt.passed || errors.Is(err, ErrDetach) != tt.detached {
					t.Errorf("passed %q, %v; want %q, detached %v", got, err, tt.passed, tt.detached)
				}
			}
		})
	}
}

// What is passed on is always a beginning of what was typed, and everything but the sequence.
func FuzzDetacher(f *testing.F) {
	f.Add([]byte{0x10, 0x11}, []byte("a\x10b\x10\x11"))
	f.Add([]byte("aab"), []byte("aaaab"))
	f.Fuzz(func(t *testing.T, keys, typed []byte) {
		got, err := io.ReadAll(NewDetacher(iotest.HalfReader(bytes.NewReader(typed)), keys))
		want := typed
		at := bytes.Index(typed, keys)
		detach := len(keys) > 0 && at >= 0
		if detach {
			want = typed[:at]
		}
		if !bytes.Equal(got, want) || errors.Is(err, ErrDetach) != detach {
			t.Errorf("keys %q typed %q: passed %q, %v; want %q", keys, typed, got, err, want)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add("ctrl-p,ctrl-q")
	f.Fuzz(func(t *testing.T, s string) {
		keys, err := ParseKeys(s)
		if err == nil && s != "" && len(keys) != strings.Count(s, ",")+1 {
			t.Errorf("ParseKeys(%q) = %q", s, keys)
		}
	})
}
