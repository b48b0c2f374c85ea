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
		Long: "Tidy what killed commands and monitors left behind. Every command does that first, so there is\nseldom anything left to do. With --all, remove every container too, and the network's bridge and\nfirewall rules; images stay.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.sweep(cmd.Context(), all) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "Remove all containers, the running ones too, and the network")
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
		return e.Clear(ctx)
	}
	return e.Sweep(ctx)
}
