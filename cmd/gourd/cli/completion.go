package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print a shell's completion script", Args: exactArgs(1),
		Long:      "Print the script that completes gourd's commands, flags, containers and images in a shell.",
		Example:   "  gourd completion bash > /etc/bash_completion.d/gourd\n  gourd completion zsh > /usr/local/share/zsh/site-functions/_gourd\n  gourd completion fish > ~/.config/fish/completions/gourd.fish",
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(a.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(a.out)
			case "fish":
				return cmd.Root().GenFishCompletion(a.out, true)
			}
			return &usageError{fmt.Errorf("no completion for %q: bash, zsh or fish", args[0])}
		},
	}
}
