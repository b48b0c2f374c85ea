package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// verbNotYet and verbNever are docker's commands that gourd knows and does not do, as "name: what it is";
// a group stands for all that is in it.
var (
	verbNotYet = []string{
		"build: Build an image from a Dockerfile", "builder: Manage builds", "buildx: Build with BuildKit", "compose: Run applications of several containers",
		"checkpoint: Manage checkpoints", "commit: Make an image from a container's changes", "cp: Copy files between a container and the host",
		"diff: Show what a container has changed in its filesystem", "events: Follow what happens", "export: Write a container's filesystem as a tar",
		"login: Log in to a registry", "logout: Log out from a registry", "manifest: Manage manifest lists", "network: Manage networks",
		"pull: Fetch an image from a registry", "push: Send an image to a registry", "search: Search a registry",
		"stats: Follow what containers use", "update: Change a container's limits", "volume: Manage volumes", "secret: Manage secrets", "config: Manage configs",
	}
	verbNever = []string{
		"context: Manage contexts: there is no daemon to choose", "plugin: Manage plugins", "trust: Manage trust on images",
		"node: Manage Swarm nodes", "service: Manage Swarm services", "stack: Manage Swarm stacks", "swarm: Manage Swarm",
	}
	containerNotYet = []string{
		"commit: Make an image from a container's changes", "cp: Copy files between a container and the host",
		"diff: Show what a container has changed in its filesystem", "export: Write a container's filesystem as a tar",
		"prune: Remove all stopped containers", "stats: Follow what containers use", "update: Change a container's limits",
	}
	imageNotYet = []string{
		"build: Build an image from a Dockerfile", "prune: Remove unused images", "pull: Fetch an image from a registry", "push: Send an image to a registry",
	}
	systemNotYet = []string{
		"df: Show disk usage", "events: Follow what happens", "prune: Remove unused data", "dial-stdio: Join the API's socket to standard input and output",
	}
)

// addRefused adds commands that say by name that they can't be had; they are not in the help's list.
func addRefused(parent *cobra.Command, why string, lines []string) {
	for _, line := range lines {
		name, about, _ := strings.Cut(line, ": ")
		parent.AddCommand(&cobra.Command{
			Use: name, Short: about + " (" + why + ")", Hidden: true, DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				if slices.Contains(args, "--help") {
					return cmd.Help()
				}
				return fmt.Errorf("%q is %s", refusedPath(cmd, args), why)
			},
		})
	}
}

// refusedPath is the command as it was typed, up to its first flag and at most one word deeper.
func refusedPath(cmd *cobra.Command, args []string) string {
	path := cmd.CommandPath()
	switch cmd.Name() {
	case "builder", "buildx", "compose", "checkpoint", "manifest", "network", "volume", "secret", "config", "context", "plugin", "trust", "node", "service", "stack", "swarm":
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			path += " " + args[0]
		}
	}
	return path
}
