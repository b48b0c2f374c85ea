package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gourd/cmd/gourd/internal/opts"
	"gourd/cmd/gourd/internal/rows"

	"github.com/spf13/cobra"
)

type imagesFlags struct {
	all, digests, noTrunc, quiet bool
	format                       string
	filters                      map[string][]string
}

func newImages(a *app) *cobra.Command {
	f := &imagesFlags{}
	cmd := &cobra.Command{
		Use: "images [OPTIONS] [REPOSITORY[:TAG]]", Short: "List images", Args: rangeArgs(0, 1), ValidArgsFunction: a.completeImage,
		RunE: func(cmd *cobra.Command, args []string) error { return a.images(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&f.all, "all", "a", false, "Show all images (there are no hidden ones)")
	fs.BoolVar(&f.digests, "digests", false, "Show digests")
	fs.VarP(filters(&f.filters), "filter", "f", "Show those with name=value (dangling, label, before, since, until, reference)")
	fs.StringVar(&f.format, "format", "", formatUsage)
	fs.BoolVar(&f.noTrunc, "no-trunc", false, "Don't shorten anything")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "Print ids only")
	refuse(cmd, notYet, "tree bool")
	return cmd
}

func (a *app) images(ctx context.Context, f *imagesFlags, args []string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	if err := f.completeFilters(args, time.Now()); err != nil {
		return err
	}
	list, err := e.ListImages(ctx, f.filters)
	if err != nil {
		return err
	}
	var lines []rows.Image
	o := rows.ImageOptions{Digests: f.digests || strings.Contains(f.format, ".Digest"), Long: f.noTrunc}
	for _, sum := range list {
		lines = append(lines, rows.NewImages(sum, o, time.Now())...)
	}
	table := rows.Images
	if f.digests {
		table.Columns = strings.Replace(table.Columns, `{{.Tag}}\t`, `{{.Tag}}\t{{.Digest}}\t`, 1)
	}
	return table.Write(a.out, f.format, f.quiet, lines)
}

// completeFilters adds the argument, a name or pattern, and spells times out.
func (f *imagesFlags) completeFilters(args []string, now time.Time) error {
	if len(args) > 0 {
		if f.filters == nil {
			f.filters = map[string][]string{}
		}
		f.filters["reference"] = append(f.filters["reference"], args[0])
	}
	for i, s := range f.filters["until"] {
		t, err := opts.Time(s, now)
		if err != nil {
			return fmt.Errorf("--filter until: %w", err)
		}
		f.filters["until"][i] = t.Format(time.RFC3339Nano)
	}
	return nil
}
