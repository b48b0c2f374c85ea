package image

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gourd/internal/container"
	"gourd/internal/layer"
)

func users(list ...User) func(layer.Digest) []User {
	return func(layer.Digest) []User { return list }
}

func TestRemoveRules(t *testing.T) {
	running, stopped := User{ID: "c0ffee", Running: true}, User{ID: "beef"}
	cases := []struct {
		name  string
		tags  []string // of the one image
		ref   string   // "ID" is its id, "PREFIX" ten digits of it
		force bool
		users []User
		want  string // ID and LAYER stand for the digests; "" wants a conflict
		left  string // the names left; "-" for no image
	}{
		{"by name", []string{"a:1"}, "a:1", false, nil, "Untagged: a:1; Deleted: ID; Deleted: LAYER", "-"},
		{"by default tag", []string{"a"}, "docker.io/library/a", false, nil, "Untagged: a:latest; Deleted: ID; Deleted: LAYER", "-"},
		{"one of two names", []string{"a:1", "b:1"}, "a:1", false, nil, "Untagged: a:1", "[b:1]"},
		{"by id", []string{"a:1"}, "ID", false, nil, "Untagged: a:1; Deleted: ID; Deleted: LAYER", "-"},
		{"by prefix", []string{"a:1"}, "PREFIX", false, nil, "Untagged: a:1; Deleted: ID; Deleted: LAYER", "-"},
		{"by id, two tags of one repository", []string{"a:1", "a:2"}, "ID", false, nil, "Untagged: a:1; Untagged: a:2; Deleted: ID; Deleted: LAYER", "-"},
		{"by id, two repositories", []string{"a:1", "b:1"}, "ID", false, nil, "", "[a:1 b:1]"},
		{"by id, two repositories, forced", []string{"a:1", "b:1"}, "ID", true, nil, "Untagged: a:1; Untagged: b:1; Deleted: ID; Deleted: LAYER", "-"},
		{"without name", nil, "ID", false, nil, "Deleted: ID; Deleted: LAYER", "-"},
		{"used by a stopped container", []string{"a:1"}, "a:1", false, []User{stopped}, "", "[a:1]"},
		{"used by a stopped container, forced", []string{"a:1"}, "a:1", true, []User{stopped}, "Untagged: a:1; Deleted: ID; Deleted: LAYER", "-"},
		{"used by a running container, forced", []string{"a:1"}, "a:1", true, []User{stopped, running}, "", "[a:1]"},
		{"used, but with another name", []string{"a:1", "b:1"}, "a:1", false, []User{running}, "Untagged: a:1", "[b:1]"},
		{"by id, used by a stopped container", []string{"a:1"}, "ID", false, []User{stopped}, "", "[a:1]"},
		{"by id, used by a stopped container, forced", []string{"a:1"}, "ID", true, []User{stopped}, "Untagged: a:1; Deleted: ID; Deleted: LAYER", "-"},
		{"by id, used by a running container, forced", []string{"a:1"}, "ID", true, []User{running}, "", "[a:1]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, d := newStore(t)
			id := importImage(t, s, d, "", "f", "x")
			for _, tag := range c.tags {
				if _, err := s.Tag(string(id), tag); err != nil {
					t.Fatal(err)
				}
			}
			img, err := s.Get(id)
			if err != nil {
				t.Fatal(err)
			}
			ref := strings.NewReplacer("ID", string(id), "PREFIX", id.Hex()[:10]).Replace(c.ref)
			removed, err := s.Remove(ref, RemoveOptions{Force: c.force, Users: users(c.users...)}, d)
			var lines []string
			for _, r := range removed {
				lines = append(lines, r.String())
			}
			want := strings.NewReplacer("ID", string(id), "LAYER", string(img.DiffIDs[0])).Replace(c.want)
			if got := strings.Join(lines, "; "); got != want || (c.want == "") != errors.Is(err, container.ErrConflict) {
				t.Errorf("removed %q, %v; want %q", got, err, want)
			}
			list, err := s.List()
			if err != nil {
				t.Fatal(err)
			}
			left := "-"
			if len(list) > 0 {
				left = fmt.Sprint(list[0].RepoTags)
			}
			if left != c.left || d.Has(img.DiffIDs[0]) != (left != "-") {
				t.Errorf("left is %s, want %s; layer there: %t", left, c.left, d.Has(img.DiffIDs[0]))
			}
			checkClean(t, s, d)
		})
	}
}

// TestNameMoves: the image that loses a name stays, without one; the new owner is said.
func TestNameMoves(t *testing.T) {
	s, d := newStore(t)
	one := importImage(t, s, d, "a:1", "f", "one")
	l, err := s.Import(t.Context(), bytes.NewReader(tarOf(t, "f", "two")), ImportOptions{Ref: "a:1"}, d)
	if err != nil || l.Replaced["a:1"] != one {
		t.Errorf("import replaced %v, %v", l.Replaced, err)
	}
	old, err := s.Get(one)
	if err != nil || !old.Dangling() {
		t.Errorf("the old one is %+v, %v", old, err)
	}
	if replaced, err := s.Tag(string(one), "a:1"); err != nil || replaced != l.ID {
		t.Errorf("tag replaced %v, %v", replaced, err)
	}
	if old, err = s.Get(one); err != nil || !slices.Equal(old.RepoTags, []string{"a:1"}) {
		t.Errorf("the old one is %+v, %v", old, err)
	}
	if replaced, err := s.Tag("a:1", "a:1"); err != nil || replaced != "" {
		t.Errorf("tagging it again replaced %v, %v", replaced, err)
	}
	if list, err := s.List(); err != nil || len(list) != 2 {
		t.Errorf("images are %v, %v", list, err)
	}
	checkClean(t, s, d)
	removed, freed, err := s.Prune(false, nil, nil, d)
	if err != nil || freed <= 0 || len(removed) != 2 || removed[0].Deleted != l.ID {
		t.Errorf("pruned %v, %d, %v", removed, freed, err)
	}
	if removed, _, err := s.Prune(true, users(User{ID: "x"}), nil, d); err != nil || len(removed) != 0 {
		t.Errorf("a used one was pruned: %v, %v", removed, err)
	}
	if removed, _, err := s.Prune(true, nil, func(*Image) bool { return false }, d); err != nil || len(removed) != 0 {
		t.Errorf("a filtered one was pruned: %v, %v", removed, err)
	}
	if removed, _, err := s.Prune(true, nil, nil, d); err != nil || len(removed) != 3 {
		t.Errorf("pruned %v, %v", removed, err)
	}
	checkEmpty(t, s, d)
}

func TestResolve(t *testing.T) {
	s, d := newStore(t)
	var ids []layer.Digest
	for n := range 40 { // enough for two ids that begin alike
		ids = append(ids, importImage(t, s, d, fmt.Sprintf("r/img:%d", n), "f", fmt.Sprint(n)))
	}
	first := ids[0]
	for _, ref := range []string{"r/img:0", "docker.io/r/img:0", string(first), first.Hex(), first.Hex()[:20], "sha256:" + first.Hex()[:20]} {
		if img, err := s.Resolve(ref); err != nil || img.ID != first {
			t.Errorf("%q is %v, %v", ref, img, err)
		}
	}
	img, err := s.Get(first)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Resolve("r/img@" + string(img.Manifest.Digest)); err != nil || got.ID != first {
		t.Errorf("by the manifest's digest: %v, %v", got, err)
	}
	byDigit := map[byte]int{}
	for _, id := range ids {
		byDigit[id.Hex()[0]]++
	}
	for digit, n := range byDigit {
		if _, err := s.Resolve(string(digit)); n > 1 && !errors.Is(err, container.ErrInvalid) {
			t.Errorf("an ambiguous prefix: %v", err)
		}
	}
	// A name wins over an id's prefix.
	if _, err := s.Tag("r/img:1", first.Hex()[:12]); err != nil {
		t.Fatal(err)
	}
	if img, err := s.Resolve(first.Hex()[:12]); err != nil || img.ID != ids[1] {
		t.Errorf("a name that is also a prefix: %v, %v", img, err)
	}
	for ref, kind := range map[string]error{"none": container.ErrNotFound, "r/img": container.ErrNotFound, "r/img@" + someDigest: container.ErrNotFound, someDigest: container.ErrNotFound,
		"": container.ErrInvalid, "x/UPPER": container.ErrInvalid, "sha256:xyz": container.ErrNotFound, "../x": container.ErrInvalid, strings.Repeat("f", 64): container.ErrNotFound} {
		if _, err := s.Resolve(ref); !errors.Is(err, kind) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	if _, err := s.Tag("none", "x:1"); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("tagging nothing: %v", err)
	}
	for _, bad := range []string{"UPPER", "x@" + someDigest, "", strings.Repeat("f", 64)} {
		if _, err := s.Tag("r/img:0", bad); !errors.Is(err, container.ErrInvalid) {
			t.Errorf("tagging as %q: %v", bad, err)
		}
	}
}

// TestSaveByName: IMG-05 of the known bugs: by repository all tags, by id none, by tag that one.
func TestSaveByName(t *testing.T) {
	s, d := newStore(t)
	one, two := importImage(t, s, d, "m:1", "f", "1"), importImage(t, s, d, "m:2", "f", "2")
	if _, err := s.Tag("m:1", "other:1"); err != nil {
		t.Fatal(err)
	}
	for refs, want := range map[string]string{"m": fmt.Sprint(one, " [m:1]; ", two, " [m:2]"), string(one): fmt.Sprint(one, " []"), "m:1": fmt.Sprint(one, " [m:1]"),
		"m:1 other:1": fmt.Sprint(one, " [m:1 other:1]"), "m:1 m:1": fmt.Sprint(one, " [m:1]")} {
		var b bytes.Buffer
		if err := s.Save(t.Context(), &b, strings.Fields(refs)); err != nil {
			t.Fatal(err)
		}
		s2, d2 := newStore(t)
		loaded, err := s2.Load(t.Context(), &b, d2, nil)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(loaded, func(a, b Loaded) int { return strings.Compare(fmt.Sprint(a.Names), fmt.Sprint(b.Names)) })
		var got []string
		for _, l := range loaded {
			got = append(got, fmt.Sprint(l.ID, " ", l.Names))
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("save %s: %s, want %s", refs, strings.Join(got, "; "), want)
		}
	}
	for _, refs := range [][]string{nil, {"none"}, {"m:1", "none"}} {
		var b bytes.Buffer
		if err := s.Save(t.Context(), &b, refs); err == nil || b.Len() > 0 {
			t.Errorf("save %q: %v, %d bytes", refs, err, b.Len())
		}
	}
}

// TestDamage: what is damaged is said, and can be removed and loaded again.
func TestDamage(t *testing.T) {
	s, d := newStore(t)
	importImage(t, s, d, "good:1", "f", "good")
	id := importImage(t, s, d, "bad:1", "f", "bad")
	img, err := s.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	var saved bytes.Buffer
	if err := s.Save(t.Context(), &saved, []string{"bad:1"}); err != nil {
		t.Fatal(err)
	}
	data := bytes.Clone(saved.Bytes())
	for _, blob := range []layer.Digest{id, img.Manifest.Digest, img.DiffIDs[0]} {
		for _, damage := range []string{"other", ""} {
			corrupt(t, s.blobPath(blob), damage)
			if problems, err := s.Check(d); err != nil || len(problems) == 0 {
				t.Errorf("damage of %s isn't found: %v", blob, err)
			}
			if err := s.Save(t.Context(), &bytes.Buffer{}, []string{"bad:1"}); err == nil {
				t.Error("a damaged image was saved")
			}
			if _, err := s.Remove("bad:1", RemoveOptions{}, d); err != nil {
				t.Errorf("removing it: %v", err)
			}
			if _, err := s.Load(t.Context(), bytes.NewReader(data), d, nil); err != nil {
				t.Errorf("loading it again: %v", err)
			}
			if err := s.SweepLayers(d); err != nil {
				t.Error(err)
			}
			checkClean(t, s, d)
		}
	}
}
