package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
	"gourd/internal/runtime"
)

// execFlags are those of exec.
type execFlags struct {
	join                                 runtime.Join
	cwd, user, apparmor, label, pidfd    string
	env, caps, gids, cgroups             many
	tty, detach, noNewPrivs, setNewPrivs bool
}

func (e *execFlags) define(f *flag.FlagSet) {
	f.StringVar(&e.join.ConsoleSocket, "console-socket", "", "unix socket that gets the terminal's master")
	f.StringVar(&e.pidfd, "pidfd-socket", "", "not supported yet")
	f.StringVar(&e.cwd, "cwd", "", "working directory in the container")
	for _, l := range []struct {
		to          *many
		long, short string
		usage       string
	}{
		{&e.env, "env", "e", "environment variable, NAME=VALUE"},
		{&e.caps, "cap", "c", "capability to add"},
		{&e.gids, "additional-gids", "g", "additional group id"},
	} {
		f.Var(l.to, l.long, l.usage)
		f.Var(l.to, l.short, "short for -"+l.long)
	}
	f.Var(&e.cgroups, "cgroup", "not supported yet: a group below the container's")
	both(f.BoolVar, &e.tty, "tty", "t", false, "give it a terminal")
	both(f.StringVar, &e.user, "user", "u", "", "UID[:GID]")
	both(f.StringVar, &e.join.ProcessFile, "process", "p", "", "file with the process, in JSON")
	both(f.BoolVar, &e.detach, "detach", "d", false, "don't wait for the end")
	f.StringVar(&e.join.PidFile, "pid-file", "", "file that gets the process's pid")
	f.StringVar(&e.label, "process-label", "", "SELinux label")
	f.StringVar(&e.apparmor, "apparmor", "", "AppArmor profile")
	f.BoolVar(&e.noNewPrivs, "no-new-privs", false, "set no_new_privs")
	f.IntVar(&e.join.PreserveFDs, "preserve-fds", 0, "how many descriptors from 3 on the process inherits")
	f.BoolVar(&e.join.IgnorePaused, "ignore-paused", false, "go on in a paused container")
}

func execute(c *call) (int, error) {
	var e execFlags
	f := c.set()
	e.define(f)
	args, err := c.parseHead(1)
	if err != nil {
		return 0, err
	}
	f.Visit(func(fl *flag.Flag) { e.setNewPrivs = e.setNewPrivs || fl.Name == "no-new-privs" })
	if err := e.complete(args); err != nil {
		return 0, err
	}
	var signals *relay
	if !e.detach {
		signals = newRelay()
		defer signals.stop()
	}
	p, err := c.store().Exec(&e.join)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	c.log.warn(p.Notices)
	if e.detach {
		return 0, nil
	}
	return serve(p, signals)
}

// complete turns the flags into what the runtime takes.
func (e *execFlags) complete(args []string) error {
	for name, set := range map[string]bool{"--pidfd-socket": e.pidfd != "", "--cgroup": len(e.cgroups) > 0} {
		if set {
			return &container.Error{Verb: "use", Object: name, Kind: container.ErrUnsupported, Cause: errors.New("not supported yet")}
		}
	}
	if e.join.ProcessFile == "" && len(args) < 2 {
		return container.Invalid("exec in container", args[0], errors.New("exec args cannot be empty"), "give a command, or --process FILE")
	}
	j := &e.join
	j.ID, j.Detach, j.Stdio = args[0], e.detach, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}
	j.Change = func(p *specs.Process) error { return e.change(p, args[1:]) }
	if j.PreserveFDs < 0 {
		return container.Invalid("use", "--preserve-fds", fmt.Errorf("%d is negative", j.PreserveFDs), "")
	}
	if j.PidFile == "" {
		return nil
	}
	abs, err := filepath.Abs(j.PidFile)
	j.PidFile = abs
	return err
}

// change makes the container's own process the one that is wanted.
func (e *execFlags) change(p *specs.Process, args []string) error {
	p.Args, p.Terminal = args, e.tty
	for from, to := range map[*string]*string{&e.cwd: &p.Cwd, &e.apparmor: &p.ApparmorProfile, &e.label: &p.SelinuxLabel} {
		if *from != "" {
			*to = *from
		}
	}
	p.Env = append(p.Env, e.env...)
	if e.setNewPrivs {
		p.NoNewPrivileges = e.noNewPrivs
	}
	runtime.AddCapabilities(p, e.caps)
	if e.user != "" {
		if err := runtime.ParseUser(e.user, &p.User); err != nil {
			return err
		}
	}
	for _, g := range e.gids {
		gid, err := strconv.ParseUint(g, 10, 32)
		if err != nil {
			return container.Invalid("use", "--additional-gids", err, "give numbers")
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(gid))
	}
	return nil
}
