package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"

	"gourd/internal/container"
	"gourd/internal/runtime"
)

// launchFlags are those that create and run share.
type launchFlags struct {
	bundle, consoleSocket, pidFile, pidfdSocket string
	noPivot, noNewKeyring                       bool
	preserveFDs                                 int
}

func (l *launchFlags) define(f *flag.FlagSet) {
	both(f.StringVar, &l.bundle, "bundle", "b", ".", "directory with config.json")
	f.StringVar(&l.consoleSocket, "console-socket", "", "unix socket that gets the terminal's master")
	f.StringVar(&l.pidFile, "pid-file", "", "file that gets the process's pid")
	f.StringVar(&l.pidfdSocket, "pidfd-socket", "", "not supported yet")
	f.BoolVar(&l.noPivot, "no-pivot", false, "not supported yet: for a root filesystem on a ramdisk")
	f.BoolVar(&l.noNewKeyring, "no-new-keyring", false, "keep the caller's session keyring")
	f.IntVar(&l.preserveFDs, "preserve-fds", 0, "how many descriptors from 3 on the process inherits, beside those of LISTEN_FDS")
}

// launch turns the flags into what the runtime takes.
func (l *launchFlags) launch(c *call, id string) (*runtime.Launch, error) {
	for name, set := range map[string]bool{"--pidfd-socket": l.pidfdSocket != "", "--no-pivot": l.noPivot} {
		if set {
			return nil, &container.Error{Verb: "use", Object: name, Kind: container.ErrUnsupported, Cause: errors.New("not supported yet")}
		}
	}
	out := &runtime.Launch{
		ID: id, Bundle: l.bundle, Systemd: c.systemd, ConsoleSocket: l.consoleSocket, PidFile: l.pidFile,
		PreserveFDs: l.preserveFDs, NoNewKeyring: l.noNewKeyring, Trace: c.log.debug, Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
	}
	if out.PidFile == "" {
		return out, nil
	}
	abs, err := filepath.Abs(out.PidFile)
	out.PidFile = abs
	return out, err
}

func create(c *call) (int, error) {
	var l launchFlags
	l.define(c.set())
	args, err := c.parse(1, 1)
	if err != nil {
		return 0, err
	}
	launch, err := l.launch(c, args[0])
	if err != nil {
		return 0, err
	}
	launch.Detach = true
	warnings, err := c.store().Create(launch)
	c.log.warn(warnings)
	c.log.trace(launch.Steps)
	return 0, err
}
