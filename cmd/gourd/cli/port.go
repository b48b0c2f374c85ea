package cli

import (
	"fmt"

	"gourd/cmd/gourd/internal/opts"

	"github.com/spf13/cobra"
)

// newPort lists nothing yet, since no port can be published yet; a port that is asked for by number is
// an error then, as in docker.
func newPort(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "port CONTAINER [PRIVATE_PORT[/PROTO]]", Short: "List a container's published ports",
		Args: rangeArgs(1, 2), ValidArgsFunction: a.completeContainer(anyState),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.engine(cmd.Context())
			if err != nil {
				return err
			}
			_, name, err := e.Resolve(args[0])
			if err != nil || len(args) == 1 {
				return err
			}
			port, err := opts.Expose(args[1])
			if err != nil {
				return err
			}
			return fmt.Errorf("find port %s of container %s: it is not published", port, name)
		},
	}
}
