// Package control is what gourd's processes say to a container's monitor, over its unix socket
// (STATE/containers/ID/control.sock, mode 0600) or over the socket that the monitor was started with
// as descriptor 3, which counts as its first connection.
//
// A connection carries one operation. The client sends a Request frame, the monitor answers with one
// Reply frame. If the operation has streams (start, attach or exec with Stdin, Stdout or Stderr; not a
// detached exec) or waits (wait, exec-wait), frames follow in both directions until the monitor's Exit
// frame. Closing the connection detaches: the process goes on. Standard input is passed on in order and
// waits for the process to read it, and a KindSignal or KindResize frame waits behind it: what must not
// wait goes as OpSignal or OpResize on a connection of its own.
package control

import (
	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version of the protocol; a monitor answers a request of a newer one with ErrUnsupported.
const Version = 1

// Kind tells what a frame holds.
type Kind byte

const (
	KindRequest    Kind = 1 // client → monitor, JSON Request
	KindReply      Kind = 2 // monitor → client, JSON Reply
	KindStdin      Kind = 3 // client → monitor
	KindStdinClose Kind = 4 // client → monitor: end of standard input
	KindStdout     Kind = 5 // monitor → client; with a terminal all output
	KindStderr     Kind = 6 // monitor → client
	KindResize     Kind = 7 // client → monitor, JSON Size
	KindSignal     Kind = 8 // client → monitor, JSON string: a signal for this connection's process (sig-proxy)
	KindExit       Kind = 9 // monitor → client, JSON Exit: the process has ended, all output was sent
)

// MaxFrame bounds a frame's payload; larger is a broken or hostile peer.
const MaxFrame = 1 << 20

// Op is what a connection asks for.
type Op string

const (
	OpStart      Op = "start"  // only on descriptor 3: build and start the container
	OpAttach     Op = "attach" // join the streams of pid 1
	OpExec       Op = "exec"   // run another process inside
	OpSignal     Op = "signal" // send Signal to pid 1 (All: to every process)
	OpStop       Op = "stop"   // stop signal, wait Timeout, then SIGKILL; Reply when it has ended
	OpPause      Op = "pause"
	OpResume     Op = "resume"
	OpResize     Op = "resize"    // of pid 1's or exec ExecID's terminal
	OpUpdate     Op = "update"    // new resource limits
	OpWait       Op = "wait"      // Reply at once, Exit frame when pid 1 has ended
	OpExecs      Op = "execs"     // list running exec processes
	OpExecWait   Op = "exec-wait" // like wait, for ExecID
	OpExecSignal Op = "exec-signal"
)

// Request opens an operation.
type Request struct {
	Version int `json:"version"`
	Op      Op  `json:"op"`

	// start, attach, exec: which streams the client takes part in. Stdin false with a process that has
	// a standard input leaves it to others.
	Stdin  bool  `json:"stdin,omitempty"`
	Stdout bool  `json:"stdout,omitempty"`
	Stderr bool  `json:"stderr,omitempty"`
	Size   *Size `json:"size,omitempty"` // the client's window
	// Wait (start without streams): keep the connection and send the Exit frame at the end.
	Wait bool `json:"wait,omitempty"`

	Signal  string `json:"signal,omitempty"`  // "SIGTERM"
	All     bool   `json:"all,omitempty"`     // signal: every process of the container
	Timeout *int   `json:"timeout,omitempty"` // stop: seconds; nil: the container's own

	Exec   *Exec  `json:"exec,omitempty"`
	ExecID string `json:"exec_id,omitempty"`

	Resources *specs.LinuxResources `json:"resources,omitempty"`
}

// Exec is a process to run inside.
type Exec struct {
	ID         string         `json:"id"` // 64 hex digits, made by the client
	Process    *specs.Process `json:"process"`
	User       string         `json:"user,omitempty"` // as given; resolved in the container's root by the monitor
	GroupAdd   []string       `json:"group_add,omitempty"`
	Privileged bool           `json:"privileged,omitempty"`
	Detach     bool           `json:"detach,omitempty"`     // nobody reads its output; it goes nowhere
	OpenStdin  bool           `json:"open_stdin,omitempty"` // give it a standard input
}

// Size is a terminal window.
type Size struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// Reply answers a Request: an error, or what was asked.
type Reply struct {
	Error     string     `json:"error,omitempty"`
	ErrorKind string     `json:"error_kind,omitempty"` // container.KindName
	Pid       int        `json:"pid,omitempty"`        // start, exec: on the host
	Notices   []string   `json:"notices,omitempty"`    // start: what the user should know
	Execs     []ExecInfo `json:"execs,omitempty"`
	// Code is the exit code of a process that could not be started: 126, 127, or 125.
	Code int `json:"code,omitempty"`
}

// ExecInfo is one exec process for inspect and top.
type ExecInfo struct {
	ID   string   `json:"id"`
	Pid  int      `json:"pid"`
	Args []string `json:"args"`
	Tty  bool     `json:"tty,omitempty"`
}

// Exit ends a connection with streams.
type Exit struct {
	Code      int    `json:"code"` // 0–255; 128+n for a signal
	Error     string `json:"error,omitempty"`
	OOMKilled bool   `json:"oom_killed,omitempty"`
}

// Err is the error that the monitor reports, with its sentinel.
func (r *Reply) Err() error {
	if r.Error == "" {
		return nil
	}
	return container.FromKind(r.ErrorKind, r.Error)
}

// ReplyError makes the Reply for an error.
func ReplyError(err error) *Reply {
	return &Reply{Error: err.Error(), ErrorKind: container.KindName(err), Code: container.ExitCode(err)}
}
