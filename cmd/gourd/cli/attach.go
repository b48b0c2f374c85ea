package cli

import (
	"context"

	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

type attachFlags struct {
	detachKeys        string
	noStdin, sigProxy bool
}

func newAttach(a *app) *cobra.Command {
	f := &attachFlags{}
	cmd := &cobra.Command{
		Use: "attach [OPTIONS] CONTAINER", Short: "Join a running container's input and output",
		Args: exactArgs(1), ValidArgsFunction: a.completeContainers(running),
		RunE: func(cmd *cobra.Command, args []string) error { return a.attach(cmd.Context(), f, args[0]) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.detachKeys, "detach-keys", terminal.DefaultDetachKeys, "Keys that detach from the container")
	fs.BoolVar(&f.noStdin, "no-stdin", false, "Don't attach to the input")
	fs.BoolVar(&f.sigProxy, "sig-proxy", true, "Pass signals on to the process")
	return cmd
}

func (a *app) attach(ctx context.Context, f *attachFlags, ref string) error {
	keys, err := terminal.ParseKeys(f.detachKeys)
	if err != nil {
		return misuse("%w", err)
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	d, err := e.Inspect(ctx, ref, false)
	if err != nil {
		return err
	}
	tty := d.Spec.Process.Terminal
	s := streaming{
		tty: tty, detachKeys: keys,
		attach: engine.Attach{Stdin: !f.noStdin && d.Record.OpenStdin, Stdout: true, Stderr: true, Size: a.windowSize(tty)},
	}
	if err := a.checkTerminal(tty, s.attach.Stdin); err != nil {
		return err
	}
	// With a terminal Ctrl-C is a key like any other; signals sent to this program are then its own.
	if f.sigProxy && !tty {
		s.signals = catchSignals()
		defer s.signals.stop()
	}
	session, err := e.Attach(ctx, d.Record.ID, s.attach)
	if err != nil {
		return err
	}
	end, detached, err := a.follow(session, s)
	if err != nil {
		return err
	}
	if detached {
		return a.leftByKeys()
	}
	return ended(end)
}

// leftByKeys ends an attach that was left by the detach keys: docker's words and exit code.
func (a *app) leftByKeys() error {
	a.err.WriteString("read escape sequence\n")
	return exit(1)
}
