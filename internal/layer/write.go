package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"time"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// WriteOptions say what kind of tree is written.
type WriteOptions struct {
	// IDs puts the owners back: the archive has the container's ids.
	IDs IDMaps
	// Upper: the tree is the upper directory of an overlay; whiteouts and opaque directories become .wh. names.
	Upper bool
	// Hides says whether lower layers have something under an opaque directory's name, so that its marker is
	// needed (overlayfs marks every new directory). nil: always.
	Hides func(name string) bool
	// Deleted lists the names in a directory to write whiteouts for, where Upper's own form isn't used.
	Deleted func(dir string) []string
	// Keep, if not nil, says whether an entry of the tree is written; of a directory that isn't nothing is.
	Keep func(name string, st *unix.Stat_t) bool
}

// Write writes the tree below root as a tar stream with everything that belongs to it: owners, modes, times to
// the nanosecond, extended attributes, hard links, holes, devices. Names are sorted, so that the same tree gives
// the same bytes. Sockets are left out, as they mean nothing without their process. A file that shrinks
// meanwhile is padded with zeros. The stream is a PAX archive with its end marker.
func Write(ctx context.Context, w io.Writer, root *os.File, o WriteOptions) error {
	t := &treeWriter{ctx: ctx, tar: tar.NewWriter(w), raw: w, o: o, links: map[inode]string{}, buf: make([]byte, copyBlock)}
	if err := t.dir(int(root.Fd()), "."); err != nil {
		return err
	}
	return t.tar.Close()
}

type inode struct{ dev, ino uint64 }

type treeWriter struct {
	ctx   context.Context
	tar   *tar.Writer
	raw   io.Writer
	o     WriteOptions
	links map[inode]string // first name of every file with several
	buf   []byte
}

func (t *treeWriter) failed(name string, err error) error {
	return &container.Error{Verb: "archive", Object: fmt.Sprintf("%.300q", name), Cause: err}
}

// dir writes an open directory and what is in it.
func (t *treeWriter) dir(fd int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return t.failed(name, err)
	}
	h, err := t.header(name, &st, xattrFile{fd: fd})
	if err != nil {
		return t.failed(name, err)
	}
	if err := t.tar.WriteHeader(h); err != nil {
		return t.failed(name, err)
	}
	if err := t.opaque(fd, name); err != nil {
		return err
	}
	if t.o.Deleted != nil {
		for _, n := range t.o.Deleted(name) {
			if err := t.whiteout(path.Join(name, n)); err != nil {
				return err
			}
		}
	}
	names, err := readNames(fd)
	if err != nil {
		return t.failed(name, err)
	}
	sort.Strings(names)
	for _, n := range names {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		if err := t.child(fd, path.Join(name, n), n); err != nil {
			return err
		}
	}
	return nil
}

// opaque writes the marker of a directory that hides the lower layers'.
func (t *treeWriter) opaque(fd int, name string) error {
	if !t.o.Upper || !isOpaque(xattrFile{fd: fd}) || t.o.Hides != nil && !t.o.Hides(name) {
		return nil
	}
	return t.tar.WriteHeader(&tar.Header{Name: path.Join(name, opaqueMarker), Typeflag: tar.TypeReg, Mode: 0o600, Format: tar.FormatPAX})
}

// IsOpaque says whether an open directory of an overlay's layer hides what lies below it.
func IsOpaque(dir *os.File) bool { return isOpaque(xattrFile{fd: int(dir.Fd())}) }

func isOpaque(f xattrFile) bool {
	for _, name := range []string{overlayOpaque, "user.overlay.opaque"} {
		if v, ok, _ := f.value(name); ok && v == "y" {
			return true
		}
	}
	return false
}

func (t *treeWriter) child(parent int, name, base string) error {
	st, err := lstatAt(parent, base)
	if err == unix.ENOENT {
		return nil // gone since the directory was read
	}
	if err != nil {
		return t.failed(name, err)
	}
	if t.o.Keep != nil && !t.o.Keep(name, &st) {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return t.failed(name, err)
		}
		defer unix.Close(fd)
		return t.dir(fd, name)
	case unix.S_IFSOCK:
		return nil
	}
	if t.o.Upper && isWhiteout(&st) {
		return t.whiteout(name)
	}
	if first, ok := t.links[inode{st.Dev, st.Ino}]; ok && st.Nlink > 1 {
		return t.tar.WriteHeader(&tar.Header{Name: name, Linkname: first, Typeflag: tar.TypeLink, Mode: int64(st.Mode & 0o7777), Uid: int(t.o.IDs.uid(st.Uid)), Gid: int(t.o.IDs.gid(st.Gid)), ModTime: mtime(&st), Format: tar.FormatPAX})
	}
	if st.Nlink > 1 {
		t.links[inode{st.Dev, st.Ino}] = name
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		err = t.file(parent, name, base)
	} else {
		err = t.special(parent, name, base, &st)
	}
	if err != nil {
		return t.failed(name, err)
	}
	return nil
}

func (t *treeWriter) whiteout(name string) error {
	dir, base := split(name)
	return t.tar.WriteHeader(&tar.Header{Name: path.Join(dir, whiteoutPrefix+base), Typeflag: tar.TypeReg, Mode: 0o600, Format: tar.FormatPAX})
}

func (t *treeWriter) special(parent int, name, base string, st *unix.Stat_t) error {
	fd, err := unix.Openat(parent, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, st); err != nil {
		return err
	}
	h, err := t.header(name, st, xattrFile{path: procPath(fd)})
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		buf := make([]byte, maxPath+1)
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			return err
		}
		h.Linkname = string(buf[:n])
	}
	return t.tar.WriteHeader(h)
}

func (t *treeWriter) file(parent int, name, base string) error {
	// O_NONBLOCK: should a fifo stand there by now, opening it must not wait.
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.ESTALE
	}
	h, err := t.header(name, &st, xattrFile{fd: fd})
	if err != nil {
		return err
	}
	if st.Blocks*512 < st.Size {
		if data := dataRanges(fd, st.Size); isSparse(data, st.Size) {
			return t.sparse(f, h, data)
		}
	}
	if err := t.tar.WriteHeader(h); err != nil {
		return err
	}
	return t.copy(t.tar, f, 0, st.Size)
}

// copy writes exactly n bytes from offset on; what the file no longer has is zeros.
func (t *treeWriter) copy(w io.Writer, f *os.File, offset, n int64) error {
	for n > 0 {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		b := t.buf[:min(n, int64(len(t.buf)))]
		got, err := f.ReadAt(b, offset)
		if err != nil && err != io.EOF {
			return err
		}
		if got == 0 {
			got = len(b)
			clear(b)
		}
		if _, err := w.Write(b[:got]); err != nil {
			return err
		}
		offset, n = offset+int64(got), n-int64(got)
	}
	return nil
}

// header is everything of an entry but its data.
func (t *treeWriter) header(name string, st *unix.Stat_t, x xattrFile) (*tar.Header, error) {
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(t.o.IDs.uid(st.Uid)), Gid: int(t.o.IDs.gid(st.Gid)),
		ModTime: mtime(st), Format: tar.FormatPAX,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	}
	xattrs, err := x.content(t.o.IDs)
	if err != nil {
		return nil, fmt.Errorf("read attributes: %w", err)
	}
	for k, v := range xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+k] = v
	}
	return h, nil
}

func mtime(st *unix.Stat_t) time.Time { return time.Unix(st.Mtim.Sec, st.Mtim.Nsec) }
