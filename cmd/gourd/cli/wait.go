package cli

import (
	"fmt"

	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

func newWait(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "wait CONTAINER [CONTAINER...]", Short: "Wait until one or more containers end, then print their exit codes",
		Args: minArgs(1), ValidArgsFunction: a.completeContainers(running),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.engine(cmd.Context())
			if err != nil {
				return err
			}
			failed := failures{a: a}
			parallel(args, len(args), func(ref string) (engine.Exit, error) {
				return e.Wait(cmd.Context(), ref, engine.WaitNotRunning)
			}, func(_ string, end engine.Exit, err error) {
				if failed.add(err); err == nil {
					fmt.Fprintln(a.out, end.Code)
				}
			})
			return failed.result()
		},
	}
}
