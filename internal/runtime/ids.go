package runtime

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"gourd/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// idMap translates ids between the container's user namespace and the host. The zero value is the host's own.
type idMap struct {
	active     bool
	uids, gids []specs.LinuxIDMapping
}

// hostUID is the host's number for a user id of the container; ok is false for one that isn't mapped.
func (m *idMap) hostUID(id uint32) (host uint32, ok bool) { return m.host(m.uids, id) }

// hostGID is the host's number for a group id of the container.
func (m *idMap) hostGID(id uint32) (host uint32, ok bool) { return m.host(m.gids, id) }

func (m *idMap) host(list []specs.LinuxIDMapping, id uint32) (uint32, bool) {
	if !m.active {
		return id, true
	}
	for _, r := range list {
		if id >= r.ContainerID && id-r.ContainerID < r.Size {
			return r.HostID + (id - r.ContainerID), true
		}
	}
	return 0, false
}

// root is the container's root as the host sees it.
func (m *idMap) root() (uid, gid int, err error) {
	u, ok := m.hostUID(0)
	g, ok2 := m.hostGID(0)
	if !ok || !ok2 {
		return 0, 0, invalidSpec("linux.uidMappings", fmt.Errorf("the container's root is not mapped"))
	}
	return int(u), int(g), nil
}

// mapText is the content of uid_map or gid_map (user_namespaces(7)).
func mapText(list []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range list {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

// knownIDs are the mappings as far as the spec tells them.
func (b *build) knownIDs() idMap {
	l := b.spec.Linux
	return idMap{active: b.ns.has(unix.CLONE_NEWUSER), uids: l.UIDMappings, gids: l.GIDMappings}
}

// mapIDs writes the mappings of a new user namespace and opens the namespace for idmapped mounts.
func (b *build) mapIDs() error {
	l := b.spec.Linux
	if !b.ns.has(unix.CLONE_NEWUSER) {
		return nil
	}
	if err := b.meetChild(); err != nil {
		return err
	}
	if b.ns.joins(unix.CLONE_NEWUSER) {
		return b.readMaps()
	}
	return b.parent("map user and group ids", "root in the container is another user on the host",
		func() []string {
			return []string{"write(uid_map, " + strconv.Quote(mapText(l.UIDMappings)) + ")", "write(gid_map, " + strconv.Quote(mapText(l.GIDMappings)) + ")"}
		},
		func() error {
			if err := linux.WriteProc(b.pid, "uid_map", mapText(l.UIDMappings)); err != nil {
				return err
			}
			if err := linux.WriteProc(b.pid, "gid_map", mapText(l.GIDMappings)); err != nil {
				return err
			}
			return b.openUserNS()
		})
}

func (b *build) openUserNS() error {
	fd, err := linux.OpenProc(strconv.Itoa(b.pid)+"/ns/user", unix.O_RDONLY)
	b.userNS = b.own(fd)
	return err
}

// readMaps learns the mappings of a user namespace that the container joins.
func (b *build) readMaps() error {
	return b.parent("read user namespace's maps", "files must belong to the users of the namespace that is joined", nil, func() error {
		for name, list := range map[string]*[]specs.LinuxIDMapping{"uid_map": &b.ids.uids, "gid_map": &b.ids.gids} {
			text, err := linux.ReadProc(b.pid, name)
			if err != nil {
				return err
			}
			if *list, err = parseMap(text); err != nil {
				return fmt.Errorf("read %s: %w", name, err)
			}
		}
		return b.openUserNS()
	})
}

func parseMap(text []byte) ([]specs.LinuxIDMapping, error) {
	var list []specs.LinuxIDMapping
	for line := range bytes.Lines(text) {
		var m specs.LinuxIDMapping
		f := bytes.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%q has not three fields", line)
		}
		for i, to := range []*uint32{&m.ContainerID, &m.HostID, &m.Size} {
			n, err := strconv.ParseUint(string(f[i]), 10, 32)
			if err != nil {
				return nil, err
			}
			*to = uint32(n)
		}
		list = append(list, m)
	}
	return list, nil
}
