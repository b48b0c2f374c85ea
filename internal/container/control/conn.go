package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// Conn is one side of a control connection. Frames may be sent from several goroutines; one receives.
type Conn struct {
	File *os.File
	send sync.Mutex
	buf  []byte
}

// NewConn takes over a connected unix stream socket.
func NewConn(fd int) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	return &Conn{File: os.NewFile(uintptr(fd), "control socket")}, nil
}

// Pair makes both ends of a new connection: the client's, and a blocking descriptor that becomes
// descriptor 3 of a starting monitor.
func Pair() (*Conn, *os.File, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	c, err := NewConn(p[0])
	if err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	return c, os.NewFile(uintptr(p[1]), "monitor's control socket"), nil
}

// Dial connects to the monitor of a running container. Errors: ErrNotRunning if there is none.
func Dial(s *container.Store, id string) (*Conn, error) {
	c, err := dial(s.SocketPath(id))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, &container.Error{Verb: "reach container", Object: id, Kind: container.ErrNotRunning}
	}
	if err != nil {
		return nil, &container.Error{Verb: "reach monitor of container", Object: id, Cause: err}
	}
	return c, nil
}

func dial(path string) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = at(path, func(short string) error { return connect(fd, short) })
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return NewConn(fd)
}

func connect(fd int, path string) error {
	for {
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err != unix.EINTR {
			return err
		}
	}
}

// Listen makes the monitor's socket, mode 0600, replacing one that a dead monitor left.
func Listen(path string) (*os.File, error) {
	os.Remove(path)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	err = at(path, func(short string) error {
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: short}); err != nil {
			return err
		}
		return os.Chmod(short, 0o600)
	})
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// at calls f with a short path of the same file, through a descriptor of its directory: sun_path
// (unix(7)) holds 108 bytes, and a state directory may lie deep.
func at(path string, f func(short string) error) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return f("/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path))
}

// Accept waits for the next client. One that isn't root on this host is turned away: its connection is
// closed and the wait goes on. Errors: os.ErrClosed after the listener was closed;
// os.ErrDeadlineExceeded after its deadline.
func Accept(l *os.File) (*Conn, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	for {
		fd, nerr := -1, error(nil)
		err := raw.Read(func(s uintptr) bool {
			fd, _, nerr = unix.Accept4(int(s), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return nerr != unix.EAGAIN
		})
		switch {
		case err != nil:
			return nil, err
		case nerr == unix.EINTR || nerr == unix.ECONNABORTED:
		case nerr != nil:
			return nil, nerr
		case !isRoot(fd):
			unix.Close(fd)
		default:
			return NewConn(fd)
		}
	}
}

// isRoot says whether the peer was uid 0 of the host when it connected (SO_PEERCRED, unix(7)): a
// container's root is another number there.
func isRoot(fd int) bool {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && cred.Uid == 0
}

// Send sends one frame.
func (c *Conn) Send(kind Kind, payload []byte) error {
	c.send.Lock()
	defer c.send.Unlock()
	if len(payload) > MaxFrame {
		return fmt.Errorf("send control frame: %d bytes are more than %d", len(payload), MaxFrame)
	}
	if cap(c.buf) < HeadSize+len(payload) {
		c.buf = make([]byte, HeadSize+len(payload))
	}
	b := c.buf[:HeadSize+len(payload)]
	PutHead(b, kind, len(payload))
	copy(b[HeadSize:], payload)
	_, err := c.File.Write(b)
	return err
}

// SendJSON sends v as one frame.
func (c *Conn) SendJSON(kind Kind, v any) error {
	c.send.Lock()
	defer c.send.Unlock()
	return WriteJSON(c.File, kind, v)
}

// Receive reads the next frame, into buf where it fits.
func (c *Conn) Receive(buf []byte) (Kind, []byte, error) { return ReadFrame(c.File, buf) }

// Ask sends a request and waits for its reply; a reply that is an error is returned as one, wrapping
// its sentinel, beside the reply itself (whose Code says how `run` or `exec` exits).
func (c *Conn) Ask(r *Request) (*Reply, error) {
	r.Version = Version
	if err := c.SendJSON(KindRequest, r); err != nil {
		return nil, fmt.Errorf("ask monitor for %s: %w", r.Op, err)
	}
	reply := new(Reply)
	if err := ReadJSON(c.File, KindReply, reply); err != nil {
		return nil, fmt.Errorf("ask monitor for %s: %w", r.Op, err)
	}
	return reply, reply.Err()
}

// Close ends the connection.
func (c *Conn) Close() error { return c.File.Close() }
