package cli

import (
	"context"
	"slices"
	"strings"

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

// completeImages offers names of images for every argument.
func (a *app) completeImages(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	e, err := a.quietEngine()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	list, _ := e.Images(context.Background())
	var names []string
	for _, sum := range list {
		for _, name := range sum.RepoTags {
			if !slices.Contains(args, name) {
				names = append(names, strings.TrimSuffix(name, ":latest"))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeImage offers names for the first argument only; behind it (run IMAGE …) files.
func (a *app) completeImage(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeImages(cmd, args, typed)
}

// listForCompletion reads without tidying: completing must change nothing. Errors offer nothing.
func (a *app) listForCompletion() []engine.Listed {
	e, err := a.quietEngine()
	if err != nil {
		return nil
	}
	list, _ := e.List(context.Background(), engine.ListOptions{All: true})
	return list
}

// quietEngine opens the engine without tidying.
func (a *app) quietEngine() (*engine.Engine, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	return engine.Open(cfg)
}
