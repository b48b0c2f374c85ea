package image

import (
	"errors"
	"fmt"
	"strings"

	"gourd/internal/container"
	"gourd/internal/layer"
)

// Reference names an image as users write it: [registry[:port]/]path[:tag][@digest], completed as docker does.
// The grammar is that of distribution/reference, whose package init alone would cost 0.9 ms at every start; a
// test compares the two.
type Reference struct {
	Domain string       // "docker.io", "localhost:5000"
	Path   string       // "library/busybox"
	Tag    string       // "" with a digest only
	Digest layer.Digest // "" without
}

const (
	defaultDomain = "docker.io"
	legacyDomain  = "index.docker.io"
	officialRepo  = "library/"
	defaultTag    = "latest"

	maxNameLength = 255
	maxTagLength  = 128
)

// ParseReference completes and checks a reference. Without tag and digest the tag is "latest".
// Errors: container.ErrInvalid.
func ParseReference(s string) (Reference, error) {
	r, err := parseNamed(s)
	if err == nil && r.Tag == "" && r.Digest == "" {
		r.Tag = defaultTag
	}
	return r, err
}

// parseNamed is ParseReference without a default tag.
func parseNamed(s string) (Reference, error) {
	r, err := splitReference(s)
	if err != nil {
		return Reference{}, container.Invalid("use image name", fmt.Sprintf("%.300q", s), err, "a name looks like busybox, busybox:1.36 or registry.example:5000/team/app:tag")
	}
	return r, nil
}

func splitReference(s string) (Reference, error) {
	var r Reference
	if len(s) == 64 && isHex(s) {
		return r, errors.New("64 hex digits are an image's id, not a name")
	}
	rest, digest, found := strings.Cut(s, "@")
	if found {
		d, err := layer.ParseDigest(digest)
		if err != nil {
			return r, err
		}
		r.Digest = d
	}
	name := rest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		name, r.Tag = rest[:i], rest[i+1:]
		if !validTag(r.Tag) {
			return r, fmt.Errorf("%.150q is no tag: a tag has up to %d of the characters [a-zA-Z0-9_.-] and begins with none of . and -", r.Tag, maxTagLength)
		}
	}
	if name == "" {
		return r, errors.New("it has no name")
	}
	r.Domain, r.Path = splitDomain(name)
	if err := r.check(); err != nil {
		return r, err
	}
	return r, nil
}

// splitDomain tells a registry from the first part of a path as docker does: by a dot, a colon, a capital
// letter, or the name localhost.
func splitDomain(name string) (domain, path string) {
	domain, path, found := strings.Cut(name, "/")
	if !found || !strings.ContainsAny(domain, ".:") && domain != "localhost" && strings.ToLower(domain) == domain {
		domain, path = defaultDomain, name
	}
	if domain == legacyDomain {
		domain = defaultDomain
	}
	if domain == defaultDomain && !strings.Contains(path, "/") {
		path = officialRepo + path
	}
	return domain, path
}

func (r Reference) check() error {
	if strings.ToLower(r.Path) != r.Path {
		return errors.New("a repository's name must be in lower case")
	}
	for c := range strings.SplitSeq(r.Path, "/") {
		if !validComponent(c) {
			return fmt.Errorf("%.150q can't be part of a name: lower-case letters and digits, separated by one '.', one or two '_', or '-'", c)
		}
	}
	if !validDomain(r.Domain) {
		return fmt.Errorf("%.150q is no registry's name", r.Domain)
	}
	if len(r.Path) > maxNameLength {
		return fmt.Errorf("the name has more than %d characters", maxNameLength)
	}
	return nil
}

// validComponent: [a-z0-9]+ (separator [a-z0-9]+)*, with separator ".", "_", "__" or "-"+.
func validComponent(s string) bool {
	for i := 0; i < len(s); {
		begin := i
		for i < len(s) && isLowerAlnum(s[i]) {
			i++
		}
		if i == begin {
			return false
		}
		if i == len(s) {
			return true
		}
		begin = i
		for i < len(s) && s[i] == s[begin] && !isLowerAlnum(s[i]) {
			i++
		}
		n := i - begin
		switch {
		case s[begin] == '-', s[begin] == '.' && n == 1, s[begin] == '_' && n <= 2:
		default:
			return false
		}
	}
	return false
}

func isLowerAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isAlnum(c byte) bool { return isLowerAlnum(c) || c >= 'A' && c <= 'Z' }

// validDomain: host names of letters, digits and inner hyphens, or an IPv6 address in brackets, with a port.
func validDomain(s string) bool {
	host, port, hasPort := s, "", false
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 2 {
			return false
		}
		for _, c := range []byte(s[1:end]) {
			if c != ':' && (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
		if s[end+1:] == "" {
			return true
		}
		host, port, hasPort = "", s[end+2:], true
		if s[end+1] != ':' {
			return false
		}
	} else {
		host, port, hasPort = strings.Cut(s, ":")
		for label := range strings.SplitSeq(host, ".") {
			if !validLabel(label) {
				return false
			}
		}
	}
	return !hasPort || isDigits(port)
}

func validLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

func validTag(s string) bool {
	if s == "" || len(s) > maxTagLength || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// Repository is the complete name without tag and digest: "docker.io/library/busybox".
func (r Reference) Repository() string { return r.Domain + "/" + r.Path }

// String is the complete reference.
func (r Reference) String() string { return r.suffix(r.Repository()) }

// FamiliarRepository is the repository as docker shows it: "busybox", "team/app", "localhost:5000/app".
func (r Reference) FamiliarRepository() string {
	if r.Domain != defaultDomain {
		return r.Repository()
	}
	short := strings.TrimPrefix(r.Path, officialRepo)
	if strings.Contains(short, "/") {
		return r.Path
	}
	return short
}

// Familiar is the reference as docker shows it: "busybox:latest".
func (r Reference) Familiar() string { return r.suffix(r.FamiliarRepository()) }

func (r Reference) suffix(name string) string {
	if r.Tag != "" {
		name += ":" + r.Tag
	}
	if r.Digest != "" {
		name += "@" + string(r.Digest)
	}
	return name
}
