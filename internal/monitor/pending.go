package monitor

import "sync"

// pending counts what the monitor must still do before it may end. Unlike a sync.WaitGroup it may be
// added to while somebody waits.
type pending struct {
	mu   sync.Mutex
	n    int
	idle *sync.Cond
}

// add counts one more; the function that it returns takes it back.
func (p *pending) add() (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.n--
		if p.n == 0 && p.idle != nil {
			p.idle.Broadcast()
		}
	}
}

// wait returns when nothing is left.
func (p *pending) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle = sync.NewCond(&p.mu)
	}
	for p.n > 0 {
		p.idle.Wait()
	}
}
