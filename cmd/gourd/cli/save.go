package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gourd/cmd/gourd/internal/terminal"

	"github.com/spf13/cobra"
)

func newSave(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "save [OPTIONS] IMAGE [IMAGE...]", Short: "Write images to an archive", Args: minArgs(1), ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error { return a.save(cmd.Context(), output, args) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to this file in place of standard output")
	refuse(cmd, notYet, "platform string")
	return cmd
}

func (a *app) save(ctx context.Context, output string, refs []string) error {
	if output == "" && terminal.Is(a.out) {
		return errors.New("save images: standard output is a terminal: give a file with -o, or redirect it")
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	if output == "" {
		return e.Save(ctx, a.out, refs)
	}
	return writeWhole(output, func(f *os.File) error { return e.Save(ctx, f, refs) })
}

// writeWhole writes a file that is there whole or not at all: beside it first, then renamed.
func writeWhole(path string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save images: %w", err)
	}
	defer os.Remove(f.Name())
	if err := errors.Join(write(f), f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
