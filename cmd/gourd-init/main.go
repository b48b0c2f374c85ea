// gourd-init is pid 1 of a container with --init: it starts the program, passes signals on to it, waits
// for whatever has lost its parent (else zombies would pile up: pid 1 inherits them), and ends as the
// program ended. It is bind-mounted read-only as /sbin/gourd-init.
package main

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unsafe"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fail(126, "no command given")
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	// Giving the terminal away from the background would stop this process (SIGTTOU, setpgid(2)).
	signal.Ignore(syscall.SIGTTIN, syscall.SIGTTOU)
	child := start(args)
	go forward(signals, child)
	os.Exit(reap(child))
}

// start runs the program in a process group of its own, in the foreground of the terminal if there is
// one: keys like Ctrl-C then reach it and not init.
func start(args []string) int {
	path, err := find(args[0])
	if err == nil {
		attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setpgid: true}}
		if isTerminal(0) {
			attr.Sys.Foreground = true
		}
		var pid int
		if pid, err = syscall.ForkExec(path, args, attr); err == nil {
			return pid
		}
	}
	code := 126
	if errors.Is(err, syscall.ENOENT) {
		code = 127
	}
	fail(code, "exec "+args[0]+": "+err.Error())
	return 0
}

// find looks a command up as execvp(3) does.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	result := error(syscall.ENOENT)
	for _, dir := range strings.Split(os.Getenv("PATH"), ":") {
		if dir == "" {
			dir = "."
		}
		path := dir + "/" + name
		st, err := os.Stat(path)
		if err != nil || st.IsDir() {
			continue
		}
		if st.Mode()&0o111 != 0 {
			return path, nil
		}
		result = syscall.EACCES
	}
	return "", result
}

func isTerminal(fd uintptr) bool {
	var size [4]uint16
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	return errno == 0
}

// forward passes signals on. SIGCHLD is init's own; SIGURG is how the Go runtime preempts its threads.
func forward(signals <-chan os.Signal, child int) {
	for s := range signals {
		sig, ok := s.(syscall.Signal)
		if ok && sig != syscall.SIGCHLD && sig != syscall.SIGURG {
			syscall.Kill(child, sig)
		}
	}
}

// reap waits for every process that ends, until it is the program, and gives its exit code.
func reap(child int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			fail(126, "wait: "+err.Error())
		case pid == child && status.Signaled():
			return 128 + int(status.Signal())
		case pid == child && status.Exited():
			return status.ExitStatus()
		}
	}
}

func fail(code int, text string) {
	os.Stderr.WriteString("gourd-init: " + text + "\n")
	os.Exit(code)
}
