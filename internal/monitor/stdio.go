package monitor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// stdio is how a process is connected: pipes, or null devices, or (with a terminal) nothing yet, since
// the terminal comes from the container's own devpts.
type stdio struct {
	child  [3]*os.File // the process's 0, 1, 2
	stdin  *os.File    // our ends; nil where the process has the null device
	stdout *os.File
	stderr *os.File
}

// newStdio makes the pipes of a process without a terminal. Without in its input is empty; without out
// its output goes nowhere, and it never waits or gets SIGPIPE for it.
func newStdio(in, out bool) (_ *stdio, err error) {
	s := new(stdio)
	defer func() {
		if err != nil {
			s.closeAll()
		}
	}()
	if s.child[0], s.stdin, err = end(in, false); err != nil {
		return nil, err
	}
	if s.child[1], s.stdout, err = end(out, true); err != nil {
		return nil, err
	}
	if s.child[2], s.stderr, err = end(out, true); err != nil {
		return nil, err
	}
	return s, nil
}

// end makes one of the child's descriptors, and our end of its pipe: the reading one if the child writes.
func end(pipe, childWrites bool) (child, ours *os.File, err error) {
	if !pipe {
		child, err = os.OpenFile(os.DevNull, os.O_RDWR, 0)
		return child, nil, err
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	own, childs := p[0], p[1]
	if !childWrites {
		own, childs = p[1], p[0]
	}
	// Only our end is non-blocking: O_NONBLOCK belongs to the open file, which the child's end doesn't share.
	if err := unix.SetNonblock(own, true); err != nil {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	return os.NewFile(uintptr(childs), "pipe"), os.NewFile(uintptr(own), "pipe"), nil
}

// handedOver closes the child's ends after the process has them.
func (s *stdio) handedOver() {
	for i, f := range s.child {
		if f != nil {
			f.Close()
			s.child[i] = nil
		}
	}
}

func (s *stdio) closeAll() {
	s.handedOver()
	for _, f := range []*os.File{s.stdin, s.stdout, s.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
