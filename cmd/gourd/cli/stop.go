package cli

import (
	"context"
	"fmt"

	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

// atOnce is how many containers one command works on at the same time.
const atOnce = 50

// forEach runs do for each container, many at once, and prints each name when it is done.
func (a *app) forEach(ctx context.Context, refs []string, do func(e *engine.Engine, ref string) error) error {
	return a.forEachShown(ctx, refs, func(e *engine.Engine, ref string) (bool, error) { return true, do(e, ref) })
}

// forEachShown is forEach where do says whether the name is worth printing.
func (a *app) forEachShown(ctx context.Context, refs []string, do func(e *engine.Engine, ref string) (bool, error)) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	failed := failures{a: a}
	parallel(refs, atOnce, func(ref string) (bool, error) { return do(e, ref) }, func(ref string, show bool, err error) {
		if failed.add(err); err == nil && show {
			fmt.Fprintln(a.out, ref)
		}
	})
	return failed.result()
}

// stopFlags are those of stop and restart.
type stopFlags struct {
	signal  string
	timeout int
}

func (f *stopFlags) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.signal, "signal", "s", "", "Signal to send in place of the container's stop signal")
	fs.IntVarP(&f.timeout, "timeout", "t", 0, "Seconds to wait before killing (-1: for ever)")
	fs.IntVar(&f.timeout, "time", 0, "The same as --timeout")
	fs.Lookup("time").Hidden = true
}

func (f *stopFlags) options(cmd *cobra.Command) engine.StopOptions {
	o := engine.StopOptions{Signal: f.signal}
	if cmd.Flags().Changed("timeout") || cmd.Flags().Changed("time") {
		o.Timeout = &f.timeout
	}
	return o
}

func newStop(a *app) *cobra.Command {
	f := &stopFlags{}
	cmd := &cobra.Command{
		Use: "stop [OPTIONS] CONTAINER [CONTAINER...]", Short: "Stop one or more running containers",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(running),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return a.forEach(cmd.Context(), args, func(e *engine.Engine, ref string) error { return e.Stop(cmd.Context(), ref, f.options(cmd)) })
	}
	f.addTo(cmd)
	return cmd
}

func newRestart(a *app) *cobra.Command {
	f := &stopFlags{}
	cmd := &cobra.Command{
		Use: "restart [OPTIONS] CONTAINER [CONTAINER...]", Short: "Restart one or more containers",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(anyState),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return a.forEach(cmd.Context(), args, func(e *engine.Engine, ref string) error { return e.Restart(cmd.Context(), ref, f.options(cmd)) })
	}
	f.addTo(cmd)
	return cmd
}
