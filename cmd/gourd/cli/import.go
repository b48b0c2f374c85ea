package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"gourd/cmd/gourd/internal/opts"
	"gourd/internal/image"

	"github.com/spf13/cobra"
)

type importFlags struct {
	changes           []string
	message, platform string
}

func newImport(a *app) *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use: "import [OPTIONS] file|- [REPOSITORY[:TAG]]", Short: "Make an image from the tar of a root filesystem", Args: rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.importImage(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.VarP(texts(&f.changes), "change", "c", "Set something of the image by a Dockerfile instruction (CMD, ENV, USER …)")
	fs.StringVarP(&f.message, "message", "m", "", "Message in the image's history")
	fs.Var(one(&f.platform, "string", opts.Platform), "platform", "Platform that the image is for: os[/arch[/variant]]")
	return cmd
}

func (a *app) importImage(ctx context.Context, f *importFlags, args []string) error {
	var from io.Reader = a.in
	switch source := args[0]; {
	case source == "-":
	case strings.HasPrefix(source, "http://"), strings.HasPrefix(source, "https://"):
		return fmt.Errorf("import from a URL is %s: fetch %s and import the file", notYet, source)
	default:
		file, err := os.Open(source)
		if err != nil {
			return fmt.Errorf("import image: %w", err)
		}
		defer file.Close()
		from = file
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	o := image.ImportOptions{Changes: f.changes, Message: f.message, Platform: imagePlatform(f.platform)}
	if len(args) == 2 {
		o.Ref = args[1]
	}
	made, err := e.Import(ctx, from, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out, made.ID)
	return nil
}

// imagePlatform splits a checked --platform.
func imagePlatform(s string) image.Platform {
	parts := strings.SplitN(s+"//", "/", 4)
	return image.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}
