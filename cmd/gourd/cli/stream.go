package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/container/control"
	"gourd/internal/engine"

	"golang.org/x/sys/unix"
)

// streaming is how the caller's terminal or pipes are joined to a process of a container.
type streaming struct {
	tty        bool
	attach     engine.Attach
	detachKeys []byte
	signals    *signals // nil: signals are the caller's own
}

// checkTerminal refuses -t together with an attached input that is no terminal, before anything is made.
func (a *app) checkTerminal(tty, stdin bool) error {
	if tty && stdin && !terminal.Is(a.in) {
		return errors.New("the input device is not a TTY: leave out -t, or -i where nothing is typed")
	}
	return nil
}

// windowSize is the caller's window for a process with a terminal.
func (a *app) windowSize(tty bool) *control.Size {
	if !tty {
		return nil
	}
	if size := terminal.Size(a.out); size != nil {
		return size
	}
	return terminal.Size(a.in)
}

// follow copies both ways until the process ends or the caller detaches; detached then is true. The
// terminal is as it was when follow returns.
func (a *app) follow(session *engine.Session, s streaming) (end engine.Exit, detached bool, err error) {
	defer session.Close()
	restore := func() {}
	if s.tty && s.attach.Stdin && terminal.Is(a.in) {
		if restore, err = terminal.Raw(a.in); err != nil {
			return end, false, fmt.Errorf("set terminal to raw mode: %w", err)
		}
	}
	defer restore()
	if s.tty && terminal.Is(a.out) {
		defer terminal.OnResize(a.out, func(size control.Size) { session.Resize(size) })()
	}
	if s.signals != nil {
		s.signals.forward(session)
	} else {
		defer restoreOnSignal(restore)()
	}
	if s.attach.Stdin {
		go a.pump(session, s)
	}
	var stdout, stderr io.Writer
	if s.attach.Stdout {
		stdout = a.out
	}
	if s.attach.Stderr {
		stderr = a.err
	}
	end, err = session.Receive(stdout, stderr)
	if errors.Is(err, engine.ErrDetached) {
		return end, true, nil
	}
	return end, false, err
}

// pump sends what is typed or piped in. The detach keys count on a terminal only.
func (a *app) pump(session *engine.Session, s streaming) {
	to := session.Stdin()
	var from io.Reader = a.in
	if s.tty && terminal.Is(a.in) {
		from = terminal.NewDetacher(a.in, s.detachKeys)
	}
	if _, err := io.Copy(to, struct{ io.Reader }{from}); errors.Is(err, terminal.ErrDetach) {
		session.Close()
		return
	}
	to.Close()
}

// signals are caught for a process and passed on to it (--sig-proxy).
type signals struct{ caught chan os.Signal }

// ownSignals stay with this program: its children's, broken pipes', the scheduler's (SIGURG), job control's and the
// window's; faults can't be passed on.
var ownSignals = map[unix.Signal]bool{
	unix.SIGCHLD: true, unix.SIGPIPE: true, unix.SIGURG: true, unix.SIGTSTP: true, unix.SIGTTIN: true, unix.SIGTTOU: true,
	unix.SIGWINCH: true, unix.SIGKILL: true, unix.SIGSTOP: true, unix.SIGSEGV: true, unix.SIGBUS: true, unix.SIGFPE: true,
	unix.SIGILL: true, unix.SIGTRAP: true, unix.SIGPROF: true, unix.SIGCONT: true, unix.SIGSYS: true, unix.SIGABRT: true,
}

// lastSignal is SIGRTMAX. Signals 32 and 33 are the C library's.
const lastSignal = 64

// Package signal wakes a thread of its own twice for each signal that it is told to catch, which for all of them
// takes longer than making a container. So those that people send are caught before the process exists, that none
// is lost on the way to it, and the others when it has lived for a moment.
var usual = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}

const moment = 30 * time.Millisecond

func catchSignals() *signals {
	s := &signals{make(chan os.Signal, 128)}
	signal.Notify(s.caught, usual...)
	return s
}

func (s *signals) catchRest() {
	for n := unix.Signal(1); n <= lastSignal; n++ {
		if !ownSignals[n] && n != 32 && n != 33 {
			signal.Notify(s.caught, n)
		}
	}
}

func (s *signals) forward(session *engine.Session) {
	time.AfterFunc(moment, s.catchRest)
	go func() {
		for sig := range s.caught {
			if n, ok := sig.(unix.Signal); ok {
				session.Signal(signalName(n))
			}
		}
	}()
}

func (s *signals) stop() {
	if s != nil {
		signal.Stop(s.caught)
	}
}

// signalName is "SIGUSR1", or the number where there is no name (real-time signals).
func signalName(n unix.Signal) string {
	if name := unix.SignalName(n); name != "" {
		return name
	}
	return fmt.Sprint(int(n))
}

// restoreOnSignal puts the terminal back before a signal ends this program.
func restoreOnSignal(restore func()) (stop func()) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
	go func() {
		for sig := range caught {
			restore()
			signal.Reset(sig)
			unix.Kill(unix.Getpid(), sig.(unix.Signal))
		}
	}()
	return func() {
		signal.Stop(caught)
		close(caught)
	}
}
