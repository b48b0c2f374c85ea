package layer

import specs "github.com/opencontainers/runtime-spec/specs-go"

// IDMaps are a container's user namespace: how its ids appear on the host. The zero value maps nothing: ids
// are the same on both sides.
type IDMaps struct {
	UIDs []specs.LinuxIDMapping
	GIDs []specs.LinuxIDMapping
}

// overflowID is who owns what a user namespace has no id for (/proc/sys/kernel/overflowuid).
const overflowID = 65534

// uid gives the container's id of a host id.
func (m IDMaps) uid(host uint32) uint32 { return toContainer(m.UIDs, host) }

func (m IDMaps) gid(host uint32) uint32 { return toContainer(m.GIDs, host) }

// Root gives the host's ids of the container's root. ok is false where it has none.
func (m IDMaps) Root() (uid, gid uint32, ok bool) {
	u, uok := ToHost(m.UIDs, 0)
	g, gok := ToHost(m.GIDs, 0)
	return u, g, uok && gok
}

// Host gives the host's ids for a container's.
func (m IDMaps) Host(uid, gid uint32) (hostUID, hostGID uint32) {
	hostUID, ok := ToHost(m.UIDs, uid)
	if !ok {
		hostUID = overflowID
	}
	if hostGID, ok = ToHost(m.GIDs, gid); !ok {
		hostGID = overflowID
	}
	return hostUID, hostGID
}

func toContainer(maps []specs.LinuxIDMapping, host uint32) uint32 {
	if len(maps) == 0 {
		return host
	}
	for _, m := range maps {
		if host >= m.HostID && host-m.HostID < m.Size {
			return m.ContainerID + (host - m.HostID)
		}
	}
	return overflowID
}

// ToHost maps a container's id. An empty map leaves it as it is.
func ToHost(maps []specs.LinuxIDMapping, id uint32) (host uint32, ok bool) {
	if len(maps) == 0 {
		return id, true
	}
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), true
		}
	}
	return 0, false
}

// Container gives the container's ids for the host's.
func (m IDMaps) Container(uid, gid uint32) (containerUID, containerGID uint32) {
	return m.uid(uid), m.gid(gid)
}
