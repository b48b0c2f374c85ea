// Package terminal is the caller's side of a container's terminal: raw mode, the window's size, and the
// keys that detach.
package terminal

import (
	"os"
	"os/signal"
	"sync"

	"gourd/internal/container/control"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Is says whether f is a terminal.
func Is(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Size is the terminal's window; nil if f isn't one or its size is unknown.
func Size(f *os.File) *control.Size {
	cols, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || cols <= 0 || rows <= 0 {
		return nil
	}
	return &control.Size{Rows: uint16(rows), Cols: uint16(cols)}
}

// Width is the terminal's width in columns, or otherwise if f isn't one.
func Width(f *os.File, otherwise int) int {
	if size := Size(f); size != nil {
		return int(size.Cols)
	}
	return otherwise
}

// Raw hands every key to the program (cfmakeraw(3)) until restore is called, which may happen twice.
func Raw(f *os.File) (restore func(), err error) {
	fd := int(f.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	return func() { once.Do(func() { term.Restore(fd, old) }) }, nil
}

// OnResize calls changed with the window's new size each time it changes, until stop is called.
func OnResize(f *os.File, changed func(control.Size)) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, unix.SIGWINCH)
	go func() {
		for {
			select {
			case <-signals:
				if size := Size(f); size != nil {
					changed(*size)
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}
