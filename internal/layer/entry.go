package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"
	"time"
)

// Kind is what an entry makes.
type Kind int

const (
	File Kind = iota
	Dir
	Symlink
	HardLink
	Char
	Block
	Fifo
	Whiteout // Name no longer exists: a file named .wh.NAME (image-spec, layer.md, "Whiteouts")
	Opaque   // directory Name hides what lower layers have in it: .wh..wh..opq
)

var kindNames = [...]string{"file", "directory", "symbolic link", "hard link", "character device", "block device", "fifo", "whiteout", "opaque whiteout"}

func (k Kind) String() string { return kindNames[k] }

// Entry is one checked entry of a layer.
type Entry struct {
	Name   string // relative, clean, without "..": "etc/passwd"; "." is the root itself
	Kind   Kind
	Mode   uint32 // permission bits with setuid, setgid and sticky; without meaning for a symbolic link
	UID    uint32
	GID    uint32
	Size   int64 // of a File's data, holes included
	Sparse bool  // the archive gave holes
	Time   time.Time
	Link   string // a Symlink's target as it stands; a HardLink's, clean and relative to the root
	Major  uint32
	Minor  uint32
	Xattrs map[string]string
}

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	aufsPrefix     = ".wh..wh." // aufs' own files and the opaque marker; nothing with it is content

	maxPath      = 4095 // PATH_MAX without its NUL
	maxComponent = 255  // NAME_MAX
	maxXattr     = 64 << 10
	maxID        = math.MaxUint32 - 1 // 4294967295 is chown's "leave it"
	maxMajor     = 1<<12 - 1
	maxMinor     = 1<<20 - 1
)

// errSkip marks entries that are no content: dropped without a word.
var errSkip = errors.New("not content")

// newEntry checks a header and turns it into an Entry.
func newEntry(h *tar.Header) (*Entry, error) {
	e := &Entry{Size: h.Size, Time: h.ModTime, Mode: uint32(h.Mode & 0o7777)}
	if err := e.setKind(h); err != nil {
		return nil, err
	}
	if err := e.setName(h.Name); err != nil {
		return nil, err
	}
	if err := e.setNumbers(h); err != nil {
		return nil, err
	}
	if e.Kind == Char && e.Major == 0 && e.Minor == 0 {
		return nil, errSkip // overlay would take it for a whiteout; as a device it is nothing
	}
	if err := e.setLink(h.Linkname); err != nil {
		return nil, err
	}
	return e, e.setXattrs(h.PAXRecords)
}

// setKind maps tar's type flags. Those that are metadata of the archive itself are skipped, unknown ones refused.
func (e *Entry) setKind(h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont:
		e.Kind, e.Sparse = File, isSparseHeader(h)
	case tar.TypeGNUSparse:
		e.Kind, e.Sparse = File, true
	case tar.TypeDir, 'D': // 'D' is a directory of an incremental GNU archive; its data is a list of names
		e.Kind, e.Size = Dir, 0
	case tar.TypeSymlink:
		e.Kind = Symlink
	case tar.TypeLink:
		e.Kind = HardLink
	case tar.TypeChar:
		e.Kind = Char
	case tar.TypeBlock:
		e.Kind = Block
	case tar.TypeFifo:
		e.Kind = Fifo
	case tar.TypeXGlobalHeader, 'V': // global records (git's commit id …) and GNU's volume label
		return errSkip
	default:
		return fmt.Errorf("type %q can't be read", rune(h.Typeflag))
	}
	return nil
}

// isSparseHeader knows GNU's old format by its type and those in PAX archives (0.0, 0.1, 1.0) by their records.
func isSparseHeader(h *tar.Header) bool {
	return h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.size"] != ""
}

// setName cleans the name and recognises whiteouts, which are told by their name alone.
func (e *Entry) setName(name string) error {
	clean, err := cleanPath(name)
	if err != nil {
		return err
	}
	e.Name = clean
	dir, base := path.Split(clean)
	for _, c := range strings.Split(strings.TrimSuffix(dir, "/"), "/") {
		if strings.HasPrefix(c, aufsPrefix) {
			return errSkip
		}
		if strings.HasPrefix(c, whiteoutPrefix) {
			return fmt.Errorf("%q is a whiteout and can't have entries below it", c)
		}
	}
	switch {
	case base == opaqueMarker:
		*e = Entry{Kind: Opaque, Name: path.Clean(dir + ".")}
	case strings.HasPrefix(base, aufsPrefix):
		return errSkip
	case strings.HasPrefix(base, whiteoutPrefix):
		victim := strings.TrimPrefix(base, whiteoutPrefix)
		if victim == "" || victim == "." || victim == ".." {
			return fmt.Errorf("a whiteout of %q means nothing", victim)
		}
		*e = Entry{Kind: Whiteout, Name: dir + victim}
	case clean == "." && e.Kind != Dir:
		return fmt.Errorf("the root can't be a %s", e.Kind)
	}
	return nil
}

func (e *Entry) setNumbers(h *tar.Header) error {
	if e.Kind == Whiteout || e.Kind == Opaque {
		return nil
	}
	for _, n := range []struct {
		what  string
		value int64
		max   int64
		to    *uint32
	}{
		{"user id", int64(h.Uid), maxID, &e.UID}, {"group id", int64(h.Gid), maxID, &e.GID},
	} {
		if n.value < 0 || n.value > n.max {
			return fmt.Errorf("%s %d is outside 0 to %d", n.what, n.value, n.max)
		}
		*n.to = uint32(n.value)
	}
	if e.Kind != Char && e.Kind != Block {
		return nil
	}
	if h.Devmajor < 0 || h.Devmajor > maxMajor || h.Devminor < 0 || h.Devminor > maxMinor {
		return fmt.Errorf("there is no device number %d:%d", h.Devmajor, h.Devminor)
	}
	e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	return nil
}

func (e *Entry) setLink(target string) error {
	switch e.Kind {
	case Symlink:
		if target == "" || len(target) > maxPath || strings.ContainsRune(target, 0) {
			return fmt.Errorf("a symbolic link can't have the target %.100q", target)
		}
		e.Link = target
	case HardLink:
		clean, err := cleanPath(target)
		if err != nil {
			return fmt.Errorf("hard link: %w", err)
		}
		if clean == "." {
			return errors.New("a hard link can't have the root as its target")
		}
		e.Link = clean
	}
	return nil
}

const xattrRecord = "SCHILY.xattr." // star's and GNU tar's key in PAX records

func (e *Entry) setXattrs(records map[string]string) error {
	if e.Kind == Whiteout || e.Kind == Opaque || e.Kind == HardLink {
		return nil
	}
	for key, value := range records {
		name, ok := strings.CutPrefix(key, xattrRecord)
		if !ok || !keepXattr(name) {
			continue
		}
		if len(name) > maxComponent || len(value) > maxXattr || strings.ContainsRune(name, 0) {
			return fmt.Errorf("extended attribute %.40q is too large", name)
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = value
	}
	return nil
}

// keepXattr says which extended attributes are content. trusted.* and user.overlay.* steer overlayfs; of
// security.* only file capabilities belong to the file, the rest (labels, signatures) to the host.
func keepXattr(name string) bool {
	switch {
	case name == "security.capability", name == aclAccess, name == aclDefault:
		return true
	case strings.HasPrefix(name, "user.overlay."):
		return false
	}
	return strings.HasPrefix(name, "user.") && len(name) > len("user.")
}

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// cleanPath makes a name of the archive relative and clean. "..", NUL and over-long names are refused: no
// honest archive needs them, and what they mean differs from tool to tool.
func cleanPath(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("name %.100q has a NUL", name)
	}
	if len(name) > maxPath {
		return "", fmt.Errorf("name %.40q… has %d bytes, more than %d", name, len(name), maxPath)
	}
	parts := make([]string, 0, 8)
	for c := range strings.SplitSeq(name, "/") {
		switch {
		case c == "" || c == ".":
			continue
		case c == "..":
			return "", fmt.Errorf("name %.100q has \"..\"", name)
		case len(c) > maxComponent:
			return "", fmt.Errorf("name %.40q… has a part of %d bytes, more than %d", name, len(c), maxComponent)
		}
		parts = append(parts, c)
	}
	if len(parts) == 0 {
		if name == "" {
			return "", errors.New("it has no name")
		}
		return ".", nil
	}
	return strings.Join(parts, "/"), nil
}
