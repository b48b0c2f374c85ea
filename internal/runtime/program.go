package runtime

import (
	"path"
	"strings"
	"sync"

	"gourd/internal/runtime/child"

	"golang.org/x/sys/unix"
)

// writeFind looks for the program as the user will, so that a missing one is an error of create, not of start.
// A name without a slash is looked for in PATH of the process's own environment.
func (x *execution) writeFind() {
	p, name := x.track.p, x.proc.Args[0]
	p.Step(stepFind, "")
	if strings.ContainsRune(name, '/') {
		x.writeFindOne(name)
		return
	}
	found := p.NewLabel()
	for _, dir := range strings.Split(searchPath(x.proc.Env), ":") {
		if dir == "" {
			dir = "."
		}
		next, full := p.NewLabel(), path.Join(dir, name)
		if dir == "." {
			full = "./" + name
		}
		at, st := p.Str(full), p.Buffer(256)
		p.Call(unix.SYS_FACCESSAT2, child.N(unix.AT_FDCWD), at, child.N(unix.X_OK), child.N(unix.AT_EACCESS)).OnError(next, child.AnyError)
		x.writeStat(at, st)
		p.Compare(child.Slot(st+modeOffset).Value(), unix.S_IFMT, unix.S_IFREG, next)
		p.Store(x.path, at)
		p.Goto(found)
		p.Place(next)
	}
	p.Fail(unix.ENOENT)
	p.Place(found)
}

// writeFindOne checks a program that is named by a path.
func (x *execution) writeFindOne(name string) {
	p := x.track.p
	at, st, notDir := p.Str(name), p.Buffer(256), p.NewLabel()
	x.writeStat(at, st)
	p.Compare(child.Slot(st+modeOffset).Value(), unix.S_IFMT, unix.S_IFDIR, notDir)
	p.Fail(unix.EISDIR)
	p.Place(notDir)
	p.Call(unix.SYS_FACCESSAT2, child.N(unix.AT_FDCWD), at, child.N(unix.X_OK), child.N(unix.AT_EACCESS))
	p.Store(x.path, at)
}

// writeStat calls statx(2): the same structure on every machine.
func (x *execution) writeStat(at child.Arg, st child.Ref) {
	x.track.p.Call(unix.SYS_STATX, child.N(unix.AT_FDCWD), at, child.N(0), child.N(unix.STATX_TYPE|unix.STATX_MODE), st.Addr())
}

// modeOffset is where struct statx has stx_mode (two bytes).
const modeOffset = 28

// searchPath is PATH in an environment; the default of execvp(3) and more where there is none.
func searchPath(env []string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], "PATH="); ok {
			return v
		}
	}
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

// writeExec becomes the program. If that fails, the first bytes of its file tell the parent more.
func (x *execution) writeExec() {
	p := x.track.p
	p.Step(stepExec, "the user's program is the container's process 1 now")
	args, env := p.Pointers(x.proc.Args), p.Pointers(x.proc.Env)
	p.Call(unix.SYS_EXECVE, x.path.Value(), args, env)
	failed, fd := p.NewLabel(), p.NewSlot()
	x.track.peek = p.Buffer(peekSize + 1)
	p.Place(failed)
	p.OnFailure(failed)
	p.Call(unix.SYS_OPENAT, child.N(unix.AT_FDCWD), x.path.Value(), child.N(unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC)).Into(fd).Tolerate(child.AnyError)
	p.Call(unix.SYS_READ, fd.Value(), x.track.peek.Addr(), child.N(peekSize)).Tolerate(child.AnyError)
	if x.onFail != nil {
		x.onFail()
	}
	p.Call(unix.SYS_EXIT_GROUP, child.N(255))
}

// lastCapability is the highest capability that this kernel knows.
var lastCapability = sync.OnceValue(func() int {
	last := len(capabilityNames) - 1
	for last < 62 && capability(last+1) >= 0 {
		last++
	}
	for last > 0 && capability(last) < 0 {
		last--
	}
	return last
})

// boundingSet is this process's own capability bounding set.
var boundingSet = sync.OnceValue(func() uint64 {
	var set uint64
	for c := 0; c <= lastCapability(); c++ {
		if capability(c) == 1 {
			set |= 1 << c
		}
	}
	return set
})

// capability asks whether a capability is in the bounding set: 1, 0, or -1 for one that doesn't exist.
func capability(c int) int {
	n, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
	if err != nil {
		return -1
	}
	return n
}

func cleanAbs(p string) string { return path.Clean("/" + p) }
