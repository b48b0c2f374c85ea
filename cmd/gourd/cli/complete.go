package cli

import (
	"context"
	"slices"

	"gourd/internal/container"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

// The states that a verb's containers may be in.
var (
	anyState   []container.Status
	running    = []container.Status{container.Running, container.Paused}
	paused     = []container.Status{container.Paused}
	notRunning = []container.Status{container.Created, container.Exited}
)

// completion is what cobra asks while the user types.
type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeContainers offers names of containers in these states (nil: all) for every argument.
func (a *app) completeContainers(states []container.Status) completion {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, c := range a.listForCompletion() {
			if (states == nil || slices.Contains(states, c.State.Status)) && !slices.Contains(args, c.Name) {
				names = append(names, c.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeContainer offers names for the first argument only.
func (a *app) completeContainer(states []container.Status) completion {
	all := a.completeContainers(states)
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return all(cmd, args, typed)
	}
}

// listForCompletion reads without tidying: completing must change nothing. Errors offer nothing.
func (a *app) listForCompletion() []engine.Listed {
	cfg, err := a.config()
	if err != nil {
		return nil
	}
	e, err := engine.Open(cfg)
	if err != nil {
		return nil
	}
	list, _ := e.List(context.Background(), engine.ListOptions{All: true})
	return list
}
