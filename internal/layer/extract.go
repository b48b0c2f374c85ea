package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// Mode says what Extract makes of whiteouts.
type Mode int

const (
	// Diff keeps a layer as a difference, in overlayfs' form: a whiteout becomes a character device 0:0, an
	// opaque directory gets the attribute trusted.overlay.opaque.
	Diff Mode = iota
	// Apply changes a complete tree: whiteouts delete what earlier layers made.
	Apply
)

// Extracted tells what a layer was made of.
type Extracted struct {
	Bytes   int64 // sum of the files' sizes, as docker counts a layer
	Entries int
	// Implied are directories that had no entry of their own in this layer, so that their owner, mode and
	// time are those of the lower layers; "." is among them if the root had none.
	Implied []string
	Opaque  bool // the root itself is opaque: nothing of the lower layers is seen
	// Links are hard links whose target is in a lower layer, in the archive's order; see ExtractOptions.
	Links []LowerLink
}

// LowerLink is a hard link into a lower layer.
type LowerLink struct {
	Name   string `json:"name"`
	Target string `json:"target"`
}

// ExtractOptions of Extract.
type ExtractOptions struct {
	Mode Mode
	// IDs: owners are made what the host sees of this user namespace; the zero value leaves them as they stand.
	IDs IDMaps
	// LowerLinks: hard links without a target in this layer are reported, not refused.
	LowerLinks bool
}

// Extract makes what r holds below root. Ids, modes (setuid included) and devices are made as they stand, so
// root must lie below a directory that only root may enter. Paths are resolved inside root, by handles: links
// in the archive can't lead out of it. On an error the tree is incomplete and the caller removes it.
// Errors: container.ErrCorrupt for what no honest layer does; else the system's.
func Extract(ctx context.Context, root *os.File, r *Reader, o ExtractOptions) (Extracted, error) {
	x := newExtractor(ctx, root, r, o)
	defer x.forget()
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = x.entry(e)
		}
		if err != nil {
			return x.result, x.failed(e, err)
		}
	}
	if err := x.finish(); err != nil {
		return x.result, err
	}
	return x.result, nil
}

func newExtractor(ctx context.Context, root *os.File, data io.Reader, o ExtractOptions) *extractor {
	x := &extractor{
		ctx: ctx, root: int(root.Fd()), data: data, o: o, cached: -1,
		buf: make([]byte, copyBlock), implied: map[string]bool{}, made: map[string]bool{}, touched: map[string]time.Time{},
	}
	if o.Mode == Diff {
		x.implied["."] = true
	}
	return x
}

const copyBlock = 256 << 10

type extractor struct {
	ctx    context.Context
	root   int
	data   io.Reader // of the current file
	o      ExtractOptions
	buf    []byte
	result Extracted

	// The directory of the last entry stays open: archives go through a tree directory by directory.
	cachedName string
	cached     int

	dirs    []madeDir            // directories get their times when nothing is made in them any more
	implied map[string]bool      // directories made without an entry, and "." until it has one
	made    map[string]bool      // Apply: what this layer made, and the directories above it: its own whiteouts spare them
	touched map[string]time.Time // Apply: directories of lower layers that were changed, and the times they had
}

// madeDir is an entry and the inode it made, since a later entry may put something else in its place.
type madeDir struct {
	e   *Entry
	ino uint64
}

func (x *extractor) failed(e *Entry, err error) error {
	var known *container.Error
	if errors.As(err, &known) || e == nil || errors.Is(err, context.Canceled) {
		return err
	}
	out := &container.Error{Verb: "extract " + e.Kind.String(), Object: fmt.Sprintf("%.300q", e.Name), Cause: err}
	var own corrupt
	switch {
	case errors.As(err, &own):
		out.Kind, out.Cause = container.ErrCorrupt, own.error
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EXDEV):
		out.Kind = container.ErrCorrupt // only links in the archive lead to these
	}
	return out
}

func (x *extractor) entry(e *Entry) error {
	x.result.Entries++
	switch {
	case e.Kind == Whiteout:
		return x.whiteout(e)
	case e.Kind == Opaque:
		return x.opaque(e)
	case e.Name == ".":
		return x.setDir(x.root, e, true)
	}
	dir, base := split(e.Name)
	parent, err := x.parent(dir)
	if err != nil {
		return err
	}
	x.remember(e.Name)
	switch e.Kind {
	case File:
		return x.file(parent, base, e)
	case Dir:
		return x.directory(parent, base, e)
	case HardLink:
		return x.hardLink(parent, base, e)
	}
	return x.special(parent, base, e)
}

// remember notes what this layer made, with the directories above.
func (x *extractor) remember(name string) {
	for x.o.Mode == Apply && name != "." && !x.made[name] {
		x.made[name] = true
		name, _ = split(name)
	}
}

// parent opens the directory that an entry goes into, making what is missing.
func (x *extractor) parent(dir string) (int, error) {
	if dir == "." {
		return x.root, x.touch(x.root, dir)
	}
	if x.cached >= 0 && x.cachedName == dir {
		return x.cached, nil
	}
	fd, err := openInRoot(x.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		fd, err = x.makeParents(dir)
	}
	if err != nil {
		return -1, err
	}
	x.forget()
	x.cached, x.cachedName = fd, dir
	return fd, x.touch(fd, dir)
}

// touch notes a directory's time before something is made or deleted in it, which is no change of the directory.
func (x *extractor) touch(fd int, name string) error {
	if _, known := x.touched[name]; known || x.o.Mode != Apply || x.implied[name] {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	x.touched[name] = mtime(&st)
	return nil
}

// forget closes the cached directory: at the end, and whenever something was replaced.
func (x *extractor) forget() {
	if x.cached >= 0 {
		unix.Close(x.cached)
	}
	x.cached, x.cachedName = -1, ""
}

// makeParents opens dir step by step and makes the directories that no entry has made.
func (x *extractor) makeParents(dir string) (int, error) {
	at, err := unix.Dup(x.root)
	if err != nil {
		return -1, err
	}
	for end := 0; end < len(dir); end++ {
		begin := end
		for end < len(dir) && dir[end] != '/' {
			end++
		}
		prefix, base := dir[:end], dir[begin:end]
		next, err := openInRoot(x.root, prefix, unix.O_RDONLY|unix.O_DIRECTORY)
		if err == unix.ENOENT || err == unix.ENOTDIR {
			next, err = x.implyDir(at, prefix, base)
		}
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// implyDir makes one directory that has no entry (yet). A whiteout of this layer in its place means that the
// directory is new: it becomes opaque. Anything else in its place is an archive that contradicts itself.
func (x *extractor) implyDir(parent int, name, base string) (int, error) {
	st, err := lstatAt(parent, base)
	replaced := err == nil && isWhiteout(&st)
	switch {
	case replaced:
		err = unix.Unlinkat(parent, base, 0)
	case err == nil:
		return -1, corrupt{fmt.Errorf("%q is in the way: it is no directory, or a link that leads nowhere", name)}
	case err == unix.ENOENT:
		err = nil
	}
	if err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(parent, base, 0o755); err != nil {
		return -1, err
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	x.implied[name] = true
	uid, gid := x.o.IDs.Host(0, 0)
	err = errors.Join(unix.Fchown(fd, int(uid), int(gid)), unix.Fchmod(fd, 0o755))
	if err == nil && replaced {
		err = setOpaque(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// clear takes away what stands where an entry goes: a later entry of the same name wins.
func (x *extractor) clear(parent int, base string) error {
	if parent != x.cached {
		x.forget() // the cached directory may be, or lie below, what goes away
	}
	return removeAll(parent, base)
}

func (x *extractor) file(parent int, base string, e *Entry) error {
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(parent, base, flags, 0o600)
	if err == unix.EEXIST {
		if err = x.clear(parent, base); err == nil {
			fd, err = unix.Openat(parent, base, flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	if err := x.content(f, e); err != nil {
		return err
	}
	x.result.Bytes += e.Size
	if err := x.setFile(fd, e); err != nil {
		return err
	}
	return setTime(parent, base, e)
}

// content copies a file's data. Where the archive gave holes, blocks of zeros become holes again.
func (x *extractor) content(f *os.File, e *Entry) error {
	for {
		n, err := io.ReadFull(x.data, x.buf)
		end := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !end {
			return err
		}
		if e.Sparse {
			err = writeHoles(f, x.buf[:n])
		} else {
			_, err = f.Write(x.buf[:n])
		}
		if err == nil {
			err = x.ctx.Err()
		}
		if err != nil {
			return err
		}
		if end {
			break
		}
	}
	if e.Sparse {
		return f.Truncate(e.Size)
	}
	return nil
}

// holeSize is the smallest hole: a page, which is also a block of most file systems.
const holeSize = 4096

var zeroPage [holeSize]byte

// writeHoles writes b at the file's position, leaving out whole pages of zeros.
func writeHoles(f *os.File, b []byte) error {
	for len(b) > 0 {
		data := 0
		for data < len(b) && !isHole(b[data:]) {
			data += min(holeSize, len(b)-data)
		}
		if _, err := f.Write(b[:data]); err != nil {
			return err
		}
		b = b[data:]
		hole := 0
		for hole < len(b) && isHole(b[hole:]) {
			hole += holeSize
		}
		if _, err := f.Seek(int64(hole), io.SeekCurrent); err != nil {
			return err
		}
		b = b[hole:]
	}
	return nil
}

func isHole(b []byte) bool { return len(b) >= holeSize && [holeSize]byte(b) == zeroPage }

func (x *extractor) directory(parent int, base string, e *Entry) error {
	err := unix.Mkdirat(parent, base, 0o700)
	existed, replaced := err == unix.EEXIST, false
	if existed {
		var st unix.Stat_t
		if st, err = lstatAt(parent, base); err == nil && !isDir(&st) {
			// Something of this layer hid the lower layers' directory: so does the directory in its place.
			replaced = true
			if err = x.clear(parent, base); err == nil {
				err = unix.Mkdirat(parent, base, 0o700)
			}
		}
	}
	if err != nil {
		return err
	}
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if replaced && x.o.Mode == Diff {
		if err := setOpaque(fd); err != nil {
			return err
		}
	}
	return x.setDir(fd, e, existed && !replaced)
}

// setDir gives a directory what its entry says. One that existed loses the attributes it had.
func (x *extractor) setDir(fd int, e *Entry, existed bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	delete(x.implied, e.Name)
	x.dirs = append(x.dirs, madeDir{e, st.Ino})
	if existed {
		if err := dropXattrs(fd); err != nil {
			return err
		}
	}
	return x.setFile(fd, e)
}

func (x *extractor) hardLink(parent int, base string, e *Entry) error {
	dir, target := split(e.Link)
	from, err := openInRoot(x.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		if err := x.clear(parent, base); err != nil {
			return err
		}
		return x.noTarget(e)
	}
	if err != nil {
		return err
	}
	defer unix.Close(from)
	st, err := lstatAt(from, target)
	switch {
	case err == unix.ENOENT, err == nil && isWhiteout(&st):
		if err := x.clear(parent, base); err != nil {
			return err
		}
		return x.noTarget(e)
	case err != nil:
		return err
	case isDir(&st):
		return corrupt{fmt.Errorf("its target %q is a directory", e.Link)}
	}
	if old, err := lstatAt(parent, base); err == nil {
		if old.Dev == st.Dev && old.Ino == st.Ino {
			return nil
		}
		if err := x.clear(parent, base); err != nil {
			return err
		}
	}
	err = unix.Linkat(from, target, parent, base, 0)
	if err == unix.ENOENT {
		return x.noTarget(e) // the target lay below what the link replaces
	}
	return err
}

func (x *extractor) noTarget(e *Entry) error {
	if x.o.LowerLinks {
		x.result.Links = append(x.result.Links, LowerLink{e.Name, e.Link})
		return nil
	}
	return corrupt{fmt.Errorf("its target %q is not in this layer", e.Link)}
}

// special makes symbolic links, devices and fifos.
func (x *extractor) special(parent int, base string, e *Entry) error {
	err := makeSpecial(parent, base, e)
	if err == unix.EEXIST {
		if err = x.clear(parent, base); err == nil {
			err = makeSpecial(parent, base, e)
		}
	}
	if err != nil {
		return err
	}
	uid, gid := x.o.IDs.Host(e.UID, e.GID)
	if err := unix.Fchownat(parent, base, int(uid), int(gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if e.Kind != Symlink {
		fd, err := unix.Openat(parent, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := x.setXattrs(e, func(name, value string) error { return unix.Setxattr(procPath(fd), name, []byte(value), 0) }); err != nil {
			return err
		}
		if err := unix.Chmod(procPath(fd), e.Mode); err != nil { // again: the umask, and an ACL's mask
			return err
		}
	}
	return setTime(parent, base, e)
}

func makeSpecial(parent int, base string, e *Entry) error {
	switch e.Kind {
	case Symlink:
		return unix.Symlinkat(e.Link, parent, base)
	case Char:
		return unix.Mknodat(parent, base, unix.S_IFCHR|e.Mode, int(unix.Mkdev(e.Major, e.Minor)))
	case Block:
		return unix.Mknodat(parent, base, unix.S_IFBLK|e.Mode, int(unix.Mkdev(e.Major, e.Minor)))
	}
	return unix.Mknodat(parent, base, unix.S_IFIFO|e.Mode, 0)
}

// setFile gives an open file or directory its owner, attributes and mode, in this order: a new owner clears
// setuid bits and file capabilities. The time is set last, by the caller.
func (x *extractor) setFile(fd int, e *Entry) error {
	uid, gid := x.o.IDs.Host(e.UID, e.GID)
	if err := unix.Fchown(fd, int(uid), int(gid)); err != nil {
		return err
	}
	if err := x.setXattrs(e, func(name, value string) error { return unix.Fsetxattr(fd, name, []byte(value), 0) }); err != nil {
		return err
	}
	return unix.Fchmod(fd, e.Mode)
}

// setXattrs sets all but a directory's default ACL, which what is made in the directory would inherit.
func (x *extractor) setXattrs(e *Entry, set func(name, value string) error) error {
	for name, value := range e.Xattrs {
		if name == aclDefault || e.Kind != File && e.Kind != Dir && name != aclAccess {
			continue // user.* and capabilities exist on files (and user.* on directories) only: xattr(7)
		}
		if e.Kind == Dir && name == "security.capability" {
			continue
		}
		if err := set(name, x.o.IDs.hostXattr(name, value)); err != nil {
			return fmt.Errorf("set attribute %q: %w", name, err)
		}
	}
	return nil
}

func setTime(parent int, base string, e *Entry) error {
	return unix.UtimesNanoAt(parent, base, timespec(e), unix.AT_SYMLINK_NOFOLLOW)
}

func timespec(e *Entry) []unix.Timespec {
	ts := unix.Timespec{Sec: e.Time.Unix(), Nsec: int64(e.Time.Nanosecond())}
	return []unix.Timespec{ts, ts}
}

const overlayOpaque = "trusted.overlay.opaque"

func setOpaque(fd int) error {
	if err := unix.Fsetxattr(fd, overlayOpaque, []byte{'y'}, 0); err != nil {
		return fmt.Errorf("set attribute %q: %w", overlayOpaque, err)
	}
	return nil
}

// finish gives directories their default ACLs and times, the deepest first. Where the archive has a
// directory twice, the later entry counts.
func (x *extractor) finish() error {
	x.forget()
	done := make(map[uint64]bool, len(x.dirs))
	for _, d := range slices.Backward(x.dirs) {
		if err := x.finishDir(d.e, done, d.ino); err != nil {
			return x.failed(d.e, err)
		}
	}
	for name := range x.implied {
		x.result.Implied = append(x.result.Implied, name)
		x.touched[name] = time.Unix(0, 0) // the lower layers' business; without one, it must not depend on today
	}
	sort.Strings(x.result.Implied)
	for name, at := range x.touched {
		e := &Entry{Name: name, Kind: Dir, Time: at}
		if err := x.finishDir(e, done, 0); err != nil {
			return x.failed(e, err)
		}
	}
	x.result.Links = slices.DeleteFunc(x.result.Links, func(l LowerLink) bool { return x.exists(l.Name) })
	return nil
}

// exists says whether a later entry took a link's name. A whiteout doesn't count: a link wins over that.
func (x *extractor) exists(name string) bool {
	dir, base := split(name)
	parent, err := openInRoot(x.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer unix.Close(parent)
	st, err := lstatAt(parent, base)
	return err == nil && !isWhiteout(&st)
}

// finishDir does it for one directory that isn't done, if it is still the one with this inode (0 for any).
func (x *extractor) finishDir(e *Entry, done map[uint64]bool, ino uint64) error {
	if done[ino] {
		return nil
	}
	dir, base := split(e.Name)
	parent, err := openInRoot(x.root, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(parent)
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || ino != 0 && st.Ino != ino || done[st.Ino] {
		return err
	}
	done[st.Ino] = true
	if acl, ok := e.Xattrs[aclDefault]; ok {
		if err := unix.Fsetxattr(fd, aclDefault, []byte(x.o.IDs.hostXattr(aclDefault, acl)), 0); err != nil {
			return fmt.Errorf("set attribute %q: %w", aclDefault, err)
		}
	}
	return unix.UtimesNanoAt(fd, ".", timespec(e), unix.AT_SYMLINK_NOFOLLOW)
}

// ignoreGone accepts that a later entry replaced a directory.
func ignoreGone(err error) error {
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return nil
	}
	return err
}
