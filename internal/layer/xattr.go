package layer

import (
	"encoding/binary"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrFile is an open file whose extended attributes are read: a descriptor, or a /proc/self/fd path for one
// opened with O_PATH.
type xattrFile struct {
	fd   int
	path string
}

func (f xattrFile) list(buf []byte) (int, error) {
	if f.path != "" {
		return unix.Listxattr(f.path, buf)
	}
	return unix.Flistxattr(f.fd, buf)
}

func (f xattrFile) get(name string, buf []byte) (int, error) {
	if f.path != "" {
		return unix.Getxattr(f.path, name, buf)
	}
	return unix.Fgetxattr(f.fd, name, buf)
}

// names lists the attributes. A file system that has none is not an error.
func (f xattrFile) names() ([]string, error) {
	b, err := grow(func(buf []byte) (int, error) { return f.list(buf) })
	if err == unix.ENOTSUP || err == unix.ENODATA || len(b) == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"), nil
}

// value of one attribute; absent is "" and false.
func (f xattrFile) value(name string) (string, bool, error) {
	b, err := grow(func(buf []byte) (int, error) { return f.get(name, buf) })
	if err == unix.ENODATA || err == unix.ENOTSUP {
		return "", false, nil
	}
	return string(b), err == nil, err
}

// grow calls with a larger buffer until the answer fits (at most 64 KiB: xattr(7)).
func grow(call func([]byte) (int, error)) ([]byte, error) {
	for size := 512; ; size *= 4 {
		buf := make([]byte, size)
		n, err := call(buf)
		if err == unix.ERANGE && size < 4*maxXattr {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// dropXattrs removes what an earlier entry or layer set on a directory.
func dropXattrs(fd int) error {
	names, err := xattrFile{fd: fd}.names()
	for _, name := range names {
		if keepXattr(name) {
			if rerr := unix.Fremovexattr(fd, name); rerr != nil && rerr != unix.ENODATA {
				err = errors.Join(err, rerr)
			}
		}
	}
	return err
}

// content reads the attributes that belong to a file and go into an archive, with ids put back by m.
func (f xattrFile) content(m IDMaps) (map[string]string, error) {
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	var set map[string]string
	for _, name := range names {
		if !keepXattr(name) {
			continue
		}
		v, ok, err := f.value(name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if set == nil {
			set = map[string]string{}
		}
		switch name {
		case "security.capability":
			v = m.capability(v)
		case aclAccess, aclDefault:
			v = m.acl(v)
		}
		set[name] = v
	}
	return set, nil
}

// Revisions of struct vfs_cap_data (linux/capability.h): 3 is 2 with the user id of the namespace's root.
const (
	capRevisionMask = 0xff000000
	capRevision2    = 0x02000000
	capRevision3    = 0x03000000
	capSize2        = 20
	capSize3        = 24
)

// capability turns a file capability that counts in a container's user namespace into a plain one.
func (m IDMaps) capability(v string) string {
	if len(v) != capSize3 {
		return v
	}
	b := []byte(v)
	magic := binary.LittleEndian.Uint32(b)
	if magic&capRevisionMask != capRevision3 || m.uid(binary.LittleEndian.Uint32(b[capSize2:])) != 0 {
		return v
	}
	binary.LittleEndian.PutUint32(b, magic&^capRevisionMask|capRevision2)
	return string(b[:capSize2])
}

// hostXattr is the way back: what a container's attribute is on a file system that isn't idmapped.
func (m IDMaps) hostXattr(name, v string) string {
	if len(m.UIDs) == 0 && len(m.GIDs) == 0 {
		return v
	}
	switch name {
	case aclAccess, aclDefault:
		return mapACL(v, func(id uint32) uint32 { id, _ = m.Host(id, 0); return id }, func(id uint32) uint32 { _, id = m.Host(0, id); return id })
	case "security.capability":
		root, _, ok := m.Root()
		if len(v) != capSize2 || !ok {
			return v
		}
		b := []byte(v)
		magic := binary.LittleEndian.Uint32(b)
		binary.LittleEndian.PutUint32(b, magic&^capRevisionMask|capRevision3)
		return string(binary.LittleEndian.AppendUint32(b, root))
	}
	return v
}

func (m IDMaps) acl(v string) string { return mapACL(v, m.uid, m.gid) }

// mapACL changes the ids in struct posix_acl_xattr: a header of 4 bytes, then {tag u16, perm u16, id u32}.
func mapACL(v string, uid, gid func(uint32) uint32) string {
	const (
		aclUser  = 2
		aclGroup = 8
	)
	if len(v) < 4 || (len(v)-4)%8 != 0 {
		return v
	}
	b := []byte(v)
	for e := b[4:]; len(e) >= 8; e = e[8:] {
		id := binary.LittleEndian.Uint32(e[4:])
		switch binary.LittleEndian.Uint16(e) {
		case aclUser:
			binary.LittleEndian.PutUint32(e[4:], uid(id))
		case aclGroup:
			binary.LittleEndian.PutUint32(e[4:], gid(id))
		}
	}
	return string(b)
}

// Xattrs reads the attributes of name in an open directory that belong to the file's content, with ids put back
// by m. A symbolic link is looked at itself.
func Xattrs(dir int, name string, m IDMaps) (map[string]string, error) {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return xattrFile{path: procPath(fd)}.content(m)
}
