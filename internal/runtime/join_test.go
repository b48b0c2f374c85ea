package runtime

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
)

func TestParseUser(t *testing.T) {
	for _, c := range []struct {
		text     string
		uid, gid uint32
		ok       bool
	}{
		{"0", 0, 7, true},
		{"1", 1, 7, true},
		{"1000:5", 1000, 5, true},
		{"4294967294:4294967294", 4294967294, 4294967294, true},
		{"", 0, 0, false},
		{":", 0, 0, false},
		{"1:", 0, 0, false},
		{":1", 0, 0, false},
		{"1:2:3", 0, 0, false},
		{"-1", 0, 0, false},
		{"+1", 0, 0, false},
		{"4294967295", 0, 0, false},
		{"4294967296", 0, 0, false},
		{"2147483648:2147483648", 2147483648, 2147483648, true}, // CVE-2024-40635
		{"root", 0, 0, false},
		{"0x0", 0, 0, false},
		{" 0", 0, 0, false},
		{"1_0", 0, 0, false},
	} {
		u := specs.User{UID: 9, GID: 7, Username: "x"}
		err := ParseUser(c.text, &u)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%q: %v", c.text, err)
		}
		if c.ok && (u.UID != c.uid || u.GID != c.gid || u.Username != "") {
			t.Errorf("%q: %+v", c.text, u)
		}
		if !c.ok && (u.UID != 9 || u.GID != 7) {
			t.Errorf("%q is refused, and yet changes the user to %+v", c.text, u)
		}
	}
}

// FuzzParseUser: what is accepted is exactly what its numbers say.
func FuzzParseUser(f *testing.F) {
	for _, s := range []string{"0", "1000:1000", "4294967295", "1:", "-0", "٣"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u := specs.User{GID: 7}
		if ParseUser(text, &u) != nil {
			return
		}
		first, second, both := strings.Cut(text, ":")
		if strings.TrimLeft(first, "0") != strings.TrimLeft(fmt.Sprint(u.UID), "0") || both && strings.TrimLeft(second, "0") != strings.TrimLeft(fmt.Sprint(u.GID), "0") || !both && u.GID != 7 {
			t.Errorf("%q is %d:%d", text, u.UID, u.GID)
		}
	})
}

func TestAddCapabilities(t *testing.T) {
	p := &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}}}
	AddCapabilities(p, []string{"CAP_KILL", "CAP_CHOWN"})
	if !slices.Equal(p.Capabilities.Bounding, []string{"CAP_KILL", "CAP_CHOWN"}) || len(p.Capabilities.Ambient)+len(p.Capabilities.Inheritable) != 0 {
		t.Errorf("%+v", p.Capabilities)
	}
	none := &specs.Process{}
	AddCapabilities(none, nil)
	if none.Capabilities != nil {
		t.Error("capabilities from nothing")
	}
	AddCapabilities(none, []string{"CAP_CHOWN"})
	if !slices.Equal(none.Capabilities.Permitted, []string{"CAP_CHOWN"}) {
		t.Errorf("%+v", none.Capabilities)
	}
}

func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "A_b+c.d-1": true, ".a": true, "": false, ".": false, "..": false, "a/b": false, "~a": false, "a b": false, "a\n": false,
		strings.Repeat("a", 1025): false,
	} {
		if err := checkID(id); (err == nil) != ok {
			t.Errorf("%.40q: %v", id, err)
		}
	}
}

// TestReadPlain reads files of sizes around its buffer's.
func TestReadPlain(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, 4095, 4096, 4097, 70000} {
		want := []byte(strings.Repeat("x", size))
		path := fmt.Sprintf("%s/%d", dir, size)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readPlain(path); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
}
