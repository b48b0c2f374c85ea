// Command gourd-hello is the program of the image gourd/hello: it prints the world as a container's process sees
// it. It is static, uses nothing but the kernel's own files, and needs nothing else in its root file system.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprint(out, "\nHello from inside the gourd. This is what the world looks like from here:\n\n")
	for _, s := range []section{process, users, names, root, network, limits, protection, machine} {
		title, lines := s()
		print(out, title, lines)
	}
	fmt.Fprint(out, "Run `gourd explain CONTAINER` outside to see how this world was made.\n\n")
}

// section gives a title and its lines.
type section func() (title string, lines []line)

// line is one fact: what, its value, and what it means.
type line struct{ name, value, note string }

func print(out *bufio.Writer, title string, lines []line) {
	fmt.Fprintf(out, "%s\n", title)
	for _, l := range lines {
		for i, v := range strings.Split(l.value, "\n") {
			name, note := l.name, ""
			if i > 0 {
				name = ""
			} else if l.note != "" {
				note = "   (" + l.note + ")"
			}
			fmt.Fprintf(out, "  %-18s %s%s\n", name, v, note)
		}
	}
	fmt.Fprintln(out)
}

// read gives a file's content without the last newline, "" if it can't be read.
func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b), "\n")
}

// status gives the fields of /proc/self/status (proc_pid_status(5)).
func status() map[string]string {
	fields := map[string]string{}
	for l := range strings.SplitSeq(read("/proc/self/status"), "\n") {
		if k, v, ok := strings.Cut(l, ":"); ok {
			fields[k] = strings.TrimSpace(v)
		}
	}
	return fields
}
