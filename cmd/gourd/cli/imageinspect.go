package cli

import (
	"context"

	"gourd/internal/engine"
	"gourd/internal/face/docker"

	"github.com/spf13/cobra"
)

// newImageInspect is `gourd image inspect`.
func newImageInspect(a *app) *cobra.Command {
	f := &inspectFlags{kind: "image"}
	cmd := &cobra.Command{
		Use: "inspect [OPTIONS] IMAGE [IMAGE...]", Short: "Show all that is known of one or more images, as JSON",
		Args: minArgs(1), ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error { return a.inspect(cmd.Context(), f, args) },
	}
	cmd.Flags().StringVarP(&f.format, "format", "f", "", `Print by a Go template, or "json"`)
	refuse(cmd, notYet, "platform string")
	return cmd
}

func inspectImage(ctx context.Context, e *engine.Engine, ref string) (any, error) {
	img, err := e.Image(ctx, ref)
	if err != nil {
		return nil, err
	}
	return docker.NewImage(img), nil
}
