package runtime

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// check refuses what can't be done, before anything is created.
func (b *build) check() error {
	s := b.spec
	switch {
	case s.Linux == nil:
		return b.invalid("linux", errors.New("it is missing"))
	case s.Root == nil && b.c.RootFS == nil:
		return b.invalid("root", errors.New("it is missing"))
	case s.Version != "" && !strings.HasPrefix(s.Version, "1."):
		return b.invalid("ociVersion", fmt.Errorf("%q is not a version 1", s.Version))
	}
	for _, refuse := range []func() error{b.checkUnsupported, b.checkNamespaces, b.checkMounts, b.checkSysctls} {
		if err := refuse(); err != nil {
			return err
		}
	}
	if s.Process == nil {
		return nil
	}
	return checkProcess(s.Process)
}

// checkProcess refuses a process, of a container or of exec.
func checkProcess(p *specs.Process) error {
	for what, list := range map[string][]string{"process.args": p.Args, "process.env": p.Env, "process.cwd": {p.Cwd}} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return invalidSpec(what, fmt.Errorf("%q contains a zero byte", s))
			}
		}
	}
	switch {
	case len(p.Args) == 0 || p.Args[0] == "":
		return invalidSpec("process.args", errors.New("no command is given"))
	case !path.IsAbs(p.Cwd):
		return invalidSpec("process.cwd", fmt.Errorf("%q is not an absolute path", p.Cwd))
	}
	for name, set := range map[string]bool{
		"process.apparmorProfile": p.ApparmorProfile != "" && p.ApparmorProfile != "unconfined",
		"process.selinuxLabel":    p.SelinuxLabel != "",
		"process.scheduler":       p.Scheduler != nil,
		"process.execCPUAffinity": p.ExecCPUAffinity != nil,
	} {
		if set {
			return unsupported(name)
		}
	}
	if _, err := rlimits(p.Rlimits); err != nil {
		return err
	}
	if p.IOPriority != nil {
		if _, err := ioPriority(p.IOPriority); err != nil {
			return err
		}
	}
	return nil
}

// checkUnsupported names what the specification has and gourd doesn't do yet. Nothing is ignored.
func (b *build) checkUnsupported() error {
	s := b.spec
	for name, set := range map[string]bool{
		"linux.netDevices":      len(s.Linux.NetDevices) > 0,
		"linux.intelRdt":        s.Linux.IntelRdt != nil,
		"linux.memoryPolicy":    s.Linux.MemoryPolicy != nil,
		"linux.mountLabel":      s.Linux.MountLabel != "",
		"hooks.createContainer": s.Hooks != nil && len(s.Hooks.CreateContainer) > 0,
		"hooks.startContainer":  s.Hooks != nil && len(s.Hooks.StartContainer) > 0,
	} {
		if set {
			return unsupported(name)
		}
	}
	return nil
}

func unsupported(what string) error {
	return &container.Error{Verb: "use", Object: what, Kind: container.ErrUnsupported, Cause: errors.New("not supported yet")}
}

func invalidSpec(what string, cause error) error {
	return container.Invalid("use", what, cause, "")
}

func (b *build) invalid(what string, cause error) error { return invalidSpec(what, cause) }

// notice tells the user something that isn't an error.
func (b *build) notice(format string, args ...any) {
	b.notices = append(b.notices, fmt.Sprintf(format, args...))
}
