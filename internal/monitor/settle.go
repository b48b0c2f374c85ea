package monitor

import (
	"runtime/debug"
	"sync/atomic"
	"time"
)

// settler gives memory back when nothing has happened for a while, and then sleeps: an idle monitor
// wakes nobody.
type settler struct {
	m       *monitor
	touched atomic.Bool
	armed   atomic.Bool
}

// quiet is how long nothing must happen.
const quiet = time.Second

// touch says that something has happened.
func (s *settler) touch() {
	if !s.touched.Load() {
		s.touched.Store(true)
	}
	if !s.armed.Load() && s.armed.CompareAndSwap(false, true) {
		time.AfterFunc(quiet, s.check)
	}
}

func (s *settler) check() {
	if s.touched.Swap(false) {
		time.AfterFunc(quiet, s.check)
		return
	}
	s.armed.Store(false)
	s.m.buffers.free()
	if s.m.log != nil {
		s.m.log.Free()
	}
	if s.m.isHeld {
		debug.FreeOSMemory()
	}
	if s.m.wantsHold() {
		s.m.init.exited.interrupt()
	}
}
