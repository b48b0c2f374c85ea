package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCreate(a *app) *cobra.Command {
	f := &createFlags{}
	cmd := &cobra.Command{
		Use: "create [OPTIONS] IMAGE [COMMAND] [ARG...]", Short: "Create a new container",
		ValidArgsFunction: a.completeImage,
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := f.request(a, args)
			if err != nil {
				return err
			}
			e, err := a.engine(cmd.Context())
			if err != nil {
				return starting(err)
			}
			c, _, err := a.create(cmd.Context(), e, f, request)
			if err != nil {
				return starting(err)
			}
			fmt.Fprintln(a.out, c.ID)
			return nil
		},
	}
	f.addTo(cmd)
	return cmd
}
