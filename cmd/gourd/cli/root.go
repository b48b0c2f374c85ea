package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Main runs one command line (without the program's name) and gives the exit code.
func Main(args []string) int {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	root := a.newRoot()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(context.Background())
	return report(a.err, cmd, err)
}

// NewRoot is the whole command tree, for who documents it.
func NewRoot() *cobra.Command {
	return (&app{in: os.Stdin, out: os.Stdout, err: os.Stderr}).newRoot()
}

func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "gourd", Short: "Containers with docker's verbs and without a daemon", Args: unknownCommand,
		SilenceErrors: true, SilenceUsage: true, TraverseChildren: true, DisableSuggestions: false, SuggestionsMinimumDistance: 2,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.setLog() },
	}
	a.addGlobalFlags(root)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { a.printHelp(cmd, a.out) })
	root.AddGroup(&cobra.Group{ID: "common", Title: "Common commands:"}, &cobra.Group{ID: "management", Title: "Management commands:"})
	root.AddCommand(inGroup("common", newRun(a), newExec(a), newPs(a), newImages(a), newExplain(a), newVersion(a), newInfo(a))...)
	root.AddCommand(newContainerGroup(a), newImageGroup(a), newSystemGroup(a))
	root.AddCommand(
		newAttach(a), newCreate(a), newHistory(a), newImport(a), newInspect(a), newKill(a), newLoad(a), newLogs(a), newPause(a), newPort(a),
		newRename(a), newRestart(a), newRm(a), newRmi(a), newSave(a), newStart(a), newStop(a), newTag(a), newTop(a), newUnpause(a), newWait(a))
	root.AddCommand(newCompletion(a))
	root.SetHelpCommand(newHelp())
	root.CompletionOptions.DisableDefaultCmd = true
	addRefused(root, notYet, verbNotYet)
	addRefused(root, never, verbNever)
	markAliases(root)
	return root
}

func inGroup(id string, list ...*cobra.Command) []*cobra.Command {
	for _, cmd := range list {
		cmd.GroupID = id
	}
	return list
}

// addGlobalFlags declares the flags before the verb. Docker's that choose a daemon are refused by name.
func (a *app) addGlobalFlags(root *cobra.Command) {
	fs := root.Flags()
	fs.StringVar(&a.root, "root", "", "Where images and containers are kept (GOURD_ROOT; default /var/lib/gourd)")
	fs.StringVar(&a.state, "state", "", "Where what ends with the machine's run is kept (GOURD_STATE; default /run/gourd)")
	fs.StringVar(&a.configFile, "config-file", "", "Configuration (GOURD_CONFIG; default /etc/gourd/gourd.toml)")
	fs.BoolVarP(&a.debug, "debug", "D", false, "Say what is done beside the result")
	fs.StringVarP(&a.logLevel, "log-level", "l", "warn", `How much to say: "debug", "info", "warn", "error", "fatal"`)
	showVersion := fs.BoolP("version", "v", false, "Print the version")
	root.PersistentFlags().Bool("help", false, "Print help")
	refuse(root, notYet, "config string")
	refuse(root, never, "context,c string", "host,H list", "tls bool", "tlscacert string", "tlscert string", "tlskey string", "tlsverify bool")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *showVersion {
			_, err := fmt.Fprintln(a.out, "gourd version "+newVersionInfo().Client.Version)
			return err
		}
		return cmd.Help()
	}
}

// newHelp is `gourd help COMMAND`.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Print a command's help", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), args)
			}
			return target.Help()
		},
	}
}

// markAliases notes for the help under which names one verb can be called: `gourd ps` and `gourd container ls`.
func markAliases(root *cobra.Command) {
	for _, name := range []string{"container", "image", "system"} {
		g, _, _ := root.Find([]string{name})
		for _, sub := range g.Commands() {
			top := topForm(name, sub.Name())
			verb, _, err := root.Find([]string{top})
			if err != nil || verb == root || sub.Hidden || top == "inspect" {
				continue
			}
			forms := name + " " + sub.Name()
			for _, other := range sub.Aliases {
				forms += ", " + name + " " + other
			}
			forms += ", " + top
			note(sub, forms)
			note(verb, forms)
		}
	}
}

// topForm is a grouped verb's name without its group.
func topForm(group, verb string) string {
	switch group + " " + verb {
	case "container ls":
		return "ps"
	case "image ls":
		return "images"
	case "image rm":
		return "rmi"
	}
	return verb
}

func note(cmd *cobra.Command, forms string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[aliasOf] = forms
}

// override puts the flag's or the environment's directory, made absolute, over the configuration's.
func override(dir *string, flag, variable string) error {
	value := flag
	if value == "" {
		value = os.Getenv(variable)
	}
	if value == "" {
		return nil
	}
	abs, err := filepath.Abs(value)
	*dir = abs
	return err
}
