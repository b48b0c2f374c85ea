package layer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"

	"gourd/internal/container"
)

// Digest names content by its SHA-256 as OCI writes it: "sha256:" and 64 lower-case hex digits (image-spec,
// descriptor.md, "Digests"). A type of its own, since go-digest compiles regular expressions at every start.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest accepts what is a well-formed SHA-256 digest and nothing else.
// Errors: container.ErrUnsupported for another algorithm, container.ErrInvalid otherwise.
func ParseDigest(s string) (Digest, error) {
	hexPart, ok := strings.CutPrefix(s, digestPrefix)
	if !ok {
		if algo, rest, found := strings.Cut(s, ":"); found && algo != "" && isHex(rest) {
			return "", &container.Error{Verb: "read digest", Object: fmt.Sprintf("%.100q", s), Kind: container.ErrUnsupported, Cause: fmt.Errorf("only sha256 is supported, not %.20q", algo)}
		}
		return "", container.Invalid("read digest", fmt.Sprintf("%.100q", s), fmt.Errorf("it does not begin with %q", digestPrefix), "")
	}
	if len(hexPart) != 2*sha256.Size || !isHex(hexPart) {
		return "", container.Invalid("read digest", fmt.Sprintf("%.100q", s), fmt.Errorf("64 lower-case hex digits must follow %q", digestPrefix), "")
	}
	return Digest(s), nil
}

// Hex is the digest without its algorithm; it is safe as a file name if the digest came from ParseDigest.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Short is how lists show it: the first 12 hex digits.
func (d Digest) Short() string { return d.Hex()[:min(12, len(d.Hex()))] }

// DigestOf is the digest of these bytes.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// Hasher computes the digest and the length of what is written to it.
type Hasher struct {
	h hash.Hash
	n int64
}

// NewHasher makes an empty one.
func NewHasher() *Hasher { return &Hasher{h: sha256.New()} }

// Write never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	return h.h.Write(p)
}

// Digest of everything written so far.
func (h *Hasher) Digest() Digest { return Digest(digestPrefix + hex.EncodeToString(h.h.Sum(nil))) }

// Size is the number of bytes written so far.
func (h *Hasher) Size() int64 { return h.n }

// Verify reads r to its end and checks that all that was read through it, before and now, has this digest.
func (v *Verifier) Verify() error {
	if _, err := io.Copy(io.Discard, v); err != nil {
		return err
	}
	if got := v.h.Digest(); got != v.want {
		return &container.Error{Verb: "verify", Object: string(v.want), Kind: container.ErrCorrupt, Cause: fmt.Errorf("the content has digest %s", got)}
	}
	return nil
}

// Verifier is a reader that knows which digest its content must have.
type Verifier struct {
	r    io.Reader
	h    *Hasher
	want Digest
}

// NewVerifier reads from r; Verify tells at the end.
func NewVerifier(r io.Reader, want Digest) *Verifier {
	return &Verifier{r: r, h: NewHasher(), want: want}
}

func (v *Verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.h.Write(p[:n])
	return n, err
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) > 0
}
