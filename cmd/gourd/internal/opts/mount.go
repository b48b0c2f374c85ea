package opts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gourd/internal/engine"

	"github.com/docker/go-units"
)

var propagations = []string{"private", "rprivate", "shared", "rshared", "slave", "rslave"}

// volumeName is docker's rule for names of volumes.
var volumeName = sync.OnceValue(func() func(string) bool { return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`).MatchString })

// Volume reads a -v argument: [SOURCE:]DESTINATION[:OPTIONS]. A source that begins with "/" or "." is a
// path on the host, any other the name of a volume.
func Volume(s string) (engine.MountRequest, error) {
	parts := strings.Split(s, ":")
	m := engine.MountRequest{Spelled: s}
	switch len(parts) {
	case 1:
		m.Destination = parts[0]
	case 2:
		m.Source, m.Destination = parts[0], parts[1]
		if isMode(parts[1]) {
			return m, fmt.Errorf("invalid volume %q: options need a source and a destination before them", s)
		}
	case 3:
		m.Source, m.Destination, m.Mode = parts[0], parts[1], parts[2]
	default:
		return m, fmt.Errorf("invalid volume %q: it has more than two colons", s)
	}
	if len(parts) > 1 && m.Source == "" {
		return m, fmt.Errorf("invalid volume %q: the source is empty", s)
	}
	if err := volumeSource(&m); err != nil {
		return m, fmt.Errorf("invalid volume %q: %w", s, err)
	}
	if err := volumeMode(&m, len(parts) == 3); err != nil {
		return m, fmt.Errorf("invalid volume %q: %w", s, err)
	}
	if err := checkDestination(&m); err != nil {
		return m, fmt.Errorf("invalid volume %q: %w", s, err)
	}
	return m, nil
}

// volumeSource tells a path from a volume's name.
func volumeSource(m *engine.MountRequest) error {
	switch {
	case m.Source == "":
		m.Type = "volume"
	case filepath.IsAbs(m.Source) || strings.HasPrefix(m.Source, "."):
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return err
		}
		m.Type, m.Source, m.CreateSource = "bind", abs, true
	case volumeName()(m.Source):
		m.Type = "volume"
	default:
		return fmt.Errorf("%q is not a volume's name ([a-zA-Z0-9][a-zA-Z0-9_.-]+); a host path begins with \"/\" or \"./\"", m.Source)
	}
	return nil
}

func isMode(s string) bool {
	m := engine.MountRequest{Type: "bind", Mode: s}
	return volumeMode(&m, true) == nil
}

// volumeMode reads the options behind -v's second colon.
func volumeMode(m *engine.MountRequest, given bool) error {
	if !given {
		return nil
	}
	seen := map[string]bool{}
	for _, o := range strings.Split(m.Mode, ",") {
		kind := o
		switch o {
		case "ro":
			m.ReadOnly, kind = true, "access"
		case "rw":
			kind = "access"
		case "ro-non-recursive":
			m.ReadOnly, m.WritableBelow, kind = true, true, "access"
		case "ro-force-recursive", "rro":
			m.ReadOnly, m.ForceReadOnly, kind = true, true, "access"
		case "z", "Z":
			kind = "label" // SELinux: nothing to do where it is off
		case "nocopy":
			m.NoCopy = true
		case "cached", "consistent", "delegated", "default":
			kind = "consistency" // meant for Docker Desktop's file sharing; no difference on Linux
		default:
			if !slices.Contains(propagations, o) {
				return fmt.Errorf("unknown option %q", o)
			}
			m.Propagation, kind = o, "propagation"
		}
		if seen[kind] {
			return fmt.Errorf("%q: two options of one kind (%s)", m.Mode, kind)
		}
		seen[kind] = true
	}
	switch {
	case m.NoCopy && m.Type == "bind":
		return errors.New("nocopy is for volumes, the source is a host path")
	case m.Propagation != "" && m.Type == "volume":
		return fmt.Errorf("%s is for host paths, the source is a volume", m.Propagation)
	}
	return nil
}

// Mount reads a --mount argument: comma-separated key=value fields, quoted as CSV where a value has a comma.
func Mount(s string) (engine.MountRequest, error) {
	fields, err := csv.NewReader(strings.NewReader(strings.TrimSpace(s))).Read()
	if err != nil {
		return engine.MountRequest{}, fmt.Errorf("%q is no list of key=value fields", s)
	}
	p := mountParser{m: engine.MountRequest{Type: "volume"}}
	for _, field := range fields {
		if err := p.field(field); err != nil {
			return p.m, err
		}
	}
	if err := p.check(); err != nil {
		return p.m, err
	}
	return p.m, checkDestination(&p.m)
}

// mountParser collects --mount's fields and remembers which belong to one type only.
type mountParser struct {
	m    engine.MountRequest
	only []string // keys that need the type before their first "-"
}

func (p *mountParser) field(field string) error {
	key, value, hasValue := strings.Cut(field, "=")
	if key != strings.TrimSpace(key) || value != strings.TrimSpace(value) {
		return fmt.Errorf("%q has white space around its key or value", field)
	}
	key = strings.ToLower(key)
	if strings.Contains(key, "-") {
		p.only = append(p.only, key)
	}
	switch key {
	case "readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src":
		on, err := boolField(key, value, hasValue)
		if err != nil {
			return err
		}
		p.flag(key, on)
		return nil
	}
	if !hasValue || value == "" {
		return fmt.Errorf("%q must be key=value", field)
	}
	return p.value(key, value)
}

func (p *mountParser) flag(key string, on bool) {
	switch key {
	case "readonly", "ro":
		p.m.ReadOnly = on
	case "volume-nocopy":
		p.m.NoCopy = on
	case "bind-nonrecursive":
		p.m.NonRecursive = on
	case "bind-create-src":
		p.m.CreateSource = on
	}
}

func (p *mountParser) value(key, value string) error {
	switch key {
	case "type":
		p.m.Type = strings.ToLower(value)
	case "source", "src":
		p.m.Source = value
	case "target", "dst", "destination":
		p.m.Destination = value
	case "consistency": // meant for Docker Desktop's file sharing; no difference on Linux
	case "bind-propagation":
		if !slices.Contains(propagations, value) {
			return fmt.Errorf("bind-propagation=%s: it must be one of %s", value, strings.Join(propagations, ", "))
		}
		p.m.Propagation = value
	case "bind-recursive":
		return p.recursive(value)
	case "tmpfs-size":
		n, err := units.RAMInBytes(value)
		if err != nil || n < 0 {
			return fmt.Errorf("tmpfs-size=%s is no size", value)
		}
		p.m.TmpfsSize = n
	case "tmpfs-mode":
		mode, err := strconv.ParseUint(value, 8, 32)
		if err != nil || mode > 0o7777 {
			return fmt.Errorf("tmpfs-mode=%s is no octal mode up to 7777", value)
		}
		m := uint32(mode)
		p.m.TmpfsMode = &m
	case "volume-subpath", "volume-label", "volume-driver", "volume-opt", "image-subpath":
		return fmt.Errorf("%s is not supported yet", key)
	default:
		return fmt.Errorf("unknown key %q in %q", key, key+"="+value)
	}
	return nil
}

// recursive reads bind-recursive; "enabled", the default, is read-only below too where it is read-only.
func (p *mountParser) recursive(value string) error {
	switch value {
	case "enabled":
	case "disabled":
		p.m.NonRecursive = true
	case "writable":
		p.m.WritableBelow = true
	case "readonly":
		p.m.ForceReadOnly = true
	default:
		return fmt.Errorf("bind-recursive=%s: it must be enabled, disabled, writable or readonly", value)
	}
	return nil
}

func (p *mountParser) check() error {
	m := &p.m
	switch m.Type {
	case "bind", "tmpfs", "volume":
	case "image":
		return fmt.Errorf("type=%s is not supported yet", m.Type)
	case "npipe", "cluster":
		return fmt.Errorf("type=%s is not supported on Linux without Swarm", m.Type)
	default:
		return fmt.Errorf("type=%s: it must be bind, volume or tmpfs", m.Type)
	}
	for _, key := range p.only {
		if kind, _, _ := strings.Cut(key, "-"); kind != m.Type {
			return fmt.Errorf("%s can't be used with type=%s", key, m.Type)
		}
	}
	switch {
	case m.Type == "bind" && m.Source == "":
		return errors.New("type=bind needs source=PATH")
	case m.Type == "tmpfs" && m.Source != "":
		return errors.New("type=tmpfs takes no source")
	case m.ForceReadOnly && !m.ReadOnly, m.WritableBelow && !m.ReadOnly:
		return errors.New("bind-recursive=readonly and =writable need readonly")
	case m.ForceReadOnly && m.Propagation != "" && m.Propagation != "rprivate":
		return errors.New("bind-recursive=readonly needs bind-propagation=rprivate")
	}
	return p.source()
}

func (p *mountParser) source() error {
	m := &p.m
	switch {
	case m.Type == "bind" && strings.HasPrefix(m.Source, "."):
		abs, err := filepath.Abs(m.Source)
		if err != nil {
			return err
		}
		m.Source = abs
	case m.Type == "bind" && !filepath.IsAbs(m.Source):
		return fmt.Errorf("source=%s: a host path begins with \"/\" or \"./\"", m.Source)
	case m.Type == "volume" && m.Source != "" && !volumeName()(m.Source):
		return fmt.Errorf("source=%s is not a volume's name ([a-zA-Z0-9][a-zA-Z0-9_.-]+)", m.Source)
	}
	return nil
}

// checkDestination wants an absolute path below "/" and cleans it.
func checkDestination(m *engine.MountRequest) error {
	switch {
	case m.Destination == "":
		return errors.New("the destination is missing")
	case strings.ContainsRune(m.Destination, 0) || strings.ContainsRune(m.Source, 0):
		return errors.New("a path has a NUL byte")
	case !path.IsAbs(m.Destination):
		return fmt.Errorf("the destination %q is not an absolute path", m.Destination)
	}
	m.Destination = path.Clean(m.Destination)
	if m.Destination == "/" {
		return errors.New("the destination can't be \"/\"")
	}
	return nil
}

func boolField(key, value string, hasValue bool) (bool, error) {
	if !hasValue {
		return true, nil
	}
	switch value {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, fmt.Errorf("%s=%s: it must be true, 1, false or 0", key, value)
}
