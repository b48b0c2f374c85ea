package cli

import (
	"context"

	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

func inspectImage(ctx context.Context, e *engine.Engine, ref string) (any, error) {
	return nil, container.ErrNotFound
}

func (a *app) completeImage(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
