// Package logfile writes and reads the json-file log of a container, in docker's format:
//
//	{"log":"a line\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
//
// A line is cut after at most 16 KiB, never inside a character; a piece that isn't the last of its line
// has no "\n". Bytes that aren't UTF-8 stand exactly in one more field, "raw" (base64), that other
// readers ignore. The monitor writes, the engine reads; the file may be rotated meanwhile.
package logfile

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// MaxPiece is how much of a line one record holds: docker's 16 KiB.
const MaxPiece = 16 << 10

// Limits of a log: when the file reaches Size bytes it becomes PATH.1, PATH.1 becomes PATH.2 and so on,
// so that at most Files files exist.
type Limits struct {
	Size  int64 // 0: never rotate
	Files int   // with the current one; at least 1
}

// DefaultLimits hold where the user says nothing: a log can't fill the disk.
var DefaultLimits = Limits{Size: 10 << 20, Files: 3}

// Writer appends to a container's log. Each Stream of it may be used by one goroutine.
type Writer struct {
	mu     sync.Mutex
	path   string
	file   *os.File
	size   int64 // of the file, without what is buffered
	limits Limits
	buf    []byte
	err    error // the first write error since the last success
}

// Open opens the log for appending, making it where it is missing (mode 0640, as docker's). An unended
// last record of a writer that was killed is closed by a line end, so that it spoils no other.
func Open(path string, l Limits) (*Writer, error) {
	w := &Writer{path: path, limits: l}
	if err := w.open(unix.O_APPEND); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Writer) open(flags int) error {
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|flags, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	w.file, w.size = f, st.Size()
	var last [1]byte
	if w.size > 0 {
		if _, err := f.ReadAt(last[:], w.size-1); err == nil && last[0] != '\n' {
			n, _ := f.Write([]byte("\n"))
			w.size += int64(n)
		}
	}
	return nil
}

// Close writes nothing more (every batch is written at once) and closes the file.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// Free lets go of the write buffer's memory until the next write.
func (w *Writer) Free() {
	w.mu.Lock()
	w.buf = nil
	w.mu.Unlock()
}

// Stream is one of the two outputs, with the begin of a line that has not ended yet.
type Stream struct {
	w       *Writer
	name    string
	pending []byte
}

// Stream makes the writer of "stdout" or "stderr". pending is what an earlier one held back, or nil.
func (w *Writer) Stream(name string, pending []byte) *Stream {
	return &Stream{w: w, name: name, pending: pending}
}

// Pending is the begin of the last line, not yet in the file.
func (s *Stream) Pending() []byte { return s.pending }

// Write adds output that was read just now: all lines that it ends are in the file when it returns, as
// one write. An error is one of the disk; the lines are lost then, and later ones are tried again.
func (s *Stream) Write(p []byte) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	suffix := s.suffix(time.Now())
	s.w.err = nil
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n') + 1
		if len(s.pending) == 0 && end > 0 && end <= MaxPiece {
			s.w.record(p[:end], suffix)
			p = p[end:]
			continue
		}
		p = s.hold(p, end, suffix)
	}
	s.w.flush()
	return s.w.err
}

// hold moves the begin of p up to the line end (end, 0: none) into pending as far as it fits, writes
// what is complete, and returns the rest of p.
func (s *Stream) hold(p []byte, end int, suffix []byte) []byte {
	n := min(len(p), MaxPiece-len(s.pending))
	ended := end > 0 && end <= n
	if ended {
		n = end
	}
	s.pending = append(s.pending, p[:n]...)
	switch {
	case ended:
		s.w.record(s.pending, suffix)
		s.pending = s.pending[:0]
	case len(s.pending) == MaxPiece:
		cut := characterEnd(s.pending)
		s.w.record(s.pending[:cut], suffix)
		s.pending = append(s.pending[:0], s.pending[cut:]...)
	}
	return p[n:]
}

// End writes a last line that has no line end.
func (s *Stream) End() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.err = nil
	if len(s.pending) > 0 {
		s.w.record(s.pending, s.suffix(time.Now()))
		s.pending = nil
	}
	s.w.flush()
	return s.w.err
}

// characterEnd gives where b can be cut without cutting a character.
func characterEnd(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

// suffix is what follows the text in each record of one batch.
func (s *Stream) suffix(now time.Time) []byte {
	b := make([]byte, 0, 80)
	b = append(b, `,"stream":"`...)
	b = append(b, s.name...)
	b = append(b, `","time":"`...)
	b = now.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, "\"}\n"...)
}

// flushAt bounds the memory of a batch.
const flushAt = 256 << 10

// record adds one record to the batch; where the file has reached its limit, it is rotated first, as
// docker does, so a file ends with the record that passes the limit.
func (w *Writer) record(data, suffix []byte) {
	if w.limits.Size > 0 && w.size+int64(len(w.buf)) >= w.limits.Size {
		w.flush()
		w.rotate()
	}
	w.buf = appendRecord(w.buf, data, suffix)
	if len(w.buf) >= flushAt {
		w.flush()
	}
}

func (w *Writer) flush() {
	if len(w.buf) == 0 || w.file == nil {
		return
	}
	n, err := w.file.Write(w.buf)
	w.size += int64(n)
	w.buf = w.buf[:0]
	if err != nil {
		w.err = fmt.Errorf("write log: %w", err)
	}
}

// rotate moves the files on by one and begins a new one. Each step is a rename, so that a reader who
// follows finds every file by its inode. Where it can't, the present file goes on.
func (w *Writer) rotate() {
	if w.size == 0 {
		return
	}
	old := w.file
	if w.limits.Files <= 1 {
		os.Remove(w.path)
	}
	for i := w.limits.Files - 1; i > 0; i-- {
		if err := os.Rename(Rotated(w.path, i-1), Rotated(w.path, i)); err != nil && !os.IsNotExist(err) {
			w.err = fmt.Errorf("rotate log: %w", err)
		}
	}
	if err := w.open(unix.O_APPEND); err != nil {
		w.file, w.err = old, err
		return
	}
	old.Close()
}

// Rotated is the path of the nth older file; the 0th is the current one.
func Rotated(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}
