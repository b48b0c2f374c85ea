package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"gourd/internal/container"
)

// Caps of one archive. A layer of a large distribution has 50,000 entries.
const (
	maxEntries   = 4 << 20
	maxNameBytes = 512 << 20
	maxTotal     = 256 << 30 // of file data
	maxSparse    = 64 << 30  // of sparse files: some bytes of archive can make any size, and take time to read
)

// Reader yields the checked entries of a tar stream.
type Reader struct {
	src     *tail
	tar     *tar.Reader
	entries int
	names   int64
	total   int64
	sparse  int64
	last    string
}

// NewReader reads the uncompressed tar stream r. It reads no further than the archive's end marker; who
// computes a digest drains the rest.
func NewReader(r io.Reader) *Reader {
	src := &tail{r: r}
	return &Reader{src: src, tar: tar.NewReader(src)}
}

// Next gives the next entry, io.EOF after the last. An error ends the archive.
// Errors: container.ErrCorrupt for hostile or damaged content; errors of the stream as they are.
func (r *Reader) Next() (*Entry, error) {
	for {
		h, err := r.tar.Next()
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return nil, r.failed(err)
		}
		r.last = h.Name
		if err := r.count(h); err != nil {
			return nil, r.failed(corrupt{err})
		}
		e, err := newEntry(h)
		if err == errSkip {
			continue
		}
		if err != nil {
			return nil, r.failed(corrupt{err})
		}
		return e, nil
	}
}

// Read reads the data of the current file.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.tar.Read(p)
	if err != nil && err != io.EOF {
		err = r.failed(err)
	}
	return n, err
}

// Complete says whether the archive ended as POSIX wants it, with a block of zeros: without a digest that
// is the only sign that a stream was not cut off between two entries.
func (r *Reader) Complete() bool { return r.src.zeros() }

func (r *Reader) count(h *tar.Header) error {
	r.entries++
	r.names += int64(len(h.Name) + len(h.Linkname))
	for k, v := range h.PAXRecords {
		r.names += int64(len(k) + len(v))
	}
	if h.Size > 0 {
		if h.Size > maxTotal-r.total {
			return fmt.Errorf("the files hold more than %d GiB", maxTotal>>30)
		}
		r.total += h.Size
		if isSparseHeader(h) {
			r.sparse += h.Size
		}
	}
	if r.sparse > maxSparse {
		return fmt.Errorf("its sparse files make more than %d GiB", maxSparse>>30)
	}
	if r.entries > maxEntries {
		return fmt.Errorf("it has more than %d entries", maxEntries)
	}
	if r.names > maxNameBytes {
		return fmt.Errorf("its names and attributes take more than %d MiB", maxNameBytes>>20)
	}
	return nil
}

// corrupt marks an error as the archive's own fault.
type corrupt struct{ error }

// failed words an error: whose fault it is, and where in the archive.
func (r *Reader) failed(err error) error {
	object := "archive"
	if r.entries > 0 {
		object = fmt.Sprintf("archive at entry %d (%.200q)", r.entries, r.last)
	}
	if r.src.err != nil && !errors.Is(r.src.err, io.ErrUnexpectedEOF) {
		if errors.Is(r.src.err, container.ErrCorrupt) || errors.Is(r.src.err, context.Canceled) {
			return r.src.err
		}
		return &container.Error{Verb: "read", Object: object, Cause: r.src.err}
	}
	var own corrupt
	if errors.As(err, &own) {
		err = own.error
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	return &container.Error{Verb: "read", Object: object, Kind: container.ErrCorrupt, Cause: err}
}

// tail remembers the last block that was read and the first error that isn't the end.
type tail struct {
	r    io.Reader
	last [512]byte
	n    int64
	err  error
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	if n >= len(t.last) {
		copy(t.last[:], p[n-len(t.last):n])
	} else if n > 0 {
		copy(t.last[:], t.last[n:])
		copy(t.last[len(t.last)-n:], p[:n])
	}
	if err != nil && err != io.EOF && t.err == nil {
		t.err = err
	}
	return n, err
}

func (t *tail) zeros() bool { return t.n >= int64(len(t.last)) && t.last == [512]byte{} }
