package logfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Entry is one record: a line, or a piece of a line that is longer than MaxPiece.
type Entry struct {
	Time   time.Time
	Stream string // "stdout" or "stderr"
	Data   []byte // the exact bytes; only the last piece of a line ends in "\n". Valid until the next record
}

// Partial says that the line goes on in the stream's next record (or was never ended).
func (e *Entry) Partial() bool { return len(e.Data) == 0 || e.Data[len(e.Data)-1] != '\n' }

var errRecord = errors.New("damaged log record")

// decode reads one line of the file. Damage before a whole record on the same line (a power cut leaves
// NUL bytes, which swallow line ends) is reported as damaged, and the record is read all the same.
func (e *Entry) decode(line []byte) (damaged bool, err error) {
	if err := e.decodeRecord(line); err == nil {
		return false, nil
	}
	for at := 1; ; {
		i := bytes.Index(line[min(at, len(line)):], []byte(`{"log":"`))
		if i < 0 {
			return true, errRecord
		}
		at += i
		if err := e.decodeRecord(line[at:]); err == nil {
			return true, nil
		}
		at++
	}
}

// decodeRecord reads what appendRecord and docker write, fields in this order; anything else that is
// JSON (docker adds "attrs" where labels are logged) goes the slow way.
func (e *Entry) decodeRecord(line []byte) error {
	e.Data = e.Data[:0]
	rest, ok := e.text(line)
	if !ok {
		return e.decodeJSON(line)
	}
	stream, rest, ok := field(rest, `,"stream":"`)
	if !ok {
		return e.decodeJSON(line)
	}
	stamp, rest, ok := field(rest, `,"time":"`)
	if !ok || len(rest) != 1 || rest[0] != '}' {
		return e.decodeJSON(line)
	}
	return e.finish(stream, stamp)
}

func (e *Entry) finish(stream, stamp []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return errRecord
	}
	e.Time = t
	if string(stream) == "stderr" {
		e.Stream = "stderr"
	} else {
		e.Stream = "stdout"
	}
	return nil
}

// text reads the begin of a record up to and with "raw", into Data.
func (e *Entry) text(line []byte) (rest []byte, ok bool) {
	escaped, rest, ok := field(line, `{"log":"`)
	if !ok {
		return nil, false
	}
	if raw, after, ok := field(rest, `,"raw":"`); ok {
		e.Data, _ = base64.StdEncoding.AppendDecode(e.Data, raw)
		return after, true
	}
	e.Data, ok = appendUnescaped(e.Data, escaped)
	return rest, ok
}

// field takes `head` and a JSON string's inside up to its closing quote off b.
func field(b []byte, head string) (value, rest []byte, ok bool) {
	if len(b) < len(head) || string(b[:len(head)]) != head {
		return nil, nil, false
	}
	b = b[len(head):]
	for end := 0; ; end++ {
		i := bytes.IndexByte(b[end:], '"')
		if i < 0 {
			return nil, nil, false
		}
		end += i
		slashes := 0
		for slashes < end && b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return b[:end], b[end+1:], true
		}
	}
}

// appendUnescaped appends what the inside of a JSON string means. Control characters and what isn't
// UTF-8 are refused.
func appendUnescaped(b, s []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(s, '\\')
		text := s
		if i >= 0 {
			text = s[:i]
		}
		if !valid(text) {
			return b, false
		}
		b = append(b, text...)
		if i < 0 {
			return b, true
		}
		s = s[i:]
		var ok bool
		if b, s, ok = unescape(b, s); !ok {
			return b, false
		}
	}
}

func valid(text []byte) bool {
	for _, c := range text {
		if c < 0x20 {
			return false
		}
	}
	return utf8.Valid(text)
}

// unescape appends what the escape at the begin of s means.
func unescape(b, s []byte) ([]byte, []byte, bool) {
	if len(s) < 2 {
		return b, s, false
	}
	switch s[1] {
	case 'n':
		return append(b, '\n'), s[2:], true
	case 'r':
		return append(b, '\r'), s[2:], true
	case 't':
		return append(b, '\t'), s[2:], true
	case 'b':
		return append(b, '\b'), s[2:], true
	case 'f':
		return append(b, '\f'), s[2:], true
	case '"', '\\', '/':
		return append(b, s[1]), s[2:], true
	case 'u':
		r, n := escapedRune(s)
		return utf8.AppendRune(b, r), s[n:], n > 0
	}
	return b, s, false
}

// escapedRune reads \uXXXX, or two of them that are a surrogate pair, and their length (0: none).
func escapedRune(s []byte) (rune, int) {
	r, ok := unit(s)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := unit(s[6:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return r, 6
}

func unit(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(n), err == nil
}

func (e *Entry) decodeJSON(line []byte) error {
	var r struct {
		Log    string `json:"log"`
		Stream string `json:"stream"`
		Time   string `json:"time"`
		Raw    []byte `json:"raw"`
	}
	if err := json.Unmarshal(line, &r); err != nil || r.Time == "" {
		return errRecord
	}
	e.Data = append(e.Data[:0], r.Log...)
	if r.Raw != nil {
		e.Data = append(e.Data[:0], r.Raw...)
	}
	return e.finish([]byte(r.Stream), []byte(r.Time))
}
