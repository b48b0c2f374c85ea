package monitor

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gourd/internal/container/control"
)

// client is one connection that takes part in a process's output.
type client struct {
	conn           *control.Conn
	stdout, stderr bool

	sending  sync.Mutex
	gone     bool        // its connection is broken: nothing is sent any more
	released atomic.Bool // send doesn't wait for it any more
	queue    []byte      // what a released client has still to get
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// noDeadline takes a deadline away.
var noDeadline time.Time

// send gives the client a frame. It waits while the client doesn't read (so a slow client holds the
// process back, as docker's does), until the client vanishes or is released.
func (c *client) send(frame []byte) {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.gone {
		return
	}
	if c.released.Load() {
		c.queue = append(c.queue, frame...)
		return
	}
	n, err := c.conn.File.Write(frame)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.queue = append(c.queue, frame[n:]...)
	case err != nil:
		c.gone = true
	}
}

// release makes send wait no more, also one that waits just now: what the client has not taken is kept
// for finish. Used when the process has ended: what is left is at most what the pipes hold.
func (c *client) release() {
	c.released.Store(true)
	c.conn.File.SetWriteDeadline(past)
}

// finish sends what was kept and how the process ended, waiting as long as the client wants, and
// closes the connection.
func (c *client) finish(exit control.Exit) {
	c.conn.File.SetWriteDeadline(noDeadline)
	c.sending.Lock()
	defer c.sending.Unlock()
	defer c.conn.Close()
	if c.gone {
		return
	}
	body, _ := json.Marshal(exit) // plain fields: it can't fail
	var head [control.HeadSize]byte
	control.PutHead(head[:], control.KindExit, len(body))
	c.conn.File.Write(slices.Concat(c.queue, head[:], body))
	c.queue = nil
}

// wants says whether the client takes part in this output.
func (c *client) wants(kind control.Kind) bool {
	return kind == control.KindStdout && c.stdout || kind == control.KindStderr && c.stderr
}

// clients are those attached to one process. The list is replaced, never changed, so that output goes
// on to a copy of it without a lock.
type clients struct {
	mu       sync.Mutex
	list     []*client
	released bool
	exit     *control.Exit // set by finish
	leaving  *pending
}

// add lets a client take part from now on. After finish it gets the exit at once.
func (s *clients) add(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exit != nil {
		s.dismiss(c)
		return
	}
	s.list = append(slices.Clone(s.list), c)
	if s.released {
		c.release()
	}
}

// remove takes a client out. false: finish has it in its hands.
func (s *clients) remove(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(s.list), func(o *client) bool { return o == c })
	found := len(left) < len(s.list)
	s.list = left
	return found
}

func (s *clients) now() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

// output sends a frame, header included, to all who want it.
func (s *clients) output(kind control.Kind, frame []byte) {
	for _, c := range s.now() {
		if c.wants(kind) {
			c.send(frame)
		}
	}
}

// release releases all, present and future.
func (s *clients) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
	for _, c := range s.list {
		c.release()
	}
}

// finish tells all, present and future, how the process ended. It doesn't wait for them: leaving does.
func (s *clients) finish(exit control.Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exit = &exit
	for _, c := range s.list {
		s.dismiss(c)
	}
	s.list = nil
}

func (s *clients) dismiss(c *client) {
	done := s.leaving.add()
	go func() {
		defer done()
		c.finish(*s.exit)
	}()
}
