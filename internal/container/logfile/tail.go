package logfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// span is a part of a file that is to be emitted.
type span struct {
	file     *file
	from, to int64
}

// tail emits the last Query.Tail lines. A line may be several records, with the other stream's between.
func (r *reader) tail(ctx context.Context) error {
	t := &tailer{want: r.query.Tail, open: map[string]bool{}}
	for i := len(r.files) - 1; i >= 0; i-- {
		if err := t.backwards(ctx, r.files[i]); err != nil {
			return err
		}
	}
	r.damaged += t.damaged
	for i := len(t.spans) - 1; i >= 0; i-- {
		s := t.spans[i]
		if _, err := r.scan(ctx, s.file, s.from, s.to); err != nil {
			return err
		}
	}
	return nil
}

// tailer goes through the records from the last to the first and notes which belong to the last lines.
type tailer struct {
	want    int
	lines   int             // taken so far
	open    map[string]bool // per stream that was seen: its latest line was taken, so earlier pieces are too
	spans   []span          // the last one first
	entry   Entry
	damaged int
}

// backwards looks at one file. It sets the file's size to the end of its last whole record.
func (t *tailer) backwards(ctx context.Context, f *file) error {
	c := &backward{file: f, at: f.size, unended: true}
	f.size = 0
	for ctx.Err() == nil {
		line, at, err := c.previous()
		if err != nil || line == nil {
			t.damaged += c.damaged
			return err
		}
		f.size = max(f.size, at+int64(len(line)))
		if t.full() {
			return nil
		}
		t.record(f, line, at)
	}
	return ctx.Err()
}

// backward gives the lines of a file from the last to the first.
type backward struct {
	file    *file
	at      int64  // where b begins
	b       []byte // ends with a line end, unless unended
	unended bool   // what has been read ends within a line that is passed over
	damaged int
}

// previous gives the line before the last one that it gave, with its line end, and where it begins; nil
// at the begin of the file.
func (c *backward) previous() ([]byte, int64, error) {
	for {
		if len(c.b) > 0 {
			start := bytes.LastIndexByte(c.b[:len(c.b)-1], '\n') + 1
			if start > 0 || c.at == 0 {
				line := c.b[start:]
				c.b = c.b[:start]
				return line, c.at + int64(start), nil
			}
		}
		if c.at == 0 {
			return nil, 0, nil
		}
		if err := c.load(); err != nil {
			return nil, 0, err
		}
	}
}

// load puts the block before b in front of it.
func (c *backward) load() error {
	const block = 64 << 10
	if len(c.b) > maxLine { // no record is so long
		c.b, c.unended = nil, true
		c.damaged++
	}
	n := min(c.at, block)
	b := make([]byte, n, n+int64(len(c.b)))
	if _, err := c.file.ReadAt(b, c.at-n); err != nil && err != io.EOF {
		return fmt.Errorf("read log: %w", err)
	}
	c.at -= n
	if c.unended {
		b = b[:bytes.LastIndexByte(b, '\n')+1]
		c.unended = len(b) == 0
	}
	c.b = append(b, c.b...)
	return nil
}

// record takes the record that stands at this offset if it belongs to one of the last lines.
func (t *tailer) record(f *file, line []byte, at int64) {
	if _, err := t.entry.decode(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
		// Whatever it was, it was a line: the last 15 lines are the same ones whether one can be read or not.
		// As damage it counts when the spans are read.
		if t.lines < t.want {
			t.lines++
			t.take(f, at, at+int64(len(line)))
		}
		return
	}
	taken, seen := t.open[t.entry.Stream]
	if !seen || !t.entry.Partial() { // the end of a line
		taken = t.lines < t.want
		if taken {
			t.lines++
		}
		t.open[t.entry.Stream] = taken
	}
	if taken {
		t.take(f, at, at+int64(len(line)))
	}
}

// take notes a span, joined with the one behind it where they touch.
func (t *tailer) take(f *file, from, to int64) {
	if n := len(t.spans); n > 0 && t.spans[n-1].file == f && t.spans[n-1].from == to {
		t.spans[n-1].from = from
		return
	}
	t.spans = append(t.spans, span{f, from, to})
}

// full says that nothing earlier can belong to the last lines.
func (t *tailer) full() bool {
	if t.lines < t.want {
		return false
	}
	for _, open := range t.open {
		if open {
			return false
		}
	}
	return true
}
