package engine

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"gourd/internal/container"
	"gourd/internal/container/control"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Attach joins the streams of pid 1. Errors: ErrNotRunning, ErrPaused.
func (e *Engine) Attach(ctx context.Context, ref string, a Attach) (*Session, error) {
	r, err := e.running("attach to container", ref)
	if err != nil {
		return nil, err
	}
	if r.State.Status == container.Paused {
		return nil, &container.Error{Verb: "attach to container", Object: r.Name, Kind: container.ErrPaused, Hint: "`gourd unpause` it first"}
	}
	conn, err := e.dial(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	return converse(conn, &control.Request{
		Op: control.OpAttach, Stdin: a.Stdin && r.OpenStdin, Stdout: a.Stdout, Stderr: a.Stderr, Size: a.Size, Wait: true,
	})
}

// Exec runs another process in a running container. With Detach the session is closed already. Errors:
// ErrNotRunning, ErrPaused, ErrNoCommand, ErrNotExecutable.
func (e *Engine) Exec(ctx context.Context, ref string, x ExecRequest) (*Session, error) {
	r, err := e.running("exec in container", ref)
	if err != nil {
		return nil, err
	}
	if r.State.Status == container.Paused {
		return nil, &container.Error{
			Verb: "exec in container", Object: r.Name, Kind: container.ErrPaused,
			Cause: errText("the container is paused"), Hint: "`gourd unpause` it first",
		}
	}
	base, err := e.process(r.ID)
	if err != nil {
		return nil, err
	}
	p, err := execProcess(base, &x, r)
	if err != nil {
		return nil, err
	}
	conn, err := e.dial(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	a := x.Attach
	if x.Detach {
		a = Attach{}
	}
	return converse(conn, &control.Request{
		Op: control.OpExec, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, Size: a.Size, Wait: !x.Detach,
		Exec: &control.Exec{
			ID: container.NewID(), Process: p, User: cmpOr(x.User, r.User), GroupAdd: r.GroupAdd,
			Privileged: x.Privileged, Detach: x.Detach, OpenStdin: a.Stdin,
		},
	})
}

// spec reads a container's OCI spec.
func (e *Engine) spec(id string) (*specs.Spec, error) {
	b, err := os.ReadFile(filepath.Join(e.store.Dir(id), "config.json"))
	if err != nil {
		return nil, &container.Error{Verb: "read spec of container", Object: id, Cause: err}
	}
	s := new(specs.Spec)
	if err := json.Unmarshal(b, s); err != nil || s.Process == nil || s.Linux == nil {
		return nil, &container.Error{Verb: "read spec of container", Object: id, Kind: container.ErrCorrupt, Cause: err}
	}
	return s, nil
}

// process reads only the process of a container's OCI spec: most of the rest is its seccomp profile.
func (e *Engine) process(id string) (*specs.Process, error) {
	b, err := os.ReadFile(filepath.Join(e.store.Dir(id), "config.json"))
	if err != nil {
		return nil, &container.Error{Verb: "read spec of container", Object: id, Cause: err}
	}
	var s struct {
		Process *specs.Process `json:"process"`
	}
	if err := json.Unmarshal(b, &s); err != nil || s.Process == nil {
		return nil, &container.Error{Verb: "read spec of container", Object: id, Kind: container.ErrCorrupt, Cause: err}
	}
	return s.Process, nil
}

// execProcess is the container's own process with another program. The container's limits hold for it.
func execProcess(base *specs.Process, x *ExecRequest, r *container.Record) (*specs.Process, error) {
	if len(x.Args) == 0 || x.Args[0] == "" {
		return nil, invalid("exec in container", r.Name, "no command specified", "")
	}
	p := *base
	p.Args, p.Terminal, p.ConsoleSize = x.Args, x.Tty, nil
	env := program{Env: slices.DeleteFunc(slices.Clone(base.Env), func(kv string) bool { return envName(kv) == "TERM" && base.Terminal })}
	given := x.Env
	if x.Tty && !slices.ContainsFunc(given, func(kv string) bool { return envName(kv) == "TERM" }) {
		given = append([]string{"TERM=xterm"}, given...)
	}
	if err := env.mergeEnv(env.Env, given); err != nil {
		return nil, err
	}
	p.Env = env.Env
	if err := checkUser(x.User); err != nil {
		return nil, err
	}
	if x.Workdir != "" {
		if !filepath.IsAbs(x.Workdir) {
			return nil, invalid("use working directory", x.Workdir, "it is not an absolute path", "")
		}
		p.Cwd = filepath.Clean(x.Workdir)
	}
	if x.Privileged {
		m := thisMachine()
		p.Capabilities = capSpec(m.availableCaps(r.IDs != nil))
	}
	return &p, nil
}
