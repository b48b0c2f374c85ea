package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func process() (string, []line) {
	pid := os.Getpid()
	note := "the first process of this world; when it ends, the world ends"
	if pid != 1 {
		note = "another process is number 1 here"
	}
	count := 0
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			count++
		}
	}
	lines := []line{
		{"process id", strconv.Itoa(pid), note},
		{"command", strings.Join(os.Args, " "), ""},
	}
	if count > 0 {
		seen := line{"processes seen", strconv.Itoa(count), ""}
		if pid == 1 {
			seen.note = "the host's are not visible"
		}
		lines = append(lines, seen)
	}
	if dir, err := os.Getwd(); err == nil {
		lines = append(lines, line{"working directory", dir, ""})
	}
	return "The process", lines
}

func users() (string, []line) {
	uid := os.Getuid()
	lines := []line{{"user and group", fmt.Sprintf("%d:%d", uid, os.Getgid()), ""}}
	maps := strings.Split(read("/proc/self/uid_map"), "\n")
	for i, m := range maps {
		f := strings.Fields(m)
		if len(f) != 3 {
			continue
		}
		name, note := "", ""
		if i == 0 {
			name = "user id map"
			if note = "user 0 here is user " + f[1] + " on the host"; f[0] != "0" || f[1] == "0" {
				note = ""
			}
		}
		value := fmt.Sprintf("%s to %s → %s on the host", f[0], last(f[0], f[2]), f[1])
		if f[0] == f[1] && f[2] == "4294967295" {
			value, note = "every id is the host's own", "no user namespace"
		}
		lines = append(lines, line{name, value, note})
	}
	return "Who it is", lines
}

// last gives the end of a range of ids.
func last(first, size string) string {
	a, _ := strconv.ParseUint(first, 10, 64)
	n, _ := strconv.ParseUint(size, 10, 64)
	return strconv.FormatUint(a+n-1, 10)
}

func names() (string, []line) {
	var lines []line
	if host, err := os.Hostname(); err == nil {
		lines = append(lines, line{"host name", host, ""})
	}
	var spaces []string
	for _, ns := range []string{"mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"} {
		if link, err := os.Readlink("/proc/self/ns/" + ns); err == nil {
			spaces = append(spaces, link)
		}
	}
	for i := 0; i < len(spaces); i += 4 {
		name := ""
		if i == 0 {
			name = "namespaces"
		}
		lines = append(lines, line{name, strings.Join(spaces[i:min(i+4, len(spaces))], "  "), ""})
	}
	return "Its names for things", lines
}

func root() (string, []line) {
	var lines []line
	mounts := strings.Split(read("/proc/self/mountinfo"), "\n")
	for _, m := range mounts {
		before, after, ok := strings.Cut(m, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 6 || len(g) < 1 || f[4] != "/" {
			continue
		}
		how := "writable"
		if strings.HasPrefix(f[5], "ro") {
			how = "read-only"
		}
		lines = append(lines, line{"root file system", g[0] + ", " + how, "its floor: the image's layers"})
	}
	lines = append(lines, line{"mounts", strconv.Itoa(len(mounts)), "in /proc/self/mountinfo"})
	if entries, err := os.ReadDir("/"); err == nil {
		var found []string
		for _, e := range entries {
			found = append(found, e.Name())
		}
		lines = append(lines, line{"/ holds", strings.Join(found, " "), ""})
	}
	return "What it stands on", lines
}

func limits() (string, []line) {
	lines := cgroup2()
	if lines == nil {
		lines = cgroup1()
	}
	if len(lines) == 0 {
		lines = []line{{"limits", "not visible here", "/sys/fs/cgroup shows none"}}
	}
	return "What it may use", lines
}

const cgroupRoot = "/sys/fs/cgroup/"

// cgroup2 reads the unified hierarchy (Documentation/admin-guide/cgroup-v2.rst); nil where there is none.
func cgroup2() []line {
	if read(cgroupRoot+"cgroup.controllers") == "" {
		return nil
	}
	lines := []line{{"cgroups", "version 2", ""}}
	if f := strings.Fields(read(cgroupRoot + "cpu.max")); len(f) == 2 {
		lines = append(lines, cpuLine(f[0], f[1]))
	}
	return append(lines, sizeLine("memory", read(cgroupRoot+"memory.max")), countLine("processes", read(cgroupRoot+"pids.max")))
}

// cgroup1 reads the hierarchies of version 1, where each controller has its own.
func cgroup1() []line {
	quota, period := read(cgroupRoot+"cpu/cpu.cfs_quota_us"), read(cgroupRoot+"cpu/cpu.cfs_period_us")
	memory, pids := read(cgroupRoot+"memory/memory.limit_in_bytes"), read(cgroupRoot+"pids/pids.max")
	if quota+memory+pids == "" {
		return nil
	}
	return []line{{"cgroups", "version 1", ""}, cpuLine(quota, period), sizeLine("memory", memory), countLine("processes", pids)}
}

func cpuLine(quota, period string) line {
	q, qerr := strconv.ParseFloat(quota, 64)
	p, perr := strconv.ParseFloat(period, 64)
	if qerr != nil || perr != nil || q < 0 || p == 0 {
		return line{"CPU time", "no limit", ""}
	}
	return line{"CPU time", fmt.Sprintf("%g µs in every %g µs", q, p), fmt.Sprintf("%g CPUs", q/p)}
}

func sizeLine(name, v string) line {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n >= 1<<60 {
		return line{name, "no limit", ""}
	}
	return line{name, fmt.Sprintf("%.6g MiB", float64(n)/(1<<20)), ""}
}

func countLine(name, v string) line {
	if _, err := strconv.Atoi(v); err != nil {
		return line{name, "no limit", ""}
	}
	return line{name, "at most " + v, ""}
}

func protection() (string, []line) {
	s := status()
	lines := []line{{"capabilities", capabilities(s["CapEff"]), ""}}
	if s["NoNewPrivs"] == "1" {
		lines = append(lines, line{"no_new_privs", "yes", "setuid programs give nothing more"})
	} else {
		lines = append(lines, line{"no_new_privs", "no", ""})
	}
	seccomp := map[string]string{"0": "no filter", "1": "strict", "2": "a filter of system calls"}[s["Seccomp"]]
	if n := s["Seccomp_filters"]; s["Seccomp"] == "2" && n != "" && n != "1" {
		seccomp += " (" + n + " of them)"
	}
	return "What it is allowed", append(lines, line{"seccomp", seccomp, ""})
}

// capNames are the capabilities by number (linux/capability.h).
var capNames = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
	net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace
	sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control
	setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`)

// capabilities names what a mask holds, five to a line.
func capabilities(mask string) string {
	bits, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		return "unknown"
	}
	var have []string
	for i, name := range capNames {
		if bits&(1<<i) != 0 {
			have = append(have, name)
		}
	}
	switch len(have) {
	case 0:
		return "none"
	case len(capNames):
		return "all " + strconv.Itoa(len(capNames))
	}
	var b strings.Builder
	for i, name := range have {
		switch {
		case i == 0:
		case i%5 == 0:
			b.WriteByte('\n')
		default:
			b.WriteByte(' ')
		}
		b.WriteString(name)
	}
	return b.String()
}

func machine() (string, []line) {
	var u syscall.Utsname
	var lines []line
	if syscall.Uname(&u) == nil {
		lines = append(lines, line{"kernel", text(u.Sysname[:]) + " " + text(u.Release[:]) + " " + text(u.Machine[:]), "the host's: containers share it"})
	}
	lines = append(lines, line{"CPUs it may run on", strconv.Itoa(runtime.NumCPU()), ""})
	if f := strings.Fields(read("/proc/uptime")); len(f) > 0 {
		if sec, err := strconv.ParseFloat(f[0], 64); err == nil {
			up := time.Duration(sec * float64(time.Second)).Round(time.Second)
			lines = append(lines, line{"up since", time.Now().Add(-up).UTC().Format("2006-01-02 15:04:05 UTC"), up.String() + " ago by its clock"})
		}
	}
	return "The machine", lines
}

// text reads a C string, whose characters are signed on some machines and unsigned on others.
func text[C int8 | uint8](c []C) string {
	var b strings.Builder
	for _, x := range c {
		if x == 0 {
			break
		}
		b.WriteByte(byte(x))
	}
	return b.String()
}
