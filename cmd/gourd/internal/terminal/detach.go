package terminal

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// DefaultDetachKeys is docker's: Ctrl-P Ctrl-Q.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ErrDetach is what a Detacher's Read returns when the sequence is complete.
var ErrDetach = errors.New("detach keys were typed")

// ParseKeys reads a comma-separated list of keys: single characters, or "ctrl-" and one of a-z @ [ \ ] ^ _.
// "" means that no keys detach.
func ParseKeys(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	var keys []byte
	for _, key := range strings.Split(s, ",") {
		code, err := parseKey(key)
		if err != nil {
			return nil, fmt.Errorf("detach keys %q: %w", s, err)
		}
		keys = append(keys, code)
	}
	return keys, nil
}

func parseKey(key string) (byte, error) {
	if len(key) == 1 && key[0] >= ' ' && key[0] < 0x7f {
		return key[0], nil
	}
	if strings.EqualFold(key, "del") {
		return 0x7f, nil
	}
	if len(key) == 6 && strings.EqualFold(key[:5], "ctrl-") {
		switch c := key[5]; {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 1, nil
		case c == '@' || c >= '[' && c <= '_':
			return c - '@', nil
		}
	}
	return 0, fmt.Errorf("%q is no key: one character, or ctrl- and one of a-z @ [ \\ ] ^ _", key)
}

// Detacher passes on what is typed until the detach sequence is complete. Keys that could be the
// sequence's beginning are held back, and passed on as soon as they are not.
type Detacher struct {
	in   io.Reader
	keys []byte
	held int    // how many bytes of keys were typed last
	out  []byte // ready to be read
	err  error
	buf  [4096]byte
}

// NewDetacher watches in for keys.
func NewDetacher(in io.Reader, keys []byte) *Detacher { return &Detacher{in: in, keys: keys} }

// Read returns what may be passed on; at the input's end first whatever was held back. Errors:
// ErrDetach; the input's own.
func (d *Detacher) Read(p []byte) (int, error) {
	for len(d.out) == 0 && d.err == nil {
		n, err := d.in.Read(d.buf[:])
		d.feed(d.buf[:n])
		if d.err == nil && err != nil {
			d.out = append(d.out, d.keys[:d.held]...)
			d.held, d.err = 0, err
		}
	}
	if len(d.out) == 0 {
		return 0, d.err
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *Detacher) feed(typed []byte) {
	if len(d.keys) == 0 {
		d.out = append(d.out, typed...)
		return
	}
	for _, c := range typed {
		d.key(c)
		if d.held == len(d.keys) {
			d.held, d.err = 0, ErrDetach
			return
		}
	}
}

// key takes one typed byte. If it doesn't go on with the sequence, held bytes are passed on until what
// remains is a beginning of the sequence again (as in Knuth, Morris and Pratt's search).
func (d *Detacher) key(c byte) {
	for d.held > 0 && d.keys[d.held] != c {
		shorter := d.border()
		d.out = append(d.out, d.keys[:d.held-shorter]...)
		d.held = shorter
	}
	if d.keys[d.held] == c {
		d.held++
	} else {
		d.out = append(d.out, c)
	}
}

// border is the length of the longest proper beginning of the held bytes that is also their end.
func (d *Detacher) border() int {
	for n := d.held - 1; n > 0; n-- {
		if string(d.keys[:n]) == string(d.keys[d.held-n:d.held]) {
			return n
		}
	}
	return 0
}
