package main

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// cgroupRoot is below each hierarchy; every container of the benchmark is below it.
const cgroupRoot = "/gourd-bench"

// removeCgroups removes what containers left, in every hierarchy, the innermost first. rmdir(2) refuses
// one with a process in it; there is none by then.
func removeCgroups() {
	tops, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroupRoot)
	tops = append(tops, "/sys/fs/cgroup"+cgroupRoot)
	for _, top := range tops {
		var dirs []string
		filepath.Walk(top, func(path string, info os.FileInfo, err error) error {
			if err == nil && info.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		sort.Slice(dirs, func(i, j int) bool { return strings.Count(dirs[i], "/") > strings.Count(dirs[j], "/") })
		for _, d := range dirs {
			os.Remove(d)
		}
	}
}
