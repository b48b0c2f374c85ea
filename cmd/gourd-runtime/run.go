package main

import (
	"errors"

	"gourd/internal/container"
	"gourd/internal/runtime"
)

func run(c *call) (int, error) {
	var l launchFlags
	var detach, keep, noSubreaper bool
	f := c.set()
	l.define(f)
	both(f.BoolVar, &detach, "detach", "d", false, "don't wait for the end")
	f.BoolVar(&keep, "keep", false, "don't delete the container when it ends")
	f.BoolVar(&noSubreaper, "no-subreaper", false, "taken for runc's sake: this runtime adopts no processes")
	args, err := c.parse(1, 1)
	if err != nil {
		return 0, err
	}
	launch, err := l.launch(c, args[0])
	if err != nil {
		return 0, err
	}
	launch.Detach = detach
	var signals *relay
	if !detach {
		signals = newRelay() // before the container is there, so that none is lost
		defer signals.stop()
	}
	k, err := c.store().Run(launch)
	if err != nil {
		return 0, err
	}
	defer k.Close()
	c.log.warn(k.Warnings)
	c.log.trace(launch.Steps)
	if detach {
		return 0, nil
	}
	code, err := serve(&k.Process, signals)
	if keep || err != nil {
		return code, err
	}
	warnings, err := c.store().Delete(args[0], true)
	c.log.warn(warnings)
	return code, err
}

// serve stays with a process: terminal, signals, end. It gives the exit code.
func serve(p *runtime.Process, signals *relay) (int, error) {
	var t *terminal
	if p.Console != nil {
		var err error
		if t, err = attach(p.Console); err != nil {
			return 0, err
		}
		defer t.restore()
	}
	signals.to(p, t)
	status, err := p.Wait()
	if err != nil {
		return 0, &container.Error{Verb: "wait for process", Cause: err}
	}
	if t != nil {
		t.drain()
	}
	switch {
	case status.Exited():
		return status.ExitStatus(), nil
	case status.Signaled():
		return 128 + int(status.Signal()), nil
	}
	return 0, errors.New("the process neither exited nor was killed")
}
