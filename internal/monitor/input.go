package monitor

import (
	"os"
	"sync"
)

// input is a process's standard input: the writing end of its pipe, or the terminal's master. Several
// clients may write to it.
type input struct {
	file *os.File
	tty  bool
	// once: the process was started with a client at its input; when the last such client has ended its
	// input or left, the process's input ends too (docker's StdinOnce). Otherwise it stays open.
	once bool

	mu     sync.Mutex
	users  int
	closed bool
	write  sync.Mutex // one client's chunk at a time
}

// join counts one more client that may write.
func (in *input) join() {
	in.mu.Lock()
	in.users++
	in.mu.Unlock()
}

// leave is the end of one client's input. A terminal's input never ends: its programs see a hang-up
// when it goes.
func (in *input) leave() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.users--
	if in.users == 0 && in.once && !in.tty {
		in.shut()
	}
}

// send writes what a client typed, waiting for the process to read it. Errors are the process's
// business: what it doesn't want to read is dropped, as in a shell's pipe.
func (in *input) send(p []byte) {
	in.write.Lock()
	defer in.write.Unlock()
	in.file.Write(p)
}

// close ends the input whoever still uses it; a client that waits in send goes on.
func (in *input) close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.shut()
}

func (in *input) shut() {
	if !in.closed && !in.tty {
		in.file.Close()
	}
	in.closed = true
}
