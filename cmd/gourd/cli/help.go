package cli

import (
	"fmt"
	"io"
	"strings"

	"gourd/cmd/gourd/internal/terminal"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// useLine is the verb's form; docker writes it the same way.
func useLine(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "gourd [OPTIONS] COMMAND"
	}
	return cmd.Parent().CommandPath() + " " + cmd.Use
}

// printHelp writes a command's help, laid out as docker's and wrapped to the terminal's width.
func (a *app) printHelp(cmd *cobra.Command, w io.Writer) {
	about := cmd.Long
	if about == "" {
		about = cmd.Short
	}
	fmt.Fprintf(w, "Usage:  %s\n\n%s\n", useLine(cmd), about)
	if names := aliases(cmd); len(names) > 1 {
		fmt.Fprintf(w, "\nAliases:\n  %s\n", strings.Join(names, ", "))
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	printCommands(cmd, w)
	if cmd.LocalFlags().HasAvailableFlags() {
		title := "Options"
		if !cmd.HasParent() {
			title = "Global options (before the command)"
		}
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				shown := *f
				shown.NoOptDefVal = "" // pflag would write "[=true|false]" behind every switch
				flags.AddFlag(&shown)
			}
		})
		fmt.Fprintf(w, "\n%s:\n%s", title, flags.FlagUsagesWrapped(min(terminal.Width(a.out, 80), 120)-1))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nRun '%s COMMAND --help' for more information on a command.\n", cmd.CommandPath())
	}
}

// printCommands lists subcommands by group, those without one last.
func printCommands(cmd *cobra.Command, w io.Writer) {
	for _, g := range append(cmd.Groups(), &cobra.Group{Title: "Commands:"}) {
		title := g.Title
		for _, sub := range cmd.Commands() {
			if sub.GroupID != g.ID || sub.Hidden {
				continue
			}
			if title != "" {
				fmt.Fprintf(w, "\n%s\n", title)
				title = ""
			}
			fmt.Fprintf(w, "  %-11s %s\n", sub.Name(), sub.Short)
		}
	}
}

// aliasOf is the annotation that lists a verb's other forms: "container run, run".
const aliasOf = "gourd/aliases"

func aliases(cmd *cobra.Command) []string {
	if cmd.Annotations[aliasOf] == "" {
		return nil
	}
	var names []string
	for _, n := range strings.Split(cmd.Annotations[aliasOf], ",") {
		names = append(names, "gourd "+strings.TrimSpace(n))
	}
	return names
}
