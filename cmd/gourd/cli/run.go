package cli

import (
	"context"
	"fmt"

	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

// runFlags are run's own flags beside create's.
type runFlags struct {
	createFlags
	detach     bool
	detachKeys string
	sigProxy   bool
}

func newRun(a *app) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use: "run [OPTIONS] IMAGE [COMMAND] [ARG...]", Short: "Create and run a new container from an image",
		ValidArgsFunction: a.completeImage,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), f, args) },
	}
	f.addTo(cmd)
	fs := cmd.Flags()
	fs.BoolVarP(&f.detach, "detach", "d", false, "Leave the container in the background and print its id")
	fs.StringVar(&f.detachKeys, "detach-keys", terminal.DefaultDetachKeys, "Keys that detach from the container")
	fs.BoolVar(&f.sigProxy, "sig-proxy", true, "Pass signals on to the process")
	return cmd
}

// run is the whole story: parse, create, start, stream, exit with the process's code.
func (a *app) run(ctx context.Context, f *runFlags, args []string) error {
	request, stream, err := f.parse(a, args)
	if err != nil {
		return err
	}
	e, err := a.engine(ctx)
	if err != nil {
		return starting(err)
	}
	c, id, err := a.create(ctx, e, &f.createFlags, request)
	if err != nil {
		return starting(err)
	}
	defer stream.signals.stop()
	session, err := e.Start(ctx, c.ID, stream.attach)
	if err != nil {
		if request.AutoRemove {
			id.remove()
		}
		if f.detach {
			fmt.Fprintln(a.out, c.ID)
		}
		return starting(err)
	}
	a.notices(session.Notices)
	if f.detach || !stream.attach.Any() {
		fmt.Fprintln(a.out, c.ID)
		return nil
	}
	end, detached, err := a.follow(session, stream)
	if err != nil {
		return starting(err)
	}
	if detached {
		return nil
	}
	return ended(end)
}

// parse reads all flags before the engine is asked for anything.
func (f *runFlags) parse(a *app, args []string) (r engine.CreateRequest, s streaming, err error) {
	if r, err = f.request(a, args); err != nil {
		return r, s, err
	}
	if s.detachKeys, err = terminal.ParseKeys(f.detachKeys); err != nil {
		return r, s, &exitError{code: 125, err: err}
	}
	if s.attach, err = f.streams(); err != nil {
		return r, s, err
	}
	if s.tty = r.Tty; f.detach {
		if len(f.attach) > 0 {
			return r, s, misuse("-a and -d can't be used together")
		}
		s.attach = engine.Attach{}
		return r, s, nil
	}
	s.attach.Size = a.windowSize(r.Tty)
	r.OpenStdin = r.OpenStdin || s.attach.Stdin
	if f.sigProxy {
		s.signals = catchSignals()
	}
	return r, s, a.checkTerminal(r.Tty, s.attach.Stdin)
}

// create makes the container and its --cidfile, which the caller takes away if it removes the container.
func (a *app) create(ctx context.Context, e *engine.Engine, f *createFlags, r engine.CreateRequest) (*engine.Created, *cidfile, error) {
	id, err := newCidfile(f.cidfile)
	if err != nil {
		return nil, nil, err
	}
	c, err := e.Create(ctx, r)
	if err != nil {
		id.remove()
		return nil, nil, err
	}
	a.notices(c.Notices)
	return c, id, id.write(c.ID)
}

// ended turns the end of a container's process into gourd's.
func ended(end engine.Exit) error {
	if end.Error != "" {
		return &exitError{code: max(end.Code, 1), err: fmt.Errorf("%s", end.Error)}
	}
	return exit(end.Code)
}
