package docker

// The objects of docker's API as `inspect` prints them (API 1.56): names and order of the fields are the
// interface. They stand here, and not in terms of docker's own API module, because that one's
// dependencies cost more time at each start of gourd than everything else together (a regular expression
// is compiled in an init function); a test holds them to that module's types.

// State is a container's, in words and numbers.
type State struct {
	Status     string
	Running    bool
	Paused     bool
	Restarting bool
	OOMKilled  bool
	Dead       bool
	Pid        int
	ExitCode   int
	Error      string
	StartedAt  string
	FinishedAt string
}

// Config is what goes with the container to any machine.
type Config struct {
	Hostname     string
	Domainname   string
	User         string
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          []string
	Image        string
	Volumes      map[string]struct{}
	WorkingDir   string
	Entrypoint   []string
	Labels       map[string]string
	StopSignal   string `json:",omitempty"`
	StopTimeout  *int   `json:",omitempty"`
}

// HostConfig is what lies between the container and this machine.
type HostConfig struct {
	Binds           []string
	ContainerIDFile string
	LogConfig       LogConfig
	NetworkMode     string
	PortBindings    map[string][]PortBinding
	RestartPolicy   RestartPolicy
	AutoRemove      bool
	VolumeDriver    string
	VolumesFrom     []string
	ConsoleSize     [2]uint
	Annotations     map[string]string `json:",omitempty"`
	CapAdd          []string
	CapDrop         []string
	CgroupnsMode    string
	DNS             []string `json:"Dns"`
	DNSOptions      []string `json:"DnsOptions"`
	DNSSearch       []string `json:"DnsSearch"`
	ExtraHosts      []string
	GroupAdd        []string
	IpcMode         string
	Cgroup          string
	Links           []string
	OomScoreAdj     int
	PidMode         string
	Privileged      bool
	PublishAllPorts bool
	ReadonlyRootfs  bool
	SecurityOpt     []string
	Tmpfs           map[string]string `json:",omitempty"`
	UTSMode         string
	UsernsMode      string
	ShmSize         int64
	Sysctls         map[string]string `json:",omitempty"`
	Runtime         string            `json:",omitempty"`
	Isolation       string
	Resources
	Mounts        []MountRequest `json:",omitempty"`
	MaskedPaths   []string
	ReadonlyPaths []string
	Init          *bool `json:",omitempty"`
}

// Resources are the limits.
type Resources struct {
	CPUShares            int64 `json:"CpuShares"`
	Memory               int64
	NanoCPUs             int64 `json:"NanoCpus"`
	CgroupParent         string
	BlkioWeight          uint16
	BlkioWeightDevice    []Throttle
	BlkioDeviceReadBps   []Throttle
	BlkioDeviceWriteBps  []Throttle
	BlkioDeviceReadIOps  []Throttle
	BlkioDeviceWriteIOps []Throttle
	CPUPeriod            int64 `json:"CpuPeriod"`
	CPUQuota             int64 `json:"CpuQuota"`
	CPURealtimePeriod    int64 `json:"CpuRealtimePeriod"`
	CPURealtimeRuntime   int64 `json:"CpuRealtimeRuntime"`
	CpusetCpus           string
	CpusetMems           string
	Devices              []Device
	DeviceCgroupRules    []string
	DeviceRequests       []struct{}
	MemoryReservation    int64
	MemorySwap           int64
	MemorySwappiness     *int64
	OomKillDisable       *bool
	PidsLimit            *int64
	Ulimits              []Ulimit
	CPUCount             int64 `json:"CpuCount"`
	CPUPercent           int64 `json:"CpuPercent"`
	IOMaximumIOps        uint64
	IOMaximumBandwidth   uint64
}

// LogConfig says where the output is kept.
type LogConfig struct {
	Type   string
	Config map[string]string
}

// RestartPolicy says what happens when the container ends.
type RestartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// Throttle is a limit on one block device, per second.
type Throttle struct {
	Path string
	Rate uint64
}

// Device is a device of the host inside the container.
type Device struct {
	PathOnHost        string
	PathInContainer   string
	CgroupPermissions string
}

// Ulimit is a limit per process; -1 is unlimited.
type Ulimit struct {
	Name string
	Hard int64
	Soft int64
}

// MountRequest is a --mount as it was asked for.
type MountRequest struct {
	Type     string `json:",omitempty"`
	Source   string `json:",omitempty"`
	Target   string `json:",omitempty"`
	ReadOnly bool   `json:",omitempty"`
}

// MountPoint is a mount as it is.
type MountPoint struct {
	Type        string `json:",omitempty"`
	Name        string `json:",omitempty"`
	Source      string
	Destination string
	Driver      string `json:",omitempty"`
	Mode        string
	RW          bool
	Propagation string
}

// PortBinding is where a container's port is published.
type PortBinding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

// NetworkSettings are the container's connections.
type NetworkSettings struct {
	SandboxID  string
	SandboxKey string
	Ports      map[string][]PortBinding
	Networks   map[string]*Endpoint
}

// Endpoint is one connection to a network.
type Endpoint struct {
	IPAMConfig          *struct{}
	Links               []string
	Aliases             []string
	DriverOpts          map[string]string
	GwPriority          int
	NetworkID           string
	EndpointID          string
	Gateway             string
	IPAddress           string
	MacAddress          string
	IPPrefixLen         int
	IPv6Gateway         string
	GlobalIPv6Address   string
	GlobalIPv6PrefixLen int
	DNSNames            []string
}

// GraphDriver tells where the root filesystem's layers are.
type GraphDriver struct {
	Data map[string]string
	Name string
}
