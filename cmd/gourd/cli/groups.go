package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// group makes `gourd container`, `gourd image`, `gourd system`: commands of commands.
func group(name, about string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name + " COMMAND", Short: about, GroupID: "management", Args: unknownCommand, RunE: showHelp}
	cmd.AddCommand(verbs...)
	return cmd
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// unknownCommand refuses what is no command, and offers what it may have meant.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("%s: unknown command", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w, did you mean %s?", err, strings.Join(near, " or "))
	}
	return &usageError{err}
}

// named renames a verb for its group ("ps" is "container ls") and gives it further names there.
func named(cmd *cobra.Command, name string, others ...string) *cobra.Command {
	_, rest, _ := strings.Cut(cmd.Use, " ")
	cmd.Use = strings.TrimSpace(name + " " + rest)
	cmd.Aliases = others
	return cmd
}

func newContainerGroup(a *app) *cobra.Command {
	cmd := group("container", "Manage containers",
		newAttach(a), newCreate(a), newExec(a), newContainerInspect(a), newKill(a), newLogs(a), named(newPs(a), "ls", "list", "ps"),
		newPause(a), newPort(a), newRename(a), newRestart(a), named(newRm(a), "rm", "remove"), newRun(a), newStart(a), newStop(a),
		newTop(a), newUnpause(a), newWait(a))
	addRefused(cmd, notYet, containerNotYet)
	return cmd
}

func newImageGroup(a *app) *cobra.Command {
	cmd := group("image", "Manage images",
		newHistory(a), newImport(a), newImageInspect(a), newLoad(a), named(newImages(a), "ls", "list"), named(newRmi(a), "rm", "remove"), newSave(a), newTag(a))
	addRefused(cmd, notYet, imageNotYet)
	return cmd
}

func newSystemGroup(a *app) *cobra.Command {
	cmd := group("system", "Manage gourd", newInfo(a), newSweep(a))
	addRefused(cmd, notYet, systemNotYet)
	return cmd
}
