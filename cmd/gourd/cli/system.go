package cli

import (
	"context"

	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

// newSweep is `gourd system sweep`: what every command does first, by itself, and with --all the end of
// an installation's containers.
func newSweep(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "sweep [OPTIONS]", Short: "Tidy what killed commands and monitors left behind", Args: noArgs,
		Long: "Tidy what killed commands and monitors left behind. Every command does that first, so there is\nseldom anything left to do. With --all, remove every container too.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.sweep(cmd.Context(), all) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "Remove all containers first, the running ones too")
	return cmd
}

func (a *app) sweep(ctx context.Context, all bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	e, err := engine.Open(cfg)
	if err != nil {
		return err
	}
	if all {
		if err := a.removeAll(ctx, e); err != nil {
			return err
		}
	}
	return e.Sweep(ctx)
}

func (a *app) removeAll(ctx context.Context, e *engine.Engine) error {
	list, err := e.List(ctx, engine.ListOptions{All: true})
	if err != nil {
		return err
	}
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.ID
	}
	failed := failures{a: a}
	parallel(ids, atOnce, func(id string) (struct{}, error) {
		return struct{}{}, e.Remove(ctx, id, engine.RemoveOptions{Force: true, Volumes: true})
	}, func(_ string, _ struct{}, err error) { failed.add(err) })
	return failed.result()
}
