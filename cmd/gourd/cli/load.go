package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"gourd/cmd/gourd/internal/format"
	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/image"

	"github.com/spf13/cobra"
)

func newLoad(a *app) *cobra.Command {
	var input string
	var quiet bool
	cmd := &cobra.Command{
		Use: "load [OPTIONS]", Short: "Load images from an archive", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.load(cmd.Context(), input, quiet) },
	}
	fs := cmd.Flags()
	fs.StringVarP(&input, "input", "i", "", "Read from this file in place of standard input")
	fs.BoolVarP(&quiet, "quiet", "q", false, "Don't show progress")
	refuse(cmd, notYet, "platform string")
	return cmd
}

func (a *app) load(ctx context.Context, input string, quiet bool) error {
	from := a.in
	if input != "" {
		f, err := os.Open(input)
		if err != nil {
			return fmt.Errorf("load images: %w", err)
		}
		defer f.Close()
		from = f
	} else if terminal.Is(a.in) {
		return errors.New("load images: standard input is a terminal: give a file with -i, or pipe an archive in")
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	var progress image.Progress
	if !quiet && terminal.Is(a.err) {
		progress = a.showLayer
	}
	loaded, err := e.Load(ctx, from, progress)
	if err != nil {
		return err
	}
	for _, l := range loaded {
		a.printLoaded(l)
	}
	return nil
}

func (a *app) showLayer(e image.Event) {
	done := "unpacked"
	if e.Exists {
		done = "already here"
	}
	fmt.Fprintf(a.err, "%s  %10s  %s\n", format.ShortID(string(e.Layer)), format.Size(e.Size), done)
}

// printLoaded says what came, and which image lost its name for it.
func (a *app) printLoaded(l image.Loaded) {
	for _, name := range slices.Sorted(maps.Keys(l.Replaced)) {
		fmt.Fprintf(a.out, "The name %s was taken from image %s, which is kept without it\n", name, l.Replaced[name])
	}
	for _, name := range l.Names {
		fmt.Fprintf(a.out, "Loaded image: %s\n", name)
	}
	if len(l.Names) == 0 {
		fmt.Fprintf(a.out, "Loaded image ID: %s\n", l.ID)
	}
}
