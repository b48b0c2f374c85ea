package suite

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"testing"

	"gourd/internal/layer"

	"golang.org/x/sys/unix"
)

// Tree describes every file below dir completely, with the container's ids: mode, owner, time, device, size and
// content, link target, attributes, and which names are one file.
func Tree(t *testing.T, dir string, ids layer.IDMaps) map[string]string {
	t.Helper()
	out, groups := map[string]string{}, map[uint64][]string{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		s, err := describe(p, &st, ids)
		if err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
			groups[st.Ino] = append(groups[st.Ino], name)
		}
		out[name] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		sort.Strings(g)
		for _, name := range g {
			out[name] += fmt.Sprintf(" linked %q", g)
		}
	}
	return out
}

func describe(p string, st *unix.Stat_t, ids layer.IDMaps) (string, error) {
	uid, gid := ids.Container(st.Uid, st.Gid)
	s := fmt.Sprintf("mode %o owner %d:%d time %d.%09d rdev %x", st.Mode, uid, gid, st.Mtim.Sec, st.Mtim.Nsec, st.Rdev)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		b, err := os.ReadFile(p)
		if err != nil {
			return "", err
		}
		s += fmt.Sprintf(" size %d content %s", st.Size, layer.DigestOf(b).Short())
	case unix.S_IFLNK:
		target, err := os.Readlink(p)
		if err != nil {
			return "", err
		}
		s += " -> " + target
	}
	x, err := layer.Xattrs(unix.AT_FDCWD, p, ids)
	if err != nil {
		return "", err
	}
	for _, k := range slices.Sorted(maps.Keys(x)) {
		s += fmt.Sprintf(" %s=%q", k, x[k])
	}
	return s, nil
}

// Same compares two trees.
func Same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s: %q is\n  %s\nwant\n  %s", what, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %q should not be there", what, name)
		}
	}
}
