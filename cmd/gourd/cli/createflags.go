package cli

import (
	"strings"

	"gourd/cmd/gourd/internal/opts"
	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// createFlags are the flags of run and create. What reads into one field of the request is kept there
// at once; the rest is put together by request.
type createFlags struct {
	req engine.CreateRequest

	attach     []string
	cidfile    string
	entrypoint string
	env        []string
	envFiles   []string
	labels     []string
	labelFiles []string
	network    []string
	tmpfs      map[string]string
	publish    []opts.Port
	restart    container.Restart

	memorySwappiness int64
	pidsLimit        int64
	stopTimeout      int

	set *pflag.FlagSet // to know which were given
}

// addTo declares the flags, by theme as in request.go.
func (f *createFlags) addTo(cmd *cobra.Command) {
	f.set = cmd.Flags()
	f.set.SetInterspersed(false)
	f.addProcess(f.set)
	f.addLife(f.set)
	f.addNamespaces(f.set)
	f.addStorage(f.set)
	f.addSecurity(f.set)
	f.addLimits(f.set)
	refuse(cmd, notYet, createNotYet...)
	refuse(cmd, never, createNever...)
	f.set.Lookup("disable-content-trust").Value.(*refused).harmless = "true"
}

// createNotYet are docker's flags that later issues build; createNever those that mean nothing here:
// Windows', and the kernel memory limit, which Linux has dropped.
var (
	createNotYet = []string{
		"blkio-weight-device list", "cpu-rt-period int", "cpu-rt-runtime int", "device-cgroup-rule list", "disable-content-trust bool",
		"gpus gpu-request", "health-cmd string", "health-interval duration", "health-retries int", "health-start-interval duration",
		"health-start-period duration", "health-timeout duration", "no-healthcheck bool", "ip string", "ip6 string", "link list",
		"link-local-ip list", "network-alias list", "net-alias list", "publish-all,P bool", "storage-opt list",
		"use-api-socket bool", "volume-driver string", "volumes-from list",
	}
	createNever = []string{"cpu-count int", "cpu-percent int", "io-maxbandwidth bytes", "io-maxiops uint", "isolation string", "kernel-memory bytes"}
)

func (f *createFlags) addProcess(fs *pflag.FlagSet) {
	r := &f.req
	fs.VarP(texts(&f.attach), "attach", "a", "Attach to stdin, stdout or stderr")
	fs.StringVar(&f.entrypoint, "entrypoint", "", "Program to run in place of the image's entry point")
	fs.VarP(texts(&f.env), "env", "e", "Set a variable of the environment (NAME=VALUE, or NAME for the caller's)")
	fs.Var(texts(&f.envFiles), "env-file", "Read variables from a file, one NAME=VALUE a line")
	fs.Var(texts(&r.GroupAdd), "group-add", "Put the process into one more group")
	fs.StringVarP(&r.Hostname, "hostname", "h", "", "Host name inside")
	fs.StringVar(&r.Domainname, "domainname", "", "NIS domain name inside")
	fs.BoolVar(&r.Init, "init", false, "Run a small init as PID 1 that passes signals on and reaps zombies")
	fs.BoolVarP(&r.OpenStdin, "interactive", "i", false, "Give the process a standard input and keep it open")
	fs.BoolVarP(&r.Tty, "tty", "t", false, "Give the process a terminal")
	fs.StringVarP(&r.User, "user", "u", "", "User and group: <name|uid>[:<group|gid>]")
	fs.StringVarP(&r.Workdir, "workdir", "w", "", "Working directory inside")
	fs.Var(one(&r.Platform, "string", opts.Platform), "platform", "Platform that the image must be for: os[/arch[/variant]]")
	fs.Var(one(&r.TimeOffset, "duration", opts.Duration), "time-offset", "Set the boot and monotonic clocks inside apart from the host's (30d, -1h)")
}

func (f *createFlags) addLife(fs *pflag.FlagSet) {
	r := &f.req
	fs.StringVar(&r.Name, "name", "", "Name of the container; invented if not given")
	fs.BoolVar(&r.AutoRemove, "rm", false, "Remove the container when it ends")
	fs.StringVar(&f.cidfile, "cidfile", "", "Write the container's id to this new file")
	fs.VarP(texts(&f.labels), "label", "l", "Put a label on the container (NAME=VALUE)")
	fs.Var(texts(&f.labelFiles), "label-file", "Read labels from a file, one NAME=VALUE a line")
	fs.Var(dictionary(&r.Annotations, opts.KeyValue), "annotation", "Pass an annotation to the OCI runtime (NAME=VALUE)")
	fs.StringVar(&r.Pull, "pull", "missing", `When to fetch the image: "always", "missing", "never"`)
	fs.BoolP("quiet", "q", false, "Don't show the progress of fetching the image")
	fs.Var(one(&f.restart, "string", opts.Restart), "restart", `What to do when the container ends (only "no" so far)`)
	fs.StringVar(&r.Runtime, "runtime", "", "OCI runtime: a name from the configuration or an absolute path")
	fs.StringVar(&r.StopSignal, "stop-signal", "", "Signal that stops the container")
	fs.IntVar(&f.stopTimeout, "stop-timeout", 0, "Seconds that stop waits before it kills (-1: for ever)")
	fs.StringVar(&r.Log.Driver, "log-driver", "", `Where the output is kept: "json-file" or "none"`)
	fs.Var(dictionary(&r.Log.Opts, opts.KeyValue), "log-opt", "Option of the log (max-size=10m, max-file=3)")
}

func (f *createFlags) addNamespaces(fs *pflag.FlagSet) {
	r := &f.req
	fs.StringVar(&r.PidMode, "pid", "", `PID namespace: "host", "container:<name|id>"`)
	fs.StringVar(&r.IPCMode, "ipc", "", `IPC namespace: "host", "private", "shareable", "none", "container:<name|id>"`)
	fs.StringVar(&r.UTSMode, "uts", "", `UTS namespace: "host", "private", "container:<name|id>"`)
	fs.StringVar(&r.UserMode, "userns", "", `User namespace: "auto" (default), "host", "keep-id", "container:<name|id>"`)
	fs.StringVar(&r.CgroupMode, "cgroupns", "", `Cgroup namespace: "private" (default), "host"`)
	fs.Var(texts(&f.network), "network", `Network: "bridge" (default), "none", "host", "container:<name|id>"`)
	fs.Var(texts(&f.network), "net", "The same as --network")
	fs.Lookup("net").Hidden = true
	fs.StringVar(&r.Network.MAC, "mac-address", "", "MAC address (92:d0:c6:0a:29:33)")
	fs.Var(list(&r.Network.ExtraHosts, "list", opts.AddHost), "add-host", "Add a line to the hosts file (name:ip, name:host-gateway)")
	fs.Var(texts(&r.Network.DNS), "dns", "Name server in place of the host's")
	fs.Var(texts(&r.Network.DNSSearch), "dns-search", "Domain that short names are looked for in")
	fs.Var(texts(&r.Network.DNSOptions), "dns-option", "Option of the resolver (ndots:2)")
	fs.Var(texts(&r.Network.DNSOptions), "dns-opt", "The same as --dns-option")
	fs.Lookup("dns-opt").Hidden = true
	fs.Var(list(&r.Network.Expose, "list", opts.Expose), "expose", "Note a port or a range of ports as served (80/tcp)")
	fs.VarP(list(&f.publish, "list", opts.Publish), "publish", "p", notYet)
	fs.Lookup("publish").Hidden = true
}

func (f *createFlags) addStorage(fs *pflag.FlagSet) {
	r := &f.req
	fs.VarP(list(&r.Mounts, "list", opts.Volume), "volume", "v", "Mount a host directory or file: [source:]destination[:options]")
	fs.Var(list(&r.Mounts, "mount", opts.Mount), "mount", "Mount, spelled out: type=bind,source=/src,target=/dst[,readonly]")
	fs.Var(dictionary(&f.tmpfs, opts.Tmpfs), "tmpfs", "Mount a tmpfs: destination[:options]")
	fs.BoolVar(&r.ReadOnly, "read-only", false, "Make the root filesystem read-only")
	fs.StringVar(&r.Rootfs, "rootfs", "", "Run on a directory in place of an image; with :O at its end changes are kept beside it")
	fs.Var(list(&r.Devices, "list", opts.Device), "device", "Add a device of the host: path[:path inside][:rwm]")
	fs.Var(one(&r.ShmSize, "bytes", opts.Bytes), "shm-size", "Size of /dev/shm (64m)")
}

func (f *createFlags) addSecurity(fs *pflag.FlagSet) {
	r := &f.req
	fs.BoolVar(&r.Privileged, "privileged", false, "Give all capabilities and devices, and no user namespace")
	fs.Var(texts(&r.CapAdd), "cap-add", "Add a capability")
	fs.Var(texts(&r.CapDrop), "cap-drop", "Drop a capability")
	fs.Var(list(&r.SecurityOpt, "list", opts.SecurityOpt), "security-opt", "no-new-privileges, seccomp=<file|unconfined>, apparmor=, label=, systempaths=unconfined")
	fs.Var(dictionary(&r.Sysctls, opts.KeyValue), "sysctl", "Set a kernel setting of the container's namespaces (NAME=VALUE)")
}

func (f *createFlags) addLimits(fs *pflag.FlagSet) {
	r, l := &f.req, &f.req.Resources
	fs.VarP(one(&l.Memory, "bytes", opts.Bytes), "memory", "m", "Limit of memory")
	fs.Var(one(&l.MemorySwap, "bytes", opts.SwapBytes), "memory-swap", "Limit of memory and swap together (-1: unlimited swap)")
	fs.Var(one(&l.MemoryReservation, "bytes", opts.Bytes), "memory-reservation", "Memory it is pushed back to when the host runs short")
	fs.Int64Var(&f.memorySwappiness, "memory-swappiness", -1, "How readily its memory is swapped out (0 to 100; cgroup v1)")
	fs.BoolVar(&l.OomKillDisable, "oom-kill-disable", false, "Let it wait instead of killing it at the memory limit (cgroup v1)")
	fs.IntVar(&l.OomScoreAdj, "oom-score-adj", 0, "How gladly the host kills it when memory runs out (-1000 to 1000)")
	fs.Var(one(&l.CPUs, "decimal", opts.CPUs), "cpus", "Number of CPUs it may use (1.5)")
	fs.Int64Var(&l.CPUPeriod, "cpu-period", 0, "Length of a CPU period in microseconds (1000 to 1000000)")
	fs.Int64Var(&l.CPUQuota, "cpu-quota", 0, "CPU time per period in microseconds")
	fs.Int64VarP(&l.CPUShares, "cpu-shares", "c", 0, "Share of CPU time against others (relative weight)")
	fs.StringVar(&l.CpusetCPUs, "cpuset-cpus", "", "CPUs it may run on (0-3, 0,1)")
	fs.StringVar(&l.CpusetMems, "cpuset-mems", "", "Memory nodes it may use (0-3, 0,1)")
	fs.Int64Var(&f.pidsLimit, "pids-limit", 0, "Limit of processes and threads (-1: unlimited)")
	fs.Uint16Var(&l.BlkioWeight, "blkio-weight", 0, "Share of block I/O against others, 10 to 1000")
	fs.Var(list(&l.DeviceReadBps, "list", opts.ThrottleBps), "device-read-bps", "Limit of reading from a device in bytes per second (/dev/sda:1mb)")
	fs.Var(list(&l.DeviceWriteBps, "list", opts.ThrottleBps), "device-write-bps", "Limit of writing to a device in bytes per second; on cgroup v1 only direct I/O is held to it")
	fs.Var(list(&l.DeviceReadIOps, "list", opts.ThrottleIOps), "device-read-iops", "Limit of reading from a device in operations per second")
	fs.Var(list(&l.DeviceWriteIOps, "list", opts.ThrottleIOps), "device-write-iops", "Limit of writing to a device in operations per second; on cgroup v1 only direct I/O is held to it")
	fs.Var(list(&r.Ulimits, "list", opts.Ulimit), "ulimit", "Limit per process (nofile=1024:2048)")
	fs.StringVar(&r.CgroupParent, "cgroup-parent", "", "Cgroup to make the container's in")
}

// splitLabels turns NAME=VALUE texts into labels; a later one wins.
func splitLabels(list []string) (map[string]string, error) {
	labels := make(map[string]string, len(list))
	for _, l := range list {
		name, value, err := opts.KeyValue(l)
		if err != nil {
			return nil, err
		}
		labels[strings.TrimSpace(name)] = value
	}
	return labels, nil
}
