package logfile

import (
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"
)

// appendRecord appends one line of the file for data, a line or a piece of one. stream and stamp are
// the fixed parts of it (see suffix). It is what docker's json-file writer gives, to the byte, as long
// as data is UTF-8; else "raw" has the exact bytes and "log" has U+FFFD for each that is wrong.
func appendRecord(b, data, suffix []byte) []byte {
	b = append(b, `{"log":"`...)
	b, exact := appendEscaped(b, data)
	b = append(b, '"')
	if !exact {
		b = append(b, `,"raw":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		b = append(b, '"')
	}
	return append(b, suffix...)
}

// plain tells the bytes that stand for themselves in a JSON string as docker writes it: printable ASCII
// but for `"`, `\` and the three that encoding/json escapes for HTML.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

const hexDigits = "0123456789abcdef"

// appendEscaped appends s as the inside of a JSON string. exact: reading it back gives s again.
func appendEscaped(b, s []byte) (_ []byte, exact bool) {
	exact = true
	for len(s) > 0 {
		n := plainPrefix(s)
		b = append(b, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			break
		}
		c := s[0]
		if c < utf8.RuneSelf {
			b = appendEscape(b, c)
			s = s[1:]
			continue
		}
		r, size := utf8.DecodeRune(s)
		switch {
		case r == utf8.RuneError && size == 1:
			exact = false
			b = append(b, `\ufffd`...)
		case r == '\u2028' || r == '\u2029': // line ends for JavaScript, escaped by encoding/json
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&0xf])
		default:
			b = append(b, s[:size]...)
		}
		s = s[size:]
	}
	return b, exact
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	case 0x7f: // DEL stands for itself in JSON
		return append(b, c)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// plainPrefix gives how many bytes of s stand for themselves, eight at a time: each test sets the high
// bit of a byte of the word that fails it (a borrow can set one above the first, which is why only the
// first is looked at). `<` and `>` differ in one bit, as do `"` and `&`: two tests do for four.
func plainPrefix(s []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(s[n:])
		bad := w | (w - ones*0x20) | ((w | ones*2) ^ ones*'>' - ones) | ((w | ones*4) ^ ones*'&' - ones) | (w ^ ones*'\\' - ones)
		if bad&high != 0 {
			break
		}
	}
	for n < len(s) && plain[s[n]] {
		n++
	}
	return n
}
