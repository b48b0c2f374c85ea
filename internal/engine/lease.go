package engine

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// lease gives the container its ids: nil with the host's user namespace, those of a container whose
// namespaces it joins, or a range of its own.
func (e *Engine) lease(d *draft) (*container.IDRange, error) {
	if !d.modes.UserNS() {
		return nil, nil
	}
	if owner, joins := strings.CutPrefix(d.modes.User, joinPrefix); joins {
		return e.store.ShareIDs(d.id, owner)
	}
	used := usedRanges("/etc/subuid", "/etc/subgid", "/etc/passwd", "/etc/group")
	ids, err := e.store.LeaseIDs(d.id, container.IDPool{Base: e.cfg.IDs.Base, Size: e.cfg.IDs.Size, Used: used.overlap})
	if err != nil || d.modes.User != modeKeepID {
		return ids, err
	}
	ids.UIDs = keepID(ids.Base, d.req.CallerUID)
	ids.GIDs = keepID(ids.Base, d.req.CallerGID)
	return ids, nil
}

// keepID is the usual mapping but for one id, which is the same inside and outside. In the order of the
// container's ids, so that root's comes first.
func keepID(base, id uint32) []specs.LinuxIDMapping {
	var list []specs.LinuxIDMapping
	add := func(first, host, size uint32) {
		if size > 0 {
			list = append(list, specs.LinuxIDMapping{ContainerID: first, HostID: host, Size: size})
		}
	}
	for _, block := range []specs.LinuxIDMapping{
		{ContainerID: 0, HostID: base, Size: container.OwnIDs}, {ContainerID: container.OwnIDs, HostID: container.HighBase, Size: container.HighIDs},
	} {
		before := id - block.ContainerID
		if id < block.ContainerID || before >= block.Size {
			add(block.ContainerID, block.HostID, block.Size)
			continue
		}
		add(block.ContainerID, block.HostID, before)
		add(id, id, 1)
		add(id+1, block.HostID+before+1, block.Size-before-1)
	}
	return list
}

// ranges are host ids that belong to somebody.
type ranges [][2]uint64

func (r ranges) overlap(first, count uint32) bool {
	for _, x := range r {
		if uint64(first) < x[0]+x[1] && x[0] < uint64(first)+uint64(count) {
			return true
		}
	}
	return false
}

// usedRanges reads subuid(5) and subgid(5) files (name:first:count) and passwd(5) and group(5) ones
// (the id is the third field). What can't be read has nobody in it.
func usedRanges(files ...string) ranges {
	var out ranges
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		sub := strings.HasPrefix(path[strings.LastIndexByte(path, '/')+1:], "sub")
		for lines := bufio.NewScanner(f); lines.Scan(); {
			field := strings.Split(lines.Text(), ":")
			if len(field) < 3 {
				continue
			}
			first, count := field[2], "1"
			if sub {
				first, count = field[1], field[2]
			}
			a, err1 := strconv.ParseUint(first, 10, 32)
			n, err2 := strconv.ParseUint(count, 10, 32)
			if err1 == nil && err2 == nil {
				out = append(out, [2]uint64{a, n})
			}
		}
		f.Close()
	}
	return out
}
