package main

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// terminal joins a container's terminal with ours.
type terminal struct {
	master *os.File
	host   *os.File      // our own terminal, nil if we have none
	before *unix.Termios // its settings
	copied chan struct{} // closed when the output has ended
}

// attach sets our terminal to raw mode and begins to copy both ways.
func attach(master *os.File) (*terminal, error) {
	t := &terminal{master: master, host: ownTerminal(), copied: make(chan struct{})}
	if t.host != nil {
		if err := t.raw(); err != nil {
			return nil, &container.Error{Verb: "set terminal to raw mode", Cause: err}
		}
	}
	go io.Copy(master, os.Stdin) // ends with the process
	go func() {
		io.Copy(os.Stdout, master) // ends when nobody has the terminal open any more
		close(t.copied)
	}()
	return t, nil
}

// ownTerminal finds the terminal that the user sits at.
func ownTerminal() *os.File {
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			return f
		}
	}
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	return f
}

// raw is cfmakeraw(3): every byte goes through as it is.
func (t *terminal) raw() error {
	old, err := unix.IoctlGetTermios(int(t.host.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	t.before = old
	now := *old
	now.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	now.Cflag = now.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(t.host.Fd()), unix.TCSETS, &now)
}

func (t *terminal) restore() {
	if t.before != nil {
		unix.IoctlSetTermios(int(t.host.Fd()), unix.TCSETS, t.before)
	}
}

// resize gives the container's terminal the size of ours.
func (t *terminal) resize() {
	if t.host == nil {
		return
	}
	if size, err := unix.IoctlGetWinsize(int(t.host.Fd()), unix.TIOCGWINSZ); err == nil {
		unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, size)
	}
}

// drain waits for the rest of the output. A process that outlives the first one may hold the terminal open.
func (t *terminal) drain() {
	select {
	case <-t.copied:
	case <-time.After(time.Second):
	}
}
