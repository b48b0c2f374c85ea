package monitor

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// catchSignals takes SIGTERM, which stops the container in good order (see obey), and those that a
// terminal or a service manager sends to whole groups, which are none of the monitor's business. They are
// caught and not ignored: a process of the container would inherit that, also what this one inherited
// (nohup). Hence the call comes before any is made.
func (m *monitor) catchSignals() {
	m.signals = make(chan os.Signal, 8)
	signal.Notify(m.signals, unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
}

// obey acts on the signals from now on. The function that it returns ends that.
func (m *monitor) obey() (stop func()) {
	go func() {
		for s := range m.signals {
			if s == unix.SIGTERM {
				go m.terminate()
			}
		}
	}()
	return func() {
		signal.Stop(m.signals)
		close(m.signals)
	}
}
