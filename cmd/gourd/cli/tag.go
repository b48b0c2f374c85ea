package cli

import "github.com/spf13/cobra"

func newTag(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", Short: "Give an image another name", Args: exactArgs(2), ValidArgsFunction: a.completeImage,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.engine(cmd.Context())
			if err != nil {
				return err
			}
			_, err = e.Tag(cmd.Context(), args[0], args[1])
			return err
		},
	}
}
