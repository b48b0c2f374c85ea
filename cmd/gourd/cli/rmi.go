package cli

import (
	"context"
	"errors"
	"fmt"

	"gourd/internal/container"

	"github.com/spf13/cobra"
)

func newRmi(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "rmi [OPTIONS] IMAGE [IMAGE...]", Short: "Remove one or more images", Args: minArgs(1), ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error { return a.rmi(cmd.Context(), force, args) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&force, "force", "f", false, "Remove an image of several names, or one that stopped containers use; one that isn't there is no error")
	fs.Bool("no-prune", false, "Keep unnamed parents (there are none: an image stands for itself)")
	refuse(cmd, notYet, "platform list")
	return cmd
}

func (a *app) rmi(ctx context.Context, force bool, refs []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	failed := failures{a: a}
	for _, ref := range refs {
		removed, err := e.RemoveImage(ctx, ref, force)
		for _, r := range removed {
			fmt.Fprintln(a.out, r)
		}
		if force && errors.Is(err, container.ErrNotFound) {
			fmt.Fprintf(a.err, "gourd: %s\n", oneLine(err)) // docker prints it too, and goes on
			continue
		}
		failed.add(err)
	}
	return failed.result()
}
