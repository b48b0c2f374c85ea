package image

import (
	"errors"
	"strings"
	"testing"

	"gourd/internal/container"

	"github.com/distribution/reference"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

var references = []string{
	"busybox", "busybox:1.36", "library/busybox", "docker.io/busybox", "index.docker.io/busybox", "docker.io/library/busybox:x", "team/app", "team/sub/app:v1",
	"localhost/app", "localhost:5000/app", "localhost", "Registry/app", "registry.example/app", "registry.example:5000/team/app:tag", "[::1]:5000/app", "[fe80::1]/x",
	"a.b", "a.b/c", "a:5000/b", "a:b", "a:5000", "UPPER", "team/UPPER", "a__b", "a___b", "a--b", "a---b/c", "a.-b", "a._b", "-a", "a-", "a..b", "_a", "a_", "a/", "/a", "a//b", "",
	"a:", "a:.x", "a:-x", "a:_x", "a:" + strings.Repeat("x", 128), "a:" + strings.Repeat("x", 129), "a@" + someDigest, "a:t@" + someDigest, "a@sha256:abc", "a@", "a@x", "a@" + someDigest + "@" + someDigest,
	strings.Repeat("a", 64), strings.Repeat("g", 64), strings.Repeat("a", 63), strings.Repeat("a", 65), strings.Repeat("x", 255), strings.Repeat("x", 256), "docker.io/" + strings.Repeat("x", 248),
	"exa-mple.com/x", "-example.com/x", "example-.com/x", "example..com/x", "example.com:/x", "example.com:port/x", "example.com:80:80/x", "xn--n3h.com/x", "ünï/x", "a b", "a\nb", "a/b:c/d", "http://a/b",
	"docker.io/", "docker.io", "index.docker.io/a/b", "192.0.2.1/x", "192.0.2.1:80/x:y", "[::1]/", "[::g]/x", "[]/x", "[::1]x/y", "a/b@" + someDigest, ":", ":tag", "@" + someDigest, "a:t:u", "a/b:5000/c",
}

// TestReferenceIsDockers: the own parser accepts what distribution/reference accepts, and means the same.
func TestReferenceIsDockers(t *testing.T) {
	for _, s := range references {
		compareReference(t, s)
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range references {
		f.Add(s)
	}
	f.Fuzz(compareReference)
}

func compareReference(t *testing.T, s string) {
	got, err := ParseReference(s)
	if err != nil && !errors.Is(err, container.ErrInvalid) {
		t.Fatalf("%q: error is %v", s, err)
	}
	want, werr := reference.ParseNormalizedNamed(s)
	if err == nil && werr != nil {
		t.Fatalf("%q is taken as %q, but docker says %v", s, got, werr)
	}
	if err != nil {
		// Other algorithms than sha256 are the one thing that docker takes and gourd doesn't.
		if d, ok := want.(reference.Digested); werr == nil && (!ok || strings.HasPrefix(string(d.Digest()), "sha256:")) {
			t.Fatalf("%q: %v, but docker takes it as %q", s, err, want)
		}
		return
	}
	want = reference.TagNameOnly(want)
	if got.String() != want.String() || got.Familiar() != reference.FamiliarString(want) || got.Repository() != want.Name() || got.FamiliarRepository() != reference.FamiliarName(want) {
		t.Errorf("%q is %q (%q), docker has %q (%q)", s, got, got.Familiar(), want, reference.FamiliarString(want))
	}
}
