package engine

import (
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"
)

// CreateRequest is everything that `gourd create` and `gourd run` can say. The zero value of a field
// means that the user did not say it. Front doors only split strings into these fields; what the values
// may be is checked by Create.
type CreateRequest struct {
	// Name without a slash; "" invents one.
	Name string
	// Image is a reference, an id or a prefix of one. Exactly one of Image and Rootfs is given.
	Image string
	// Rootfs is --rootfs: an absolute path, with ":O" behind it for a writable layer over the directory,
	// which stays as it is.
	Rootfs   string
	Platform string // "linux/amd64"; refused if the image is for another
	Pull     string // "", "missing", "always", "never"; "always" is refused until there is a registry client

	// The program. With EntrypointSet, Entrypoint replaces the image's, whose CMD is then dropped; an
	// empty one empties it.
	Entrypoint    []string
	EntrypointSet bool
	Cmd           []string // arguments after the image's name
	Env           []string // "K=V"; a bare "K" takes K out of the image's environment. Later ones win
	Workdir       string
	User          string // "user[:group]", names or numbers
	GroupAdd      []string
	Hostname      string
	Domainname    string
	Tty           bool
	OpenStdin     bool // -i
	ConsoleSize   *control.Size

	Labels      map[string]string
	Annotations map[string]string

	// How it is run.
	Init         bool
	Privileged   bool
	ReadOnly     bool
	AutoRemove   bool
	Runtime      string // name from the configuration, or an absolute path of an OCI runtime; "" is the default
	StopSignal   string // "SIGTERM", "TERM" or "15"
	StopTimeout  *int   // seconds; -1 waits for ever
	Restart      container.Restart
	CgroupParent string
	TimeOffset   time.Duration // of the boot and monotonic clocks, in a time namespace

	// Namespaces: "", "host", "private", "container:REF"; IPC also "none" and "shareable"; User also
	// "auto" and "keep-id".
	PidMode, IPCMode, UTSMode, UserMode, CgroupMode string
	Network                                         NetworkRequest
	// CallerUID and CallerGID are who calls, for keep-id: under sudo the user behind it.
	CallerUID, CallerGID uint32

	// Storage.
	Mounts  []MountRequest
	Tmpfs   map[string]string // destination → options, as in --tmpfs
	Devices []container.Device
	ShmSize int64 // bytes; 0 is 64 MiB

	// Security.
	CapAdd, CapDrop []string // with or without "CAP_", any case; "ALL"
	// SecurityOpt as docker's: "no-new-privileges[=true|false]", "seccomp=unconfined|builtin|{JSON}",
	// "apparmor=…", "label=…", "systempaths=unconfined". For seccomp=FILE the front door reads the file
	// (it is the caller's, who may be far away) and passes its text.
	SecurityOpt []string

	Resources Resources
	Ulimits   []Ulimit
	Sysctls   map[string]string
	Log       container.Log
}

// NetworkRequest says how the container is connected.
type NetworkRequest struct {
	Mode       string // "", "bridge", "default", "none", "host", "container:REF"
	MAC        string
	DNS        []string
	DNSSearch  []string
	DNSOptions []string
	ExtraHosts []string // "name:ip", "name:host-gateway"
	Expose     []string // "80", "80/tcp", "80-90/udp"
}

// Resources are the limits of the container's cgroup. Zero: not set.
type Resources struct {
	Memory            int64  // bytes
	MemorySwap        int64  // bytes, memory and swap together; -1 unlimited
	MemoryReservation int64  // bytes
	MemorySwappiness  *int64 // 0–100
	CPUs              string // "1.5": exact decimal, see --cpus
	CPUPeriod         int64  // µs
	CPUQuota          int64  // µs
	CPUShares         int64  // 2–262144
	CpusetCPUs        string // "0-2,4"
	CpusetMems        string // "0"
	PidsLimit         *int64 // 0 and -1: unlimited
	BlkioWeight       uint16 // 10–1000
	OomKillDisable    bool
	OomScoreAdj       int // -1000–1000

	DeviceReadBps, DeviceWriteBps   []Throttle
	DeviceReadIOps, DeviceWriteIOps []Throttle
}

// Throttle is a limit on one block device, per second: bytes or operations.
type Throttle struct {
	Path string
	Rate uint64
}

// Ulimit is one --ulimit: docker's name ("nofile") and its two values, -1 for unlimited.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// MountRequest is one -v or --mount.
type MountRequest struct {
	Type        string // "bind", "tmpfs"; "volume" only without a Source (anonymous)
	Source      string // bind: absolute, the front door resolves "./x" against the caller's directory
	Destination string
	ReadOnly    bool
	// CreateSource makes a missing source directory (-v does, --mount does not).
	CreateSource bool
	Propagation  string // "", "private", "rprivate", "shared", "rshared", "slave", "rslave"
	NonRecursive bool   // bind without what is mounted below the source
	// ReadOnly is recursive by default; these are bind-recursive=writable and =readonly.
	WritableBelow bool // what is mounted below stays writable
	ForceReadOnly bool // error if what is mounted below can't be made read-only
	NoCopy        bool // volume: don't fill it from the image
	TmpfsSize     int64
	TmpfsMode     *uint32 // nil is 1777
	// Mode is the text after the second colon of -v, for inspect: "ro,z".
	Mode string
	// Spelled is the whole -v argument, "" with --mount, for inspect.
	Spelled string
}

// Created is what Create made.
type Created struct {
	ID      string
	Name    string
	Notices []string // what the user should be told, one line each
}
