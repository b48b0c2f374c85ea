package monitor

import (
	"sync"

	"gourd/internal/container/control"
)

// chunk is how much output is read at once: a pipe's whole content.
const chunk = 64 << 10

// buffers are taken for as long as there is output to move, not while it is waited for: an idle monitor
// holds none after free.
type buffers struct {
	mu   sync.Mutex
	idle [][]byte
}

// get gives a buffer with room for a frame's header and chunk bytes.
func (b *buffers) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.idle); n > 0 {
		buf := b.idle[n-1]
		b.idle = b.idle[:n-1]
		return buf
	}
	return make([]byte, control.HeadSize+chunk)
}

func (b *buffers) put(buf []byte) {
	b.mu.Lock()
	b.idle = append(b.idle, buf)
	b.mu.Unlock()
}

// free lets go of those that nobody uses.
func (b *buffers) free() {
	b.mu.Lock()
	b.idle = nil
	b.mu.Unlock()
}
