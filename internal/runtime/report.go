package runtime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"gourd/internal/container"
	"gourd/internal/runtime/child"

	"golang.org/x/sys/unix"
)

// errReplaced: the child's own program has begun.
var errReplaced = errors.New("the program has begun")

// Names of steps that errors are translated by.
const (
	stepFind = "find the program"
	stepExec = "execute"
)

// track follows a child's way and tells what went wrong.
type track struct {
	p    *child.Program
	name string    // the program as process.args names it
	peek child.Ref // first bytes of a file that could not be executed; 0: not asked for
}

// peekSize is how much of such a file is kept: enough for a #! line.
const peekSize = 127

// ended tells how a child that closed its socket ended: errReplaced if its program has begun.
func (t *track) ended() error {
	if f := t.p.Failure(); f != nil {
		return t.failure(f)
	}
	step, nr := t.p.Current()
	if nr == unix.SYS_EXECVE {
		return errReplaced
	}
	return stepError(step, errors.New("the container's first process was killed: out of memory, or by a signal"))
}

func (t *track) failure(f *child.Failure) error {
	switch {
	case f.Op < 0:
		return stepError("start the stub", f.Errno)
	case f.Step == stepFind:
		return programError(t.name, true, f.Errno, nil)
	case f.Step == stepExec:
		return programError(t.name, false, f.Errno, t.p.At(t.peek, peekSize))
	}
	text := t.p.Text(f.Op)
	err := stepError(f.Step, fmt.Errorf("%s: %w", text, f.Errno))
	if f.Errno == unix.EINVAL && strings.HasPrefix(f.Step, "mount ") && strings.HasPrefix(text, "move_mount(") {
		return withHint(err, "are you trying to mount a directory onto a file, or a file onto a directory?") // move_mount(2) takes like onto like only
	}
	return err
}

func withHint(err error, hint string) error {
	var e *container.Error
	if errors.As(err, &e) {
		e.Hint = hint
	}
	return err
}

// blame prefers the child's own account over what the parent noticed.
func (b *build) blame(err error) error {
	if f := b.p.Failure(); f != nil {
		return b.failure(f)
	}
	return err
}

// stepError names the step in front of its cause.
func stepError(step string, err error) error {
	kind := error(nil)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		kind = container.ErrPermission
	}
	return &container.Error{Verb: step, Kind: kind, Cause: err}
}

// programError says why a program can't run: looking while it is looked for, later while it is executed; head
// are the first bytes of its file. The words are those by which engines (dockerd, podman) recognise 126 and 127.
func programError(name string, looking bool, errno unix.Errno, head []byte) error {
	kind, words := container.ErrNotExecutable, strings.ToLower(errno.Error())
	hint := ""
	switch {
	case looking && errno == unix.ENOENT && strings.ContainsRune(name, '/'):
		kind, words = container.ErrNoCommand, "stat "+name+": no such file or directory"
	case looking && (errno == unix.ENOENT || errno == unix.ENOTDIR && !strings.ContainsRune(name, '/')):
		kind, words = container.ErrNoCommand, "executable file not found in $PATH"
	case looking && errno == unix.ENOTDIR:
		words = "stat " + name + ": not a directory"
	case errno == unix.ENOENT:
		kind = container.ErrNoCommand
		hint = interpreterHint(name, head)
	case errno == unix.ENOEXEC:
		hint = "it is a script without a #! line, or a program for another kind of machine"
	}
	return &container.Error{Verb: "exec:", Object: fmt.Sprintf("%q", name), Kind: kind, Cause: errors.New(words), Hint: hint}
}

// interpreterHint explains "no such file" about a file that is there: its interpreter is missing.
func interpreterHint(name string, head []byte) string {
	line, ok := strings.CutPrefix(string(head), "#!")
	if !ok {
		if strings.HasPrefix(string(head), "\x7fELF") {
			return path.Base(name) + " is there, but the dynamic loader it names is not"
		}
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	carriage := strings.HasSuffix(line, "\r")
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	hint := fmt.Sprintf("%s needs %s, which is not there", name, words[0])
	if carriage {
		hint = fmt.Sprintf("%s needs %q: the script has Windows line ends", name, words[0]+"\r")
	}
	return hint
}

// writeResult makes a failing child write a record to the result FIFO: the error number, then the program's name.
func (b *build) writeResult(fifo child.Slot) {
	p := b.p
	p.Call(unix.SYS_WRITE, fifo.Value(), p.ErrnoAddr(), child.N(4)).Tolerate(child.AnyError)
	p.Call(unix.SYS_WRITE, fifo.Value(), p.Str(b.name), child.N(len(b.name))).Tolerate(child.AnyError)
}

// readResult waits for the end of the result FIFO: whoever held it open is gone, or is another program now.
func readResult(f *os.File) error {
	b, err := io.ReadAll(f)
	switch {
	case err != nil:
		return stepError("start container", err)
	case len(b) < 4:
		return nil
	}
	return programError(string(b[4:]), false, unix.Errno(binary.NativeEndian.Uint32(b)), nil)
}
