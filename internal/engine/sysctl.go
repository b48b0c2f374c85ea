package engine

import (
	"fmt"
	"slices"
	"strings"
)

// ipcSysctls belong to the IPC namespace; with fs.mqueue.* and net.* they are all that a container may
// set: anything else would be the host's (CVE-2022-0811).
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
	"kernel.shmmni", "kernel.shm_rmid_forced",
}

// checkSysctls refuses what isn't the container's own to set. own says which namespaces are.
func checkSysctls(list map[string]string, ownIPC, ownNetwork bool) error {
	for name, value := range list {
		if !sysctlName(name) || strings.ContainsAny(value, "\n\x00") {
			return invalid("set sysctl", fmt.Sprintf("%q", name+"="+value), "it is not of the form name=value", "")
		}
		switch {
		case strings.HasPrefix(name, "net."):
			if !ownNetwork {
				return invalid("set sysctl", name, "the container has no network namespace of its own with --network host or container:", "")
			}
		case strings.HasPrefix(name, "fs.mqueue."), slices.Contains(ipcSysctls, name):
			if !ownIPC {
				return invalid("set sysctl", name, "the container has no IPC namespace of its own with --ipc host or container:", "")
			}
		default:
			return invalid("set sysctl", name, "it is not a container's own", "allowed are net.*, fs.mqueue.* and "+strings.Join(ipcSysctls, ", "))
		}
	}
	return nil
}

// sysctlName says whether a name can be a path below /proc/sys. A slash is a dot of an interface's name
// ("net.ipv4.conf.eth0/100.rp_filter").
func sysctlName(name string) bool {
	for _, c := range name {
		if c != '.' && c != '_' && c != '-' && c != '/' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return name != "" && !strings.Contains(name, "..") && !strings.Contains(name, "//") &&
		!strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "/") && !strings.HasSuffix(name, ".") && !strings.HasSuffix(name, "/")
}

// sysctlSpec adds gourd's defaults, as docker's: low ports and ping for everybody in a network
// namespace that is the container's own.
func sysctlSpec(list map[string]string, ownNetwork bool) map[string]string {
	out := map[string]string{}
	if ownNetwork {
		out["net.ipv4.ip_unprivileged_port_start"] = "0"
		out["net.ipv4.ping_group_range"] = "0 2147483647"
	}
	for name, value := range list {
		out[name] = value
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
