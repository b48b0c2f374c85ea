package cli

import (
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

func newKill(a *app) *cobra.Command {
	var signal string
	cmd := &cobra.Command{
		Use: "kill [OPTIONS] CONTAINER [CONTAINER...]", Short: "Send a signal (KILL) to one or more running containers",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(running),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forEach(cmd.Context(), args, func(e *engine.Engine, ref string) error { return e.Kill(cmd.Context(), ref, signal) })
		},
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "", "Signal to send: a name or a number")
	return cmd
}
