package logfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Query says which records to read.
type Query struct {
	Tail   int       // how many lines (not records) from the end; negative: all
	Since  time.Time // zero: no bound. Both bounds are inclusive
	Until  time.Time
	Follow bool // wait for more
	// Done, with Follow: closed when the container has ended. What is left is read, then Read returns.
	Done <-chan struct{}
}

// maxLine bounds a line of the file: a record of MaxPiece bytes, each escaped as \u00XX, and base64 of
// them is 120 KiB; docker's attrs come on top.
const maxLine = 256 << 10

// errPast ends the reading at the first record after Query.Until.
var errPast = errors.New("past until")

// Read calls emit for each record of the log at path, from the oldest rotated file to the newest, and
// with Follow for those that come, across any rotation. damaged counts the records that could not be
// read and were passed over. A log that doesn't exist is empty. Errors: emit's, the context's, the
// disk's.
func Read(ctx context.Context, path string, q Query, emit func(*Entry) error) (damaged int, err error) {
	r := &reader{path: path, query: q, emit: emit}
	defer r.close()
	if q.Follow {
		w, err := newWatch(ctx, path, q)
		if err != nil {
			return 0, err
		}
		defer w.close()
		r.watch = w
	}
	err = r.run(ctx)
	if errors.Is(err, errPast) {
		err = nil
	}
	return r.damaged, err
}

type reader struct {
	path    string
	query   Query
	emit    func(*Entry) error
	watch   *watch
	files   []*file // the oldest first
	entry   Entry
	buf     *bufio.Reader
	damaged int
}

// file is one file of the log, found again by its inode when it has been renamed.
type file struct {
	*os.File
	dev, ino uint64
	size     int64
}

func (f *file) same(g *file) bool { return f.dev == g.dev && f.ino == g.ino }

func (r *reader) run(ctx context.Context) error {
	var err error
	if r.files, err = openAll(r.path); err != nil {
		return err
	}
	if err := r.present(ctx); err != nil {
		return err
	}
	if r.query.Follow {
		return r.follow(ctx)
	}
	return nil
}

func (r *reader) close() {
	for _, f := range r.files {
		f.Close()
	}
}

// present emits what is in the files now and leaves the size of each at the end of its last whole record.
func (r *reader) present(ctx context.Context) error {
	if r.query.Tail >= 0 {
		return r.tail(ctx)
	}
	for _, f := range r.files {
		end, err := r.scan(ctx, f, 0, f.size)
		if err != nil {
			return err
		}
		f.size = end
	}
	return nil
}

// openAll opens the log's files, the oldest first. The newest is opened first: a rotation meanwhile only
// makes one turn up twice.
func openAll(path string) ([]*file, error) {
	var files []*file
	for n, missing := 0, 0; missing < 2; n++ {
		f, err := openFile(Rotated(path, n))
		if errors.Is(err, os.ErrNotExist) {
			missing++ // one may be missing for a moment, while files are renamed
			continue
		}
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, err
		}
		missing = 0
		if len(files) > 0 && files[0].same(f) {
			f.Close()
			continue
		}
		files = append([]*file{f}, files...)
	}
	return files, nil
}

func openFile(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("read log %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, fmt.Errorf("read log %s: not a regular file", path)
	}
	return &file{File: f, dev: st.Dev, ino: st.Ino, size: st.Size}, nil
}

// scan emits the records of f from one offset up to another and gives where the last whole one ends.
func (r *reader) scan(ctx context.Context, f *file, from, to int64) (end int64, err error) {
	section := io.NewSectionReader(f, from, to-from)
	if r.buf == nil {
		r.buf = bufio.NewReaderSize(section, maxLine)
	} else {
		r.buf.Reset(section)
	}
	for end = from; ctx.Err() == nil; {
		line, err := r.buf.ReadSlice('\n')
		switch {
		case err == nil:
			end += int64(len(line))
			if err := r.take(line[:len(line)-1]); err != nil {
				return end, err
			}
		case errors.Is(err, bufio.ErrBufferFull): // no record is so long
			end += int64(len(line))
			r.damaged++
		case errors.Is(err, io.EOF):
			return end, nil
		default:
			return end, fmt.Errorf("read log: %w", err)
		}
	}
	return end, ctx.Err()
}

// take decodes a line and emits it if it lies within the bounds.
func (r *reader) take(line []byte) error {
	damaged, err := r.entry.decode(line)
	if damaged {
		r.damaged++
	}
	switch {
	case err != nil || r.entry.Time.Before(r.query.Since):
		return nil
	case !r.query.Until.IsZero() && r.entry.Time.After(r.query.Until):
		return errPast
	}
	return r.emit(&r.entry)
}
