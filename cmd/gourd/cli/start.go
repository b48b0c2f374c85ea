package cli

import (
	"context"
	"errors"
	"fmt"

	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

type startFlags struct {
	attach, interactive bool
	detachKeys          string
}

func newStart(a *app) *cobra.Command {
	f := &startFlags{}
	cmd := &cobra.Command{
		Use: "start [OPTIONS] CONTAINER [CONTAINER...]", Short: "Start one or more stopped containers",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(notRunning),
		RunE: func(cmd *cobra.Command, args []string) error { return a.start(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&f.attach, "attach", "a", false, "Attach to the output and pass signals on")
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "Attach to the input too")
	fs.StringVar(&f.detachKeys, "detach-keys", terminal.DefaultDetachKeys, "Keys that detach from the container")
	refuse(cmd, notYet, "checkpoint string", "checkpoint-dir string")
	return cmd
}

func (a *app) start(ctx context.Context, f *startFlags, refs []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	if f.attach || f.interactive {
		if len(refs) > 1 {
			return &usageError{fmt.Errorf("only one container can be attached to")}
		}
		return a.startAttached(ctx, e, f, refs[0])
	}
	failed := failures{a: a}
	for _, ref := range refs {
		session, err := e.Start(ctx, ref, engine.Attach{})
		if errors.Is(err, container.ErrRunning) { // there is nothing to do, says docker too
			fmt.Fprintln(a.out, ref)
			continue
		}
		if failed.add(err); err == nil {
			a.notices(session.Notices)
			fmt.Fprintln(a.out, ref)
		}
	}
	return failed.result()
}

func (a *app) startAttached(ctx context.Context, e *engine.Engine, f *startFlags, ref string) error {
	keys, err := terminal.ParseKeys(f.detachKeys)
	if err != nil {
		return misuse("%w", err)
	}
	d, err := e.Inspect(ctx, ref, false)
	if err != nil {
		return err
	}
	s := streaming{
		tty: d.Spec.Process.Terminal, detachKeys: keys,
		attach: engine.Attach{Stdin: f.interactive && d.Record.OpenStdin, Stdout: true, Stderr: true, Size: a.windowSize(d.Spec.Process.Terminal)},
	}
	if err := a.checkTerminal(s.tty, s.attach.Stdin); err != nil {
		return err
	}
	s.signals = catchSignals()
	defer s.signals.stop()
	session, err := e.Start(ctx, d.Record.ID, s.attach)
	if errors.Is(err, container.ErrRunning) {
		session, err = e.Attach(ctx, d.Record.ID, s.attach)
	}
	if err != nil {
		return err
	}
	a.notices(session.Notices)
	end, detached, err := a.follow(session, s)
	if err != nil || detached {
		return err
	}
	return ended(end)
}
