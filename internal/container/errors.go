package container

import (
	"errors"
	"strings"
)

// The sentinel errors of gourd. Every error that a user can cause wraps one of them; each front door
// (command line, OCI command line, Docker API) translates them once, in one table.
var (
	ErrInvalid       = errors.New("invalid argument")
	ErrNotFound      = errors.New("not found")
	ErrExists        = errors.New("already exists")
	ErrConflict      = errors.New("conflict")
	ErrInUse         = errors.New("in use")
	ErrNotRunning    = errors.New("not running")
	ErrRunning       = errors.New("already running")
	ErrPaused        = errors.New("paused")
	ErrUnsupported   = errors.New("not supported")
	ErrPermission    = errors.New("permission denied")
	ErrCorrupt       = errors.New("damaged data")
	ErrNoCommand     = errors.New("command not found")      // exit code 127
	ErrNotExecutable = errors.New("command not executable") // exit code 126
)

// Error is how gourd says that something failed: what was tried, on what, why, and what to do next.
type Error struct {
	Verb   string // what was tried: "create container", "set memory limit"
	Object string // on what: a name, a path, a value
	Kind   error  // one of the sentinels above, or nil
	Cause  error  // the reason below, or nil
	Hint   string // what the user can do next, or ""
}

// Error gives "verb object: cause; hint". Where there is no cause the kind stands for it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Verb)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	switch {
	case e.Cause != nil:
		b.WriteString(": " + e.Cause.Error())
	case e.Kind != nil:
		b.WriteString(": " + e.Kind.Error())
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap lets errors.Is find the sentinel and errors.As the cause.
func (e *Error) Unwrap() []error {
	var w []error
	if e.Kind != nil {
		w = append(w, e.Kind)
	}
	if e.Cause != nil {
		w = append(w, e.Cause)
	}
	return w
}

// Invalid says that a value the user gave can't be used.
func Invalid(verb, object string, cause error, hint string) error {
	return &Error{Verb: verb, Object: object, Kind: ErrInvalid, Cause: cause, Hint: hint}
}

// kinds gives each sentinel a name that survives a socket or a file.
var kinds = map[string]error{
	"invalid": ErrInvalid, "not-found": ErrNotFound, "exists": ErrExists, "conflict": ErrConflict,
	"in-use": ErrInUse, "not-running": ErrNotRunning, "running": ErrRunning, "paused": ErrPaused,
	"unsupported": ErrUnsupported, "permission": ErrPermission, "corrupt": ErrCorrupt,
	"no-command": ErrNoCommand, "not-executable": ErrNotExecutable,
}

// KindName names the sentinel that err wraps, "" for none. FromKind is its inverse.
func KindName(err error) string {
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			return name
		}
	}
	return ""
}

// FromKind makes an error with this text that wraps the sentinel of this name.
func FromKind(name, text string) error {
	return &remote{text: text, kind: kinds[name]}
}

// remote is an error that came from another gourd process: its text is complete already.
type remote struct {
	text string
	kind error
}

func (r *remote) Error() string { return r.text }
func (r *remote) Unwrap() error { return r.kind }

// ExitCode is docker's exit code for an error before a container's own process has one:
// 127 command not found, 126 command not executable, 125 everything else.
func ExitCode(err error) int {
	switch {
	case errors.Is(err, ErrNoCommand):
		return 127
	case errors.Is(err, ErrNotExecutable):
		return 126
	default:
		return 125
	}
}
