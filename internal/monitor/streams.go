package monitor

import (
	"errors"
	"os"
	"sync"
	"time"

	"gourd/internal/container/control"
	"gourd/internal/container/logfile"

	"golang.org/x/sys/unix"
)

// streams carry one process's output to the log and the clients, and the clients' input to it.
type streams struct {
	clients clients
	in      *input   // nil: the process has no input
	master  *os.File // the terminal, or nil
	log     *logfile.Writer
	sources []*source
	copying sync.WaitGroup
	buffers *buffers
	ended   chan struct{} // closed when the process has ended
	halt    chan struct{} // closed by stop
	busy    func()        // called when output has come
}

// source is one output of the process: a pipe, or the terminal's master.
type source struct {
	file *os.File
	kind control.Kind
	name string
	log  *logfile.Stream // nil: not logged
	over bool            // it has ended
}

// newStreams connects a process by pipes, or by a terminal if master isn't nil. log may be nil.
func newStreams(s *stdio, master *os.File, log *logfile.Writer, once bool, b *buffers) *streams {
	t := &streams{ended: make(chan struct{}), busy: func() {}, master: master, log: log, buffers: b}
	if master != nil {
		t.in = &input{file: master, tty: true, once: once}
		t.addSource(master, control.KindStdout, "stdout")
		return t
	}
	if s.stdin != nil {
		t.in = &input{file: s.stdin, once: once}
	}
	if s.stdout != nil {
		t.addSource(s.stdout, control.KindStdout, "stdout")
	}
	if s.stderr != nil {
		t.addSource(s.stderr, control.KindStderr, "stderr")
	}
	return t
}

func (t *streams) addSource(f *os.File, kind control.Kind, name string) {
	src := &source{file: f, kind: kind, name: name}
	if t.log != nil {
		src.log = t.log.Stream(name, nil)
	}
	t.sources = append(t.sources, src)
}

// run begins to copy, or goes on after stop.
func (t *streams) run() {
	t.halt = make(chan struct{})
	for _, src := range t.sources {
		if !src.over {
			src.file.SetReadDeadline(noDeadline)
			t.copying.Go(func() { t.copy(src) })
		}
	}
}

// stop halts the copying between two reads.
func (t *streams) stop() {
	close(t.halt)
	for _, src := range t.sources {
		src.file.SetReadDeadline(past)
	}
	t.copying.Wait()
}

// copy passes a source's output on until it ends.
func (t *streams) copy(src *source) {
	for last := false; ; {
		buf, n, err := t.read(src)
		if n > 0 {
			t.pass(src, buf[:control.HeadSize+n])
			t.buffers.put(buf)
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if last || !errors.Is(err, unix.EIO) {
			src.over = true
			return
		}
		last = !t.waitForTerminal()
	}
}

// pass gives a frame, whose header is still to be filled in, to the log and the clients.
func (t *streams) pass(src *source, frame []byte) {
	if src.log != nil {
		src.log.Write(frame[control.HeadSize:]) // a full disk must not stop the process
	}
	control.PutHead(frame, src.kind, len(frame)-control.HeadSize)
	t.clients.output(src.kind, frame)
	t.busy()
}

// read waits for output and reads it into a buffer behind the room for a frame's header. At the end n is
// 0, without a buffer.
func (t *streams) read(src *source) (buf []byte, n int, err error) {
	raw, err := src.file.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var rerr error
	werr := raw.Read(func(fd uintptr) bool {
		buf = t.buffers.get()
		for {
			n, rerr = unix.Read(int(fd), buf[control.HeadSize:])
			if rerr != unix.EINTR {
				break
			}
		}
		if n <= 0 {
			t.buffers.put(buf)
			buf = nil // while it waits it holds none
		}
		return rerr != unix.EAGAIN
	})
	if n <= 0 {
		return nil, 0, errors.Join(werr, rerr)
	}
	return buf, n, nil
}

// terminalPoll is how often a terminal that nobody in the container has open is looked at again.
const terminalPoll = 250 * time.Millisecond

// waitForTerminal says whether a terminal without a user (EIO) may get one again: pid 1 may close it
// and open /dev/console later. The monitor doesn't keep a slave open itself to learn that by poll(2):
// the kernel would then hang it up when pid 1 ends and throw away output that was not read yet.
func (t *streams) waitForTerminal() bool {
	select {
	case <-t.ended:
		return false
	case <-t.halt:
		return true
	case <-time.After(terminalPoll):
		return true
	}
}

// finish waits, after the process has ended, until all output has been passed on: at most this long if
// somebody else still holds its pipes. Then the log has all, and each client has or will get all.
func (t *streams) finish(atMost time.Duration) {
	t.clients.release()
	close(t.ended)
	if t.in != nil {
		t.in.close()
	}
	for _, src := range t.sources {
		src.file.SetReadDeadline(time.Now().Add(atMost))
	}
	t.copying.Wait()
	for _, src := range t.sources {
		if src.log != nil {
			src.log.End()
		}
		src.file.Close()
	}
}

// resize tells the terminal its window; without a terminal it is no error, as with docker.
func (t *streams) resize(size control.Size) error {
	if t.master == nil || size.Rows == 0 && size.Cols == 0 {
		return nil
	}
	raw, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var ierr error
	err = raw.Control(func(fd uintptr) {
		ierr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	})
	return errors.Join(err, ierr)
}
