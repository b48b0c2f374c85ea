package monitor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
1000:x:0:0:evil name:/evil:/bin/sh
# a comment

broken line
neg:x:-1:-1::/:/bin/sh
huge:x:4294967296:4294967296::/:/bin/sh
wrap:x:2147483648:2147483648::/:/bin/sh
web:x:33:44:web:/var/www:/bin/sh
second:x:33:45:same number:/second:/bin/sh
rel:x:34:44::relative:/bin/sh
`

const group = `root:x:0:
777:x:0:
www:x:44:
disk:x:6:web,other
audio:x:29:other,web
no:x:30:webby,notweb
bad:x:99999999999:web
`

// newRoot makes a root directory with these two files.
func newRoot(t testing.TB, passwd, group string) *os.File {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestResolveUser(t *testing.T) {
	root := newRoot(t, passwd, group)
	for _, tc := range []struct {
		spec string
		add  []string
		want account
	}{
		{"", nil, account{0, 0, []uint32{0}, "/root"}},
		{"root", nil, account{0, 0, []uint32{0}, "/root"}},
		{"0", nil, account{0, 0, []uint32{0}, "/root"}},
		{"1000", nil, account{1000, 0, []uint32{0}, "/"}}, // CVE-2016-3697: not the user named 1000
		{"1", nil, account{1, 0, []uint32{0}, "/"}},       // CVE-2026-30892: not 0
		{"1:", nil, account{1, 0, []uint32{0}, "/"}},
		{":1", nil, account{0, 1, []uint32{1}, "/root"}},
		{"0001", nil, account{1, 0, []uint32{0}, "/"}},
		{"web", nil, account{33, 44, []uint32{44, 6, 29}, "/var/www"}},
		{"33", nil, account{33, 44, []uint32{44, 6, 29}, "/var/www"}},
		{"web:disk", nil, account{33, 6, []uint32{6}, "/var/www"}},
		{"web:777", nil, account{33, 777, []uint32{777}, "/var/www"}},
		{"33:33", nil, account{33, 33, []uint32{33}, "/var/www"}},
		{"rel", nil, account{34, 44, []uint32{44}, "/"}},
		{"2147483647:2147483647", nil, account{2147483647, 2147483647, []uint32{2147483647}, "/"}},
		{"web", []string{"777", "www", "disk", "30"}, account{33, 44, []uint32{44, 6, 29, 777, 30}, "/var/www"}},
		{"5", []string{"audio"}, account{5, 0, []uint32{0, 29}, "/"}},
	} {
		got, err := resolveUser(root, tc.spec, tc.add)
		if err != nil {
			t.Errorf("%q: %v", tc.spec, err)
			continue
		}
		if got.UID != tc.want.UID || got.GID != tc.want.GID || got.Home != tc.want.Home || !slices.Equal(got.Groups, tc.want.Groups) {
			t.Errorf("%q + %v is %+v, want %+v", tc.spec, tc.add, *got, tc.want)
		}
	}
}

func TestResolveUserRefuses(t *testing.T) {
	root := newRoot(t, passwd, group)
	for _, tc := range []struct {
		spec string
		add  []string
	}{
		{"2147483648", nil}, // CVE-2024-40635
		{"2147483648:2147483648", nil},
		{"4294967295", nil},
		{"4294967296", nil},
		{"99999999999999999999999", nil},
		{"0:4294967296", nil},
		{"-1", nil},
		{"+1", nil},
		{"1x", nil},
		{"nobodyhere", nil},
		{"neg", nil},
		{"huge", nil},
		{"wrap", nil},
		{"web:nogroup", nil},
		{"web:bad", nil},
		{"a:b:c", nil},
		{"# a comment", nil},
		{"web", []string{"nogroup"}},
		{"web", []string{"4294967296"}},
		{"web", []string{""}},
	} {
		if got, err := resolveUser(root, tc.spec, tc.add); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("%q + %v is %+v, %v; want it refused", tc.spec, tc.add, got, err)
		}
	}
}

func TestResolveUserWithoutFiles(t *testing.T) {
	root := newRoot(t, "", "")
	if a, err := resolveUser(root, "7:8", []string{"9"}); err != nil || a.UID != 7 || a.GID != 8 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := resolveUser(root, "root", nil); err == nil {
		t.Error("a name without a passwd file was accepted")
	}
}

// The files are the image's: they may be anything but what they should be.
func TestHostileAccountFiles(t *testing.T) {
	big := strings.Repeat("x:x:1:"+strings.Repeat("m,", 500)+"\n", (maxAccountFile/1000)+20)
	secret := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(secret, []byte("host:x:5:5::/:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		make func(dir string) error
	}{
		{"fifo", func(dir string) error { return unix.Mkfifo(dir+"/etc/passwd", 0o644) }},
		{"directory", func(dir string) error { return os.Mkdir(dir+"/etc/passwd", 0o755) }},
		{"device", func(dir string) error {
			return unix.Mknod(dir+"/etc/passwd", unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5)))
		}},
		{"link out of the root", func(dir string) error { return os.Symlink(secret, dir+"/etc/passwd") }},
		{"proc link", func(dir string) error { return os.Symlink("/proc/self/fd/0", dir+"/etc/passwd") }},
		{"loop", func(dir string) error { return os.Symlink("passwd", dir+"/etc/passwd") }},
		{"huge", func(dir string) error { return os.WriteFile(dir+"/etc/passwd", []byte(big), 0o644) }},
		{"one line without end", func(dir string) error {
			return os.WriteFile(dir+"/etc/passwd", []byte(strings.Repeat("a", 2<<20)), 0o644)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := newRoot(t, "", "")
			if err := tc.make(root.Name()); err != nil {
				t.Fatal(err)
			}
			if a, err := resolveUser(root, "host", nil); err == nil {
				t.Errorf("%+v", a)
			}
		})
	}
}

func FuzzResolveUser(f *testing.F) {
	f.Add("web:www", passwd, group)
	f.Add("1", "1:x:0:0", "\xff:::")
	root := newRoot(f, passwd, group)
	f.Fuzz(func(t *testing.T, spec, passwd, group string) {
		for name, text := range map[string]string{"passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(root.Name(), "etc", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		a, err := resolveUser(root, spec, nil)
		if err != nil {
			return
		}
		if a.UID > maxID || a.GID > maxID || len(a.Groups) == 0 || a.Groups[0] != a.GID {
			t.Errorf("%q is %+v", spec, *a)
		}
	})
}
