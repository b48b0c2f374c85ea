package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"gourd/internal/container"
	"gourd/internal/container/control"
)

// Exit is how a process ended.
type Exit struct {
	Code      int    // 0–255; 128+n for a signal
	Error     string // why there is no better answer
	OOMKilled bool
}

// Session is a connection to a process of a container: its pid 1 (Start, Attach) or another (Exec).
// Closing it detaches; the process goes on. Stdin, Resize and Signal may be used while Receive runs.
type Session struct {
	// Pid is the process's on the host; 0 with Attach.
	Pid int
	// Notices are what the monitor wants the user to know, one line each.
	Notices []string

	conn *control.Conn // nil: closed already
}

// Stdin sends to the process's standard input; closing it ends that input. Writes after the process has
// ended fail with an error that wraps os.ErrClosed or EPIPE.
func (s *Session) Stdin() io.WriteCloser { return stdin{s} }

type stdin struct{ s *Session }

// stdinChunk is how much of a write goes into one frame.
const stdinChunk = 32 << 10

func (in stdin) Write(b []byte) (int, error) {
	sent := 0
	for sent < len(b) {
		part := b[sent:min(len(b), sent+stdinChunk)]
		if err := in.s.conn.Send(control.KindStdin, part); err != nil {
			return sent, err
		}
		sent += len(part)
	}
	return sent, nil
}

func (in stdin) Close() error { return in.s.conn.Send(control.KindStdinClose, nil) }

// Resize tells the process's terminal the client's window.
func (s *Session) Resize(size control.Size) error { return s.conn.SendJSON(control.KindResize, size) }

// Signal sends a signal ("SIGINT") to this session's process.
func (s *Session) Signal(name string) error { return s.conn.SendJSON(control.KindSignal, name) }

// Close detaches. It also ends a Receive that is running, which then returns ErrDetached.
func (s *Session) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// ErrDetached is Receive's answer when the session was closed before the process ended.
var ErrDetached = errors.New("detached")

// Receive copies the process's output until it has ended and returns how. A nil writer drops that
// stream; an error of a writer stops writing to it but not the copying, and is returned at the end
// beside the Exit. Errors: ErrDetached after Close; any other without an Exit means that the monitor was lost.
func (s *Session) Receive(stdout, stderr io.Writer) (Exit, error) {
	buf := make([]byte, 64<<10)
	var failed error
	for {
		kind, payload, err := s.conn.Receive(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return Exit{}, ErrDetached
		case err != nil:
			return Exit{}, &container.Error{Verb: "read output of container", Cause: fmt.Errorf("its monitor is gone: %w", err)}
		}
		switch kind {
		case control.KindStdout:
			failed = writeAll(&stdout, payload, failed)
		case control.KindStderr:
			failed = writeAll(&stderr, payload, failed)
		case control.KindExit:
			return decodeExit(payload, failed)
		}
	}
}

// writeAll writes to *w and gives it up on an error, keeping the first one.
func writeAll(w *io.Writer, b []byte, first error) error {
	if *w == nil {
		return first
	}
	if _, err := (*w).Write(b); err != nil {
		*w = nil
		return errors.Join(first, err)
	}
	return first
}

func decodeExit(payload []byte, failed error) (Exit, error) {
	var e control.Exit
	if err := json.Unmarshal(payload, &e); err != nil {
		return Exit{}, fmt.Errorf("read exit status: %w", err)
	}
	return Exit{Code: e.Code, Error: e.Error, OOMKilled: e.OOMKilled}, failed
}
