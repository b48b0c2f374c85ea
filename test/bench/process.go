package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This process is the first of its process id namespace: what the commands leave behind (monitors, shims,
// a container's first process) becomes its child. So it waits for everything itself, in one place, which
// also gives the processor time of the whole tree.

// reaper waits for all children and tells those who asked about theirs.
type reaper struct {
	mu     sync.Mutex
	asking map[int]chan unix.WaitStatus
}

var children = sync.OnceValue(func() *reaper {
	r := &reaper{asking: map[int]chan unix.WaitStatus{}}
	go r.loop()
	return r
})

func (r *reaper) loop() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // no child now
			time.Sleep(time.Millisecond)
			continue
		}
		r.mu.Lock()
		if ch, ok := r.asking[pid]; ok {
			ch <- status
			delete(r.asking, pid)
		}
		r.mu.Unlock()
	}
}

// spawn starts a program with these descriptors as 0, 1 and 2. The channel gets its status.
func (r *reaper) spawn(files [3]*os.File, argv ...string) (pid int, ended <-chan unix.WaitStatus, err error) {
	path, err := lookPath(argv[0])
	if err != nil {
		return 0, nil, err
	}
	fds := []uintptr{files[0].Fd(), files[1].Fd(), files[2].Fd()}
	ch := make(chan unix.WaitStatus, 1)
	r.mu.Lock() // so that the loop finds the channel, however soon it ends
	defer r.mu.Unlock()
	pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{Env: environment(), Files: fds, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		return 0, nil, err
	}
	r.asking[pid] = ch
	return pid, ch, nil
}

// environment is the one this program was started with, without its own variable.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, insideVar+"=") {
			env = append(env, e)
		}
	}
	return env
}

func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), "/usr/sbin", "/sbin") {
		path := dir + "/" + name
		if unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// command runs a command that must succeed, without input. What it prints is lost; what it writes to
// stderr is in the error.
func command(ctx context.Context, argv ...string) error {
	_, err := runCommand(ctx, false, argv)
	return err
}

// output runs a command that must succeed and gives what it printed.
func output(ctx context.Context, argv ...string) (string, error) {
	return runCommand(ctx, true, argv)
}

func runCommand(ctx context.Context, keep bool, argv []string) (string, error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer null.Close()
	// Files, not pipes: nothing is copied while the time runs, and nobody waits for a child that kept one.
	stderr, err := scratch()
	if err != nil {
		return "", err
	}
	defer stderr.Close()
	stdout := null
	if keep {
		if stdout, err = scratch(); err != nil {
			return "", err
		}
		defer stdout.Close()
	}
	pid, ended, err := children().spawn([3]*os.File{null, stdout, stderr}, argv...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", argv[0], err)
	}
	var status unix.WaitStatus
	select {
	case status = <-ended:
	case <-ctx.Done():
		unix.Kill(pid, unix.SIGKILL)
		<-ended
		return "", ctx.Err()
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return "", fmt.Errorf("%s: %s: %s", strings.Join(argv, " "), describe(status), contents(stderr))
	}
	if !keep {
		return "", nil
	}
	return contents(stdout), nil
}

func scratch() (*os.File, error) {
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "output"), nil
}

func contents(f *os.File) string {
	b := make([]byte, 64<<10)
	n, _ := f.ReadAt(b, 0)
	return string(bytes.TrimSpace(b[:n]))
}

func describe(s unix.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + s.Signal().String()
	}
	return "exit code " + strconv.Itoa(s.ExitStatus())
}

// timed runs commands, one after the other, that must succeed, and gives their wall time in milliseconds and the processor
// time of all that they started. What tidies up after its command ended (a monitor after --rm) is
// waited for off the clock, so that it doesn't disturb the next one.
func timed(ctx context.Context, commands ...[]string) (sample, error) {
	before, cpu := processes(), cpuOfChildren()
	start := time.Now()
	for _, argv := range commands {
		if err := command(ctx, argv...); err != nil {
			return sample{}, err
		}
	}
	wall := time.Since(start)
	quiesce(before)
	return sample{value: float64(wall) / float64(time.Millisecond), cpu: cpuOfChildren() - cpu}, nil
}

// cpuOfChildren is the user and system time of all ended children, and theirs.
func cpuOfChildren() time.Duration {
	var ru unix.Rusage
	unix.Getrusage(unix.RUSAGE_CHILDREN, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// processes is the set of process ids in this namespace.
func processes() map[int]bool {
	set := map[int]bool{}
	f, err := os.Open("/proc")
	if err != nil {
		return set
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			set[pid] = true
		}
	}
	return set
}

// quiesce waits until no process is left that wasn't there before, for up to a second: one that stays
// longer is meant to stay.
func quiesce(before map[int]bool) {
	deadline := time.Now().Add(time.Second)
	for pause := time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, 20*time.Millisecond) {
		left := false
		for pid := range processes() {
			left = left || !before[pid]
		}
		if !left {
			return
		}
		time.Sleep(pause)
	}
}

// daemonCPU is the time that living processes and those they have waited for have used, in the kernel's
// clock ticks of 10 ms: good for a mean over many rounds.
func daemonCPU(pids ...int) time.Duration {
	const tick = 10 * time.Millisecond
	var sum time.Duration
	for _, pid := range pids {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, i := range []int{11, 12, 13, 14} { // utime stime cutime cstime, proc_pid_stat(5)
			if n, err := strconv.Atoi(f[i]); err == nil {
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}
