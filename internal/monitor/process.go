package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"gourd/internal/container"
	"gourd/internal/container/control"

	"golang.org/x/sys/unix"
)

// process is pid 1 of the container or an exec process: what the control protocol can act on.
type process struct {
	exited  *exitWatch
	streams *streams
	signal  func(name string) error
	done    chan struct{} // closed when it has ended and its output has been passed on
	exit    control.Exit  // valid after done
}

func (p *process) pid() int { return p.exited.pid }

// hasEnded says whether the process is over and everybody has been told.
func (p *process) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// drainTime is how long output is read on after a process has ended, if another process (which got its
// pipe by other ways than being its child) holds it open.
const drainTime = 2 * time.Second

// exitWatch waits for a child's end through a pidfd (pidfd_open(2), PIDFD_NONBLOCK Linux 5.10), which
// costs no thread.
type exitWatch struct {
	pid  int
	file *os.File
}

func watchExit(pid int) (*exitWatch, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	return &exitWatch{pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// wait reaps the child and gives its status.
func (w *exitWatch) wait() (unix.WaitStatus, error) {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var status unix.WaitStatus
	var werr error
	err = raw.Read(func(uintptr) bool {
		var got int
		for {
			got, werr = unix.Wait4(w.pid, &status, unix.WNOHANG, nil)
			if werr != unix.EINTR {
				break
			}
		}
		return got != 0 || werr != nil
	})
	if err := errors.Join(err, werr); err != nil {
		return 0, fmt.Errorf("wait for process %d: %w", w.pid, err)
	}
	return status, w.file.Close()
}

// signal sends a signal to the process, never to a later one of the same number.
func (w *exitWatch) signal(sig unix.Signal) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) { serr = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	if errors.Is(err, os.ErrClosed) || errors.Is(serr, unix.ESRCH) {
		return &container.Error{Verb: "send signal to process", Object: strconv.Itoa(w.pid), Kind: container.ErrNotRunning}
	}
	return errors.Join(err, serr)
}

// exitCode is docker's: the process's own, or 128 and the signal's number.
func exitCode(s unix.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// await waits for the process's end and until its output is in the log and taken by, or kept for, the
// clients. atEnd runs between the two. false: the wait was interrupted.
func (p *process) await(atEnd func()) bool {
	status, err := p.exited.wait()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	p.exit.Code = exitCode(status)
	if err != nil {
		p.exit = control.Exit{Code: 255, Error: err.Error()}
	}
	if atEnd != nil {
		atEnd()
	}
	p.streams.finish(drainTime)
	return true
}

// finish tells everybody who waits how it ended.
func (p *process) finish() {
	close(p.done)
	p.streams.clients.finish(p.exit)
}

// join answers a request with reply and makes the connection a client, so that the reply comes before
// any output.
func (p *process) join(conn *control.Conn, r *control.Request, reply *control.Reply) (*client, error) {
	c := &client{conn: conn, stdout: r.Stdout, stderr: r.Stderr}
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := conn.SendJSON(control.KindReply, reply); err != nil {
		return nil, err
	}
	if r.Stdin && p.streams.in != nil {
		p.streams.in.join()
	}
	p.streams.clients.add(c)
	return c, nil
}

// serve passes a client's frames on until it leaves or the process ends. The process goes on either way.
func (p *process) serve(c *client, r *control.Request) {
	in := p.streams.in
	if !r.Stdin {
		in = nil
	}
	buf := make([]byte, 32<<10)
	for {
		kind, b, err := c.conn.Receive(buf)
		if err != nil {
			break
		}
		switch kind {
		case control.KindStdin:
			if in != nil {
				in.send(b)
			}
		case control.KindStdinClose:
			if in != nil {
				in.leave()
				in = nil
			}
		case control.KindResize:
			var size control.Size
			if json.Unmarshal(b, &size) == nil {
				p.streams.resize(size)
			}
		case control.KindSignal:
			var name string
			if json.Unmarshal(b, &name) == nil {
				p.signal(name)
			}
		}
	}
	if in != nil {
		in.leave()
	}
	if p.streams.clients.remove(c) {
		c.conn.Close() // else finish closes it, when it has sent everything
	}
}
