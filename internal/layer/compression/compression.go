// Package compression recognises and undoes the compressions that image archives come in. It is apart from layer
// so that who never reads an archive, such as gourd-monitor, doesn't pay for the decoders' package init.
package compression

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"gourd/internal/container"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Format is how a stream is compressed.
type Format string

const (
	Plain Format = ""
	Gzip  Format = "gzip"
	Zstd  Format = "zstd"
	Bzip2 Format = "bzip2"
	XZ    Format = "xz"
)

// Limits bound what a small input may blow up to.
type Limits struct {
	MaxBytes int64 // of uncompressed data
	MaxRatio int64 // uncompressed bytes per compressed byte …
	Free     int64 // … beyond this many uncompressed bytes
}

// DefaultLimits let every sensible layer through: 256 GiB, and above 1 GiB no more than 200 times the input.
// (gzip reaches at most 1032, zstd and bzip2 more than 10,000.)
func DefaultLimits() Limits { return Limits{MaxBytes: 256 << 30, MaxRatio: 200, Free: 1 << 30} }

// maxWindow is how far back a stream may refer, in bytes: what `zstd` and `xz -9` accept without being told.
const maxWindow = 128 << 20

// Decompressor reads a stream uncompressed, whatever it was compressed with.
type Decompressor struct {
	Format Format
	src    *counter
	dec    io.Reader
	close  func()
	out    int64
	limits Limits
}

// Decompress looks at the first bytes of r and returns a reader of the uncompressed stream. What isn't
// recognised is passed on as it is. Close frees the decoder, not r.
// Errors of reading: container.ErrCorrupt for damaged data and bombs; errors of r as they are.
func Decompress(r io.Reader) (*Decompressor, error) { return DecompressWith(r, DefaultLimits()) }

// DecompressWith is Decompress with other limits.
func DecompressWith(r io.Reader, limits Limits) (*Decompressor, error) {
	src := &counter{r: r}
	buf := bufio.NewReaderSize(src, 128<<10)
	head, err := buf.Peek(32)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	d := &Decompressor{Format: detect(head), src: src, limits: limits, close: func() {}}
	if err := d.open(buf, head); err != nil {
		return nil, d.damaged(err)
	}
	return d, nil
}

// detect knows the formats by their magic numbers: RFC 1952, RFC 8878 (frames and skippable frames), bzip2, xz.
func detect(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return Zstd
	case len(head) >= 4 && bytes.HasPrefix(head, []byte("BZh")) && head[3] >= '1' && head[3] <= '9':
		return Bzip2
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return XZ
	}
	return Plain
}

func (d *Decompressor) open(buf *bufio.Reader, head []byte) error {
	switch d.Format {
	case Gzip:
		z, err := gzip.NewReader(buf)
		if err != nil {
			return err
		}
		d.dec, d.close = z, func() { z.Close() }
	case Zstd:
		z, err := zstd.NewReader(buf, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		d.dec, d.close = z, z.Close
	case Bzip2:
		d.dec = bzip2.NewReader(buf)
	case XZ:
		if err := checkXZWindow(head); err != nil {
			return err
		}
		z, err := xz.NewReader(buf)
		if err != nil {
			return err
		}
		d.dec = z
	default:
		d.dec = buf
	}
	return nil
}

// checkXZWindow refuses a first block whose dictionary would take more memory than maxWindow: the decoder
// allocates what the header says (xz file format 3.1, LZMA2 is filter 0x21 with one byte of properties).
func checkXZWindow(head []byte) error {
	const blockHeader = 12 // after the stream header
	if len(head) < blockHeader+5 || head[blockHeader] == 0 || head[blockHeader+1] != 0 || head[blockHeader+2] != 0x21 {
		return nil // sizes given or other filters come first: those are rare, and the decoder takes only LZMA2
	}
	bits := head[blockHeader+4]
	if bits > 40 {
		return errors.New("impossible dictionary size")
	}
	if size := int64(2|bits&1) << (bits/2 + 11); size > maxWindow {
		return fmt.Errorf("it needs a dictionary of %d MiB, more than %d", size>>20, maxWindow>>20)
	}
	return nil
}

func (d *Decompressor) Read(p []byte) (int, error) {
	n, err := d.dec.Read(p)
	d.out += int64(n)
	if d.Format != Plain && d.out > d.limits.Free && d.out/d.limits.MaxRatio > d.src.n {
		return 0, d.damaged(fmt.Errorf("it grows to more than %d times its size: a decompression bomb", d.limits.MaxRatio))
	}
	if d.out > d.limits.MaxBytes {
		return 0, d.damaged(fmt.Errorf("it holds more than %d GiB", d.limits.MaxBytes>>30))
	}
	if err != nil && err != io.EOF {
		err = d.damaged(err)
	}
	return n, err
}

// Size is the number of uncompressed bytes read so far.
func (d *Decompressor) Size() int64 { return d.out }

// Close frees the decoder.
func (d *Decompressor) Close() error {
	d.close()
	return nil
}

// damaged tells errors in the data from errors of reading it.
func (d *Decompressor) damaged(err error) error {
	if d.src.err != nil {
		return d.src.err
	}
	if d.Format == Plain && errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	what := string(d.Format) + " data"
	if d.Format == Plain {
		what = "data"
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it ends too early")
	}
	return &container.Error{Verb: "decompress", Object: what, Kind: container.ErrCorrupt, Cause: err}
}

// counter counts what is read and remembers the first error that isn't the end.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF && c.err == nil {
		c.err = err
	}
	return n, err
}
