package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"gourd/internal/container/control"

	"golang.org/x/sys/unix"
)

// consoleSocket is where an OCI runtime sends the master of a terminal it has made (SCM_RIGHTS,
// unix(7)). Its path leads through this process's descriptor of the directory, so that it is short
// enough for sun_path wherever the state directory lies.
type consoleSocket struct {
	path string
	full string
	dir  *os.File
	file *os.File
}

func newConsoleSocket(full string) (*consoleSocket, error) {
	dir, err := os.Open(filepath.Dir(full))
	if err != nil {
		return nil, err
	}
	l, err := control.Listen(full)
	if err != nil {
		dir.Close()
		return nil, err
	}
	short := filepath.Join("/proc", strconv.Itoa(os.Getpid()), "fd", strconv.Itoa(int(dir.Fd())), filepath.Base(full))
	return &consoleSocket{path: short, full: full, dir: dir, file: l}, nil
}

func (c *consoleSocket) close() {
	c.file.Close()
	c.dir.Close()
	os.Remove(c.full)
}

// consoleTime bounds the wait for a runtime that has already ended well but sent no terminal.
const consoleTime = 5 * time.Second

// receive waits for the terminal's master.
func (c *consoleSocket) receive() (*os.File, error) {
	c.file.SetDeadline(time.Now().Add(consoleTime))
	conn, err := control.Accept(c.file)
	if err != nil {
		return nil, fmt.Errorf("receive terminal from the runtime: %w", err)
	}
	defer conn.Close()
	conn.File.SetDeadline(time.Now().Add(consoleTime))
	raw, err := conn.File.SyscallConn()
	if err != nil {
		return nil, err
	}
	name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	var n int
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		_, n, _, _, rerr = unix.Recvmsg(int(fd), name, oob, unix.MSG_CMSG_CLOEXEC)
		return rerr != unix.EAGAIN
	})
	if err := errors.Join(err, rerr); err != nil {
		return nil, fmt.Errorf("receive terminal from the runtime: %w", err)
	}
	return terminalOf(oob[:n])
}

func terminalOf(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("receive terminal from the runtime: %w", err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil || len(fds) == 0 {
			continue
		}
		if err := unix.SetNonblock(fds[0], true); err != nil {
			unix.Close(fds[0])
			return nil, fmt.Errorf("receive terminal from the runtime: %w", err)
		}
		return os.NewFile(uintptr(fds[0]), "terminal"), nil
	}
	return nil, errors.New("receive terminal from the runtime: it sent none")
}
