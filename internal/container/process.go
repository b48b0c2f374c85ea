package container

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Process names a process so that it can't be mistaken for a later one with the same number:
// its pid, when it was started (field 22 of /proc/PID/stat, in clock ticks since boot), and the boot.
type Process struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"`
	Boot  string `json:"boot"`
}

// BootID is the kernel's identifier of this boot (random(4), /proc/sys/kernel/random/boot_id).
var BootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
})

// Identify reads what tells process pid from any later one of the same number.
func Identify(pid int) (Process, error) {
	start, err := startTime(pid)
	if err != nil {
		return Process{}, err
	}
	return Process{Pid: pid, Start: start, Boot: BootID()}, nil
}

// Alive says whether this very process still exists (a zombie counts as gone).
func (p Process) Alive() bool {
	if p.Pid <= 0 || p.Boot != BootID() {
		return false
	}
	start, err := startTime(p.Pid)
	return err == nil && start == p.Start
}

// startTime reads fields 3 and 22 of /proc/PID/stat (proc_pid_stat(5)); the command name in field 2
// may contain anything, so fields are counted from the last ')'.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return 0, fmt.Errorf("read /proc/%d/stat: no command name", pid)
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return 0, fmt.Errorf("read /proc/%d/stat: %d fields after the name", pid, len(f))
	}
	if f[0] == "Z" || f[0] == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(f[19], 10, 64)
}
