package cli

import (
	"errors"

	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

func newRm(a *app) *cobra.Command {
	var o engine.RemoveOptions
	cmd := &cobra.Command{
		Use: "rm [OPTIONS] CONTAINER [CONTAINER...]", Short: "Remove one or more containers",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(anyState),
		RunE: func(cmd *cobra.Command, args []string) error { return a.remove(cmd, o, args) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&o.Force, "force", "f", false, "Kill a running container first; one that isn't there is no error")
	fs.BoolVarP(&o.Volumes, "volumes", "v", false, "Remove its anonymous volumes too")
	refuse(cmd, notYet, "link,l bool")
	return cmd
}

func (a *app) remove(cmd *cobra.Command, o engine.RemoveOptions, refs []string) error {
	return a.forEachShown(cmd.Context(), refs, func(e *engine.Engine, ref string) (bool, error) {
		err := e.Remove(cmd.Context(), ref, o)
		if o.Force && errors.Is(err, container.ErrNotFound) {
			return false, nil
		}
		return true, err
	})
}
