package engine

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// storage is what the user and the image mount, checked and ready for the spec, in the order in which
// it must be mounted.
type storage struct {
	Mounts  []specs.Mount
	Records []container.Mount
	Tmpfs   map[string]string
	Make    []string // source directories that -v makes
	Volumes []string // names of the anonymous volumes to make
	// Propagation of the root that a shared or slave mount needs: "", "shared", "rslave".
	Propagation string
}

// planStorage checks every mount. volumes is the directory that volumes live in. With idmap binds are
// idmapped; the mappings are put in when the ids are known.
func planStorage(r *CreateRequest, imageVolumes []string, volumes string, idmap bool) (*storage, error) {
	s := &storage{Tmpfs: map[string]string{}}
	taken := map[string]bool{}
	claim := func(verb, given string) (string, error) {
		dest, err := cleanDestination(verb, given)
		if err == nil && taken[dest] {
			err = invalid(verb, dest, "something is mounted there already", "give each destination once")
		}
		taken[dest] = true
		return dest, err
	}
	for i := range r.Mounts {
		m := &r.Mounts[i]
		dest, err := claim("mount", m.Destination)
		if err != nil {
			return nil, err
		}
		if err := s.add(m, dest, volumes, idmap); err != nil {
			return nil, err
		}
	}
	for _, given := range slices.Sorted(maps.Keys(r.Tmpfs)) {
		dest, err := claim("mount tmpfs", given)
		if err != nil {
			return nil, err
		}
		if err := s.addTmpfs(dest, r.Tmpfs[given]); err != nil {
			return nil, err
		}
	}
	for _, given := range imageVolumes {
		dest, err := cleanDestination("mount volume of the image", given)
		if err != nil || taken[dest] {
			continue // the user's own mount goes first; a place that can't be mounted is the image's mistake
		}
		taken[dest] = true
		s.addVolume(&MountRequest{Type: "volume"}, dest, volumes, idmap)
	}
	slices.SortStableFunc(s.Mounts, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return s, nil
}

func (s *storage) add(m *MountRequest, dest, volumes string, idmap bool) error {
	switch m.Type {
	case "bind":
		return s.addBind(m, dest, idmap)
	case "tmpfs":
		if m.Source != "" {
			return invalid("mount tmpfs", dest, "it has no source", "")
		}
		return s.addTmpfs(dest, tmpfsOptions(m))
	case "volume":
		if m.Source != "" {
			return unsupported("mount volume", m.Source, "volumes with a name are not supported yet", "give an absolute path to mount a directory")
		}
		s.addVolume(m, dest, volumes, idmap)
		return nil
	}
	return invalid("mount", dest, fmt.Sprintf("there is no mount type %q", m.Type), "bind, tmpfs or volume")
}

var propagations = []string{"", "private", "rprivate", "shared", "rshared", "slave", "rslave"}

func (s *storage) addBind(m *MountRequest, dest string, idmap bool) error {
	if !filepath.IsAbs(m.Source) || strings.ContainsRune(m.Source, 0) {
		return invalid("mount", fmt.Sprintf("%q", m.Source), "the source is not an absolute path", "")
	}
	source := filepath.Clean(m.Source)
	switch _, err := os.Stat(source); {
	case os.IsNotExist(err) && m.CreateSource:
		s.Make = append(s.Make, source)
	case os.IsNotExist(err):
		return invalid("mount", source, "the source does not exist", "make it first, or use -v, which makes a directory")
	case err != nil:
		return container.Invalid("mount", source, err, "")
	}
	if !slices.Contains(propagations, m.Propagation) {
		return invalid("mount", source, fmt.Sprintf("there is no propagation %q", m.Propagation), "one of"+strings.Join(propagations, " "))
	}
	if err := s.propagate(source, m.Propagation); err != nil {
		return err
	}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: dest, Type: "bind", Source: source, Options: bindOptions(m, idmap)})
	s.Records = append(s.Records, container.Mount{
		Type: "bind", Source: source, Destination: dest, Mode: m.Mode, RW: !m.ReadOnly,
		Propagation: cmpOr(m.Propagation, "rprivate"), Spelled: m.Spelled,
	})
	return nil
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// bindOptions are the OCI options. Read-only is recursive (mount_setattr(2) with AT_RECURSIVE, Linux
// 5.12): a mount below a read-only one would otherwise stay writable.
func bindOptions(m *MountRequest, idmap bool) []string {
	options := []string{"rbind"}
	if m.NonRecursive {
		options[0] = "bind"
	}
	options = append(options, cmpOr(m.Propagation, "rprivate"))
	switch {
	case m.ReadOnly && (m.WritableBelow || m.NonRecursive):
		options = append(options, "ro")
	case m.ReadOnly:
		options = append(options, "ro", "rro")
	}
	switch {
	case idmap && m.NonRecursive:
		options = append(options, "idmap")
	case idmap:
		options = append(options, "ridmap")
	}
	return options
}

// propagate checks that the source's mount can propagate (mount_namespaces(7)): out of a private mount
// nothing ever comes.
func (s *storage) propagate(source, mode string) error {
	switch mode {
	case "shared", "rshared":
		if !mountHas(source, "shared:") {
			return invalid("mount", source, "it is on a mount that is not shared, so nothing can propagate from the container", "mount --make-shared it first")
		}
		s.Propagation = "shared"
	case "slave", "rslave":
		if !mountHas(source, "shared:") && !mountHas(source, "master:") {
			return invalid("mount", source, "it is on a mount that is neither shared nor a slave, so nothing can propagate into the container", "mount --make-shared it first")
		}
		if s.Propagation == "" {
			s.Propagation = "rslave"
		}
	}
	return nil
}

// mountHas looks for an optional field of the mount that a path is on (proc_pid_mountinfo(5)).
func mountHas(p, field string) bool {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, p, 0, unix.STATX_MNT_ID, &st) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	id := strconv.FormatUint(st.Mnt_id, 10) + " "
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, id) {
			optional, _, _ := strings.Cut(line, " - ")
			return strings.Contains(optional, " "+field)
		}
	}
	return false
}

// addVolume mounts an anonymous volume, a directory of its own that lives until `rm -v` or --rm.
func (s *storage) addVolume(m *MountRequest, dest, volumes string, idmap bool) {
	name := container.NewID()
	source := filepath.Join(volumes, name, "_data")
	bind := MountRequest{ReadOnly: m.ReadOnly, Propagation: m.Propagation}
	s.Volumes = append(s.Volumes, name)
	s.Mounts = append(s.Mounts, specs.Mount{Destination: dest, Type: "bind", Source: source, Options: bindOptions(&bind, idmap)})
	s.Records = append(s.Records, container.Mount{Type: "volume", Name: name, Source: source, Destination: dest, Mode: m.Mode, RW: !m.ReadOnly, Spelled: m.Spelled})
}

// tmpfsFlags are the mount options that tmpfs takes beside its own, each with its opposite.
var tmpfsFlags = map[string]string{
	"ro": "rw", "rw": "ro", "suid": "nosuid", "nosuid": "suid", "dev": "nodev", "nodev": "dev", "exec": "noexec", "noexec": "exec",
	"sync": "async", "async": "sync", "dirsync": "", "atime": "noatime", "noatime": "atime", "diratime": "nodiratime",
	"nodiratime": "diratime", "relatime": "norelatime", "norelatime": "relatime", "strictatime": "nostrictatime", "nostrictatime": "strictatime",
}

// addTmpfs mounts a tmpfs with docker's defaults under the given options.
func (s *storage) addTmpfs(dest, options string) error {
	list := []string{"noexec", "nosuid", "nodev"}
	for option := range strings.SplitSeq(options, ",") {
		if option == "" {
			continue
		}
		opposite, flag := tmpfsFlags[option]
		if !flag {
			if err := checkTmpfsOption(dest, option); err != nil {
				return err
			}
		}
		list = slices.DeleteFunc(list, func(have string) bool { return have == opposite || have == option })
		list = append(list, option)
	}
	s.Tmpfs[dest] = options
	s.Mounts = append(s.Mounts, specs.Mount{Destination: dest, Type: "tmpfs", Source: "tmpfs", Options: list})
	return nil
}

// checkTmpfsOption knows the options of tmpfs itself (tmpfs(5)).
func checkTmpfsOption(dest, option string) error {
	name, value, _ := strings.Cut(option, "=")
	var err error
	switch name {
	case "size", "nr_blocks", "nr_inodes":
		_, err = strconv.ParseUint(strings.TrimRight(value, "kKmMgG%"), 10, 63)
	case "mode":
		_, err = strconv.ParseUint(value, 8, 12)
	case "uid", "gid":
		_, err = strconv.ParseUint(value, 10, 31)
	case "mpol", "huge":
	default:
		err = errText("there is no such tmpfs option")
	}
	if err != nil {
		return container.Invalid("mount tmpfs "+dest, option, err, "size=, mode=, uid=, gid=, nr_inodes=, nr_blocks=, and exec, suid, dev, ro …")
	}
	return nil
}

// tmpfsOptions are --mount type=tmpfs in --tmpfs's words.
func tmpfsOptions(m *MountRequest) string {
	var list []string
	if m.ReadOnly {
		list = append(list, "ro")
	}
	mode := uint32(0o1777)
	if m.TmpfsMode != nil {
		mode = *m.TmpfsMode
	}
	list = append(list, fmt.Sprintf("mode=%o", mode))
	if m.TmpfsSize > 0 {
		list = append(list, "size="+strconv.FormatInt(m.TmpfsSize, 10))
	}
	return strings.Join(list, ",")
}

// defaultMounts are docker's, less those that the user mounts something else on.
func defaultMounts(r *CreateRequest, m *modes, user []specs.Mount) []specs.Mount {
	noexec := []string{"nosuid", "noexec", "nodev"}
	readOnly := append(slices.Clone(noexec), "ro")
	if r.Privileged {
		readOnly = noexec
	}
	list := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: noexec},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: readOnly},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: readOnly},
	}
	list = append(list, ipcMounts(r, m)...)
	return slices.DeleteFunc(list, func(d specs.Mount) bool {
		return slices.ContainsFunc(user, func(u specs.Mount) bool {
			return u.Destination == d.Destination || u.Destination == "/dev" && strings.HasPrefix(d.Destination, "/dev/")
		})
	})
}

// ipcMounts are the two file systems that belong to the IPC namespace. Those of a joined container are
// put there by the monitor, which has that container's mount namespace.
func ipcMounts(r *CreateRequest, m *modes) []specs.Mount {
	if m.IPC == modeHost {
		var list []specs.Mount
		for _, dir := range []string{"/dev/mqueue", "/dev/shm"} {
			if exists(dir) {
				list = append(list, specs.Mount{Destination: dir, Type: "bind", Source: dir, Options: []string{"rbind", "rprivate", "nosuid", "noexec", "nodev"}})
			}
		}
		return list
	}
	list := []specs.Mount{{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}}}
	if m.IPC == modeNone || strings.HasPrefix(m.IPC, joinPrefix) {
		return list
	}
	size := r.ShmSize
	if size == 0 {
		size = defaultShm
	}
	return append(list, specs.Mount{
		Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
		Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(size, 10)},
	})
}

// defaultShm is docker's size of /dev/shm in bytes.
const defaultShm = 64 << 20

// fileMounts are the three files that gourd writes for a container, in dir.
func fileMounts(dir string, readOnly, idmap bool, user []specs.Mount) []specs.Mount {
	var list []specs.Mount
	for _, name := range []string{"resolv.conf", "hostname", "hosts"} {
		dest := path.Join("/etc", name)
		if slices.ContainsFunc(user, func(u specs.Mount) bool { return u.Destination == dest || u.Destination == "/etc" }) {
			continue
		}
		m := MountRequest{ReadOnly: readOnly, NonRecursive: true}
		list = append(list, specs.Mount{
			Destination: dest, Type: "bind", Source: filepath.Join(dir, name), Options: bindOptions(&m, idmap),
		})
	}
	return list
}
