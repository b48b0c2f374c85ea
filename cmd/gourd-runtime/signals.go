package main

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"gourd/internal/runtime"
)

// relay hands the signals that this process gets on to the container's.
type relay struct{ got chan os.Signal }

// Package signal wakes a thread of its own twice for each signal that it is told to catch, which for all of them
// costs as much as making the container. So those that people send are caught at once, the others when the
// container has lived for a moment.
var atOnce = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}

const moment = 30 * time.Millisecond

func newRelay() *relay {
	r := &relay{make(chan os.Signal, 128)}
	signal.Notify(r.got, atOnce...)
	return r
}

func (r *relay) stop() { signal.Stop(r.got) }

// to begins the delivery. A change of our window's size goes to the terminal instead.
func (r *relay) to(p *runtime.Process, t *terminal) {
	if t != nil {
		t.resize()
	}
	time.AfterFunc(moment, func() { signal.Notify(r.got) })
	go func() {
		for s := range r.got {
			switch sig := s.(unix.Signal); sig {
			case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE: // our own: children, Go's preemption, our output
			case unix.SIGWINCH:
				if t != nil {
					t.resize()
				}
			default:
				p.Kill(sig) // it fails only if the process has just ended
			}
		}
	}()
}
