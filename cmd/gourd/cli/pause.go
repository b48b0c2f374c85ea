package cli

import (
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

func newPause(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "pause CONTAINER [CONTAINER...]", Short: "Freeze all processes of one or more containers",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(running),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forEach(cmd.Context(), args, func(e *engine.Engine, ref string) error { return e.Pause(cmd.Context(), ref) })
		},
	}
}

func newUnpause(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "unpause CONTAINER [CONTAINER...]", Short: "Let the processes of one or more containers go on",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(paused),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.forEach(cmd.Context(), args, func(e *engine.Engine, ref string) error { return e.Unpause(cmd.Context(), ref) })
		},
	}
}
