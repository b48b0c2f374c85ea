package monitor

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// onTerm makes SIGTERM stop the container in good order. Other signals that a terminal or a service
// manager sends to whole groups are none of the monitor's business. The function that it returns ends that.
func (m *monitor) onTerm() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM)
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
	go func() {
		for range signals {
			m.terminate()
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}
