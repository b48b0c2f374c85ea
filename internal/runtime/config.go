package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gourd/internal/container"
	"gourd/internal/runtime/quickjson"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Cgroup is what the runtime needs of a container's cgroup: *cgroup.Group. The group is made, and its
// limits are set, before Create.
type Cgroup interface {
	// JoinFiles opens `tasks` of each v1 hierarchy, the cpu controller's last.
	JoinFiles() ([]*os.File, error)
	// Dir is the directory of the v2 hierarchy (nil: none), for CLONE_INTO_CGROUP.
	Dir() *os.File
	// Paths are the directories by controller, "" for the unified hierarchy.
	Paths() map[string]string
	// NeedsAttach says that the group comes into being only with Attach, which puts the first process, waiting, into
	// it: systemd makes no scope without one. Till then there are no JoinFiles and no Dir.
	NeedsAttach() bool
	Attach(pid int) error
}

// Config is a container to make.
type Config struct {
	ID     string
	Bundle string // directory that relative paths of the spec are relative to
	Spec   *specs.Spec
	// Seccomp is linux.seccomp as it stands in config.json; Spec.Linux.Seccomp is not read.
	Seccomp json.RawMessage
	RootFS  *container.RootFS // nil: Spec.Root of the bundle
	Cgroup  Cgroup            // nil: the caller's own cgroups
	// Stdio become descriptors 0, 1 and 2; nil is /dev/null. Not used with Spec.Process.Terminal.
	Stdio [3]*os.File
	// PreserveFDs is how many descriptors from 3 on the process inherits (LISTEN_FDS).
	PreserveFDs int
	// ConsoleSocket is a connected unix socket that gets the terminal's master (OCI --console-socket).
	// Without it, Container.Console has the master.
	ConsoleSocket *os.File
	// PlainLines leaves line ends on the terminal as the process writes them (ONLCR off): runc does it where it
	// serves the terminal itself.
	PlainLines bool
	// OnRoot is called when the root tree is mounted (detached, nothing on it yet), with a descriptor of it that
	// is valid during the call. It may still change Spec.Process.
	OnRoot func(root *os.File, spec *specs.Spec) error
	// OnNamespaces is called when the child waits in its new namespaces, before it changes anything there. Hooks of the
	// kinds prestart and createRuntime are run there, by whoever knows the container's state.
	OnNamespaces func(pid int) error
	// ParentDeath is the signal the process gets when this process dies; 0 for none.
	ParentDeath unix.Signal
	// ExecFIFO: wait there for StartCreated, possibly from another process, and not for Container.Start.
	ExecFIFO string
	StateDir string // for the cache of compiled seccomp filters; "": no cache
	// Detached are mounts of the caller's, by the Source of the bind that uses them: what comes from another
	// mount namespace can't be copied in this one.
	Detached map[string]*os.File
	// NoNewKeyring keeps the caller's session keyring.
	NoNewKeyring bool
	// LenientIdmap mounts a bind with the mount option idmap unmapped, with a notice, where its file
	// system can't be idmapped.
	LenientIdmap bool

	dieAt string // tests: the step at which the child dies
}

// bundleSpec is specs.Spec with linux.seccomp unparsed: the compiled filter is found by its text.
type bundleSpec struct {
	specs.Spec
	Linux *bundleLinux `json:"linux,omitempty"`
}

type bundleLinux struct {
	specs.Linux
	Seccomp json.RawMessage `json:"seccomp,omitempty"`
}

// LoadBundle reads DIR/config.json. Unknown properties are ignored, as the specification wants.
// Errors: container.ErrNotFound, container.ErrInvalid.
func LoadBundle(dir string) (*specs.Spec, json.RawMessage, error) {
	path := filepath.Join(dir, "config.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &container.Error{
			Verb: "read bundle", Object: path, Kind: container.ErrNotFound, Cause: unix.ENOENT,
			Hint: "a bundle is a directory with config.json; `gourd-runtime spec` writes one",
		}
	}
	if err != nil {
		return nil, nil, &container.Error{Verb: "read bundle", Object: path, Cause: err}
	}
	spec, seccomp, err := ParseSpec(b)
	if err != nil {
		return nil, nil, &container.Error{Verb: "read bundle", Object: path, Kind: container.ErrInvalid, Cause: err}
	}
	return spec, seccomp, nil
}

// ParseSpec parses the text of a config.json.
func ParseSpec(b []byte) (*specs.Spec, json.RawMessage, error) {
	var s bundleSpec
	if err := quickjson.Unmarshal(b, &s); err != nil {
		return nil, nil, err
	}
	if s.Linux == nil {
		return &s.Spec, nil, nil
	}
	s.Spec.Linux = &s.Linux.Linux
	if bytes.Equal(bytes.TrimSpace(s.Linux.Seccomp), []byte("null")) {
		s.Linux.Seccomp = nil
	}
	return &s.Spec, s.Linux.Seccomp, nil
}
