package container

import (
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// RecordVersion is the version of record.json that this gourd writes. It reads all up to it.
const RecordVersion = 1

// Record is what the engine knows of a container beyond its OCI spec: record.json in the container's
// directory. Change it only through Store.Update, which holds the container's lock.
type Record struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`   // 64 hex digits
	Name    string    `json:"name"` // without a leading slash
	Created time.Time `json:"created"`

	// What it was made from.
	Image      string   `json:"image,omitempty"`    // the reference as the user gave it
	ImageID    string   `json:"image_id,omitempty"` // digest of the image's config, "sha256:…"
	Platform   string   `json:"platform,omitempty"` // "linux/amd64"
	Rootfs     string   `json:"rootfs,omitempty"`   // --rootfs PATH[:O], instead of an image
	Driver     string   `json:"driver,omitempty"`   // snapshot driver that holds its writable layer
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"` // args after the entrypoint. process.args adds --init and so on
	// EntrypointSet says that the user gave --entrypoint, which drops the image's CMD.
	EntrypointSet bool     `json:"entrypoint_set,omitempty"`
	User          string   `json:"user,omitempty"` // as given; resolved in the root filesystem at each start
	GroupAdd      []string `json:"group_add,omitempty"`
	Workdir       string   `json:"workdir,omitempty"`

	Labels map[string]string `json:"labels,omitempty"`

	// How it is run.
	Runtime      string            `json:"runtime,omitempty"`      // "" is gourd's own; else the path of an OCI runtime
	RuntimeArgs  []string          `json:"runtime_args,omitempty"` // for it, before its command
	Init         bool              `json:"init,omitempty"`
	Privileged   bool              `json:"privileged,omitempty"`
	AutoRemove   bool              `json:"auto_remove,omitempty"`
	OpenStdin    bool              `json:"open_stdin,omitempty"` // -i
	StopSignal   string            `json:"stop_signal,omitempty"`
	StopTimeout  *int              `json:"stop_timeout,omitempty"` // seconds, nil is 10, -1 waits for ever
	Restart      Restart           `json:"restart,omitzero"`
	Network      Network           `json:"network,omitzero"`
	Modes        Modes             `json:"modes,omitzero"`
	IDs          *IDRange          `json:"ids,omitempty"` // the user namespace's range, nil with host ids
	Log          Log               `json:"log,omitzero"`
	Mounts       []Mount           `json:"mounts,omitempty"` // what the user asked to mount, as docker inspect shows it
	Tmpfs        map[string]string `json:"tmpfs,omitempty"`
	ShmSize      int64             `json:"shm_size,omitempty"` // bytes
	Devices      []Device          `json:"devices,omitempty"`
	CapAdd       []string          `json:"cap_add,omitempty"`
	CapDrop      []string          `json:"cap_drop,omitempty"`
	SecurityOpt  []string          `json:"security_opt,omitempty"`
	CgroupParent string            `json:"cgroup_parent,omitempty"`
	CPUs         string            `json:"cpus,omitempty"` // --cpus as given; the spec has the quota it means
	Annotations  map[string]string `json:"annotations,omitempty"`
	Notices      []string          `json:"notices,omitempty"` // what the user was told when it was made

	State State `json:"state"`
}

// Modes are the namespaces as the user named them: "" (gourd's default), "host", "private",
// "container:ID" and, for the user namespace, "auto" or "keep-id".
type Modes struct {
	Pid    string `json:"pid,omitempty"`
	IPC    string `json:"ipc,omitempty"`
	UTS    string `json:"uts,omitempty"`
	User   string `json:"user,omitempty"`
	Cgroup string `json:"cgroup,omitempty"`
}

// Restart is the restart policy: "" or "no", "always", "on-failure", "unless-stopped".
type Restart struct {
	Name       string `json:"name,omitempty"`
	MaxRetries int    `json:"max_retries,omitempty"`
}

// Network is how the container is connected. Mode is "bridge" (the default), "none", "host",
// "container:ID" or the name of a user-defined network.
type Network struct {
	Mode       string     `json:"mode,omitempty"`
	MAC        string     `json:"mac,omitempty"`
	DNS        []string   `json:"dns,omitempty"`
	DNSSearch  []string   `json:"dns_search,omitempty"`
	DNSOptions []string   `json:"dns_options,omitempty"`
	ExtraHosts []string   `json:"extra_hosts,omitempty"`
	Exposed    []string   `json:"exposed,omitempty"` // "80/tcp"
	Endpoints  []Endpoint `json:"endpoints,omitempty"`
}

// Endpoint is one connection of a container to a network; present while it runs.
type Endpoint struct {
	Network   string `json:"network"`
	Interface string `json:"interface"`      // inside: "eth0"
	Host      string `json:"host,omitempty"` // the host's end of the veth
	MAC       string `json:"mac,omitempty"`
	IPv4      string `json:"ipv4,omitempty"` // "172.29.0.2/16"
	Gateway4  string `json:"gateway4,omitempty"`
	IPv6      string `json:"ipv6,omitempty"`
	Gateway6  string `json:"gateway6,omitempty"`
}

// IDRange is a container's own range of host ids. Container ids 0–65,535 are Base+id; ids from 65,536
// to 2³¹−1 lie in the block that all containers share (design.md, "Decided").
type IDRange struct {
	Slot int    `json:"slot"` // index of the lease in the pool; -1 with a mapping that isn't leased
	Base uint32 `json:"base"`
	// Mappings is what is written to uid_map and gid_map where it isn't the default (keep-id).
	UIDs []specs.LinuxIDMapping `json:"uids,omitempty"`
	GIDs []specs.LinuxIDMapping `json:"gids,omitempty"`
}

// Log says where stdout and stderr are kept.
type Log struct {
	Driver string            `json:"driver,omitempty"` // "json-file" (default) or "none"
	Opts   map[string]string `json:"opts,omitempty"`   // max-size, max-file
}

// Mount is a bind, volume or tmpfs as the user asked for it and docker inspect shows it.
type Mount struct {
	Type        string `json:"type"` // bind, volume, tmpfs
	Name        string `json:"name,omitempty"`
	Source      string `json:"source,omitempty"`
	Destination string `json:"destination"`
	Mode        string `json:"mode,omitempty"`
	RW          bool   `json:"rw"`
	Propagation string `json:"propagation,omitempty"`
	Spelled     string `json:"spelled,omitempty"` // the -v argument, for HostConfig.Binds
}

// Device is a --device as given.
type Device struct {
	Host        string `json:"host"`
	Container   string `json:"container"`
	Permissions string `json:"permissions"`
}

// Status is docker's word for where a container is in its life.
type Status string

const (
	Created    Status = "created"
	Running    Status = "running"
	Paused     Status = "paused"
	Restarting Status = "restarting"
	Removing   Status = "removing"
	Exited     Status = "exited"
	Dead       Status = "dead"
)

// State is the changing part of a record.
type State struct {
	Status       Status    `json:"status"`
	Process      Process   `json:"process,omitzero"` // the container's pid 1 as the host sees it, while it runs
	Monitor      Process   `json:"monitor,omitzero"` // its gourd-monitor
	ExitCode     int       `json:"exit_code"`
	OOMKilled    bool      `json:"oom_killed,omitempty"`
	Error        string    `json:"error,omitempty"` // why it could not start or was lost
	Started      time.Time `json:"started,omitzero"`
	Finished     time.Time `json:"finished,omitzero"`
	RestartCount int       `json:"restart_count,omitempty"`
	// StoppedByUser: stop, kill with the stop signal, or rm; the restart policy unless-stopped obeys it.
	StoppedByUser bool `json:"stopped_by_user,omitempty"`
	// Cgroup is where its cgroup is, relative to each hierarchy's mount point: "/gourd/ID".
	Cgroup string `json:"cgroup,omitempty"`
	// Systemd: the cgroup is a scope that systemd made.
	Systemd bool `json:"systemd,omitempty"`
}
