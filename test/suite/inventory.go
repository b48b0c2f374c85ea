package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// inventory is what a container engine can leave behind on a machine, one line each.
type inventory map[string]bool

func takeInventory() inventory {
	inv := inventory{}
	inv.mounts()
	inv.cgroups()
	inv.processes()
	inv.names("/sys/class/net", "network device ")
	inv.firewall()
	return inv
}

// since lists what is there now and was not before.
func (inv inventory) since(before inventory) []string {
	var left []string
	for item := range inv {
		if !before[item] {
			left = append(left, item)
		}
	}
	return left
}

func (inv inventory) mounts() {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 4 {
			inv["mount "+f[4]] = true
		}
	}
}

// cgroups lists groups at most three levels below each hierarchy: containers' own groups may come and
// go below groups of others, but gourd's parents are at the top.
func (inv inventory) cgroups() {
	const root = "/sys/fs/cgroup"
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if strings.Count(strings.TrimPrefix(path, root), "/") > 3 {
			return fs.SkipDir
		}
		// The parents are every installation's, and stay until `gourd system sweep --all` finds them empty.
		if !strings.HasSuffix(path, "/gourd") && !strings.HasSuffix(path, "/gourd/monitors") {
			inv["cgroup "+path] = true
		}
		return nil
	})
}

// processes lists those that are gourd's by the name of their program.
func (inv inventory) processes() {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		target, err := os.Readlink(exe)
		if err == nil && strings.HasPrefix(filepath.Base(target), "gourd") {
			inv["process "+filepath.Dir(exe)+" "+target] = true
		}
	}
}

func (inv inventory) names(dir, label string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		inv[label+e.Name()] = true
	}
}

func (inv inventory) firewall() {
	out, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		return
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if line != "" {
			inv["firewall "+line] = true
		}
	}
}
