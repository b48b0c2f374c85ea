package harness

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Leftovers lists what is left of the installation although it has no container any more. Removal may
// end just after the command that asked for it, so what is there is looked at for two seconds.
func (g *Gourd) Leftovers() []string {
	var left []string
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left = g.leftovers()
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

func (g *Gourd) leftovers() []string {
	left := append(g.mounts(), g.Processes()...)
	for _, dir := range []string{
		filepath.Join(g.Root, "containers"), filepath.Join(g.Root, "names"), filepath.Join(g.Root, "ids"),
		filepath.Join(g.State, "containers"), filepath.Join(g.State, "locks"),
	} {
		left = append(left, entries(dir)...)
	}
	drivers, _ := filepath.Glob(filepath.Join(g.Root, "*", "containers"))
	for _, dir := range drivers {
		left = append(left, entries(dir)...)
	}
	return left
}

func entries(dir string) []string {
	list, _ := os.ReadDir(dir)
	var names []string
	for _, e := range list {
		names = append(names, "file "+filepath.Join(dir, e.Name()))
	}
	return names
}

// mounts lists those of this mount namespace that lie in the installation, but for the one read-only
// mount that an image in use may have.
func (g *Gourd) mounts() []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var left []string
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 4 && (strings.HasPrefix(f[4], g.Root+"/") || strings.HasPrefix(f[4], g.State+"/")) {
			left = append(left, "mount "+f[4])
		}
	}
	return left
}

// Processes lists the processes that were started for this installation: their command line names it.
func (g *Gourd) Processes() []string {
	var left []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && bytes.Contains(b, []byte(g.Root)) && !bytes.Contains(b, []byte(".test\x00")) {
			left = append(left, "process "+filepath.Base(filepath.Dir(file))+" "+string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return left
}

// CgroupsOf lists the directories of a container's cgroups in every hierarchy.
func CgroupsOf(id string) []string {
	var found []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(d.Name(), id) {
			found = append(found, path)
			return fs.SkipDir
		}
		return nil
	})
	return found
}
