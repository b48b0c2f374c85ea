package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gourd/cmd/gourd/internal/format"
	"gourd/cmd/gourd/internal/opts"
	"gourd/internal/image"

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

// imageRow is one line of images: an image under one of its names. Fields stand in the alphabet's order.
type imageRow struct {
	Containers, CreatedAt, CreatedSince, Digest, ID, Repository, SharedSize, Size, Tag, UniqueSize string
}

var imageList = format.List[imageRow]{
	Columns: `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`, Quiet: "{{.ID}}",
	Header: imageRow{
		Containers: "CONTAINERS", CreatedAt: "CREATED AT", CreatedSince: "CREATED", Digest: "DIGEST", ID: "IMAGE ID", Repository: "REPOSITORY",
		SharedSize: "SHARED SIZE", Size: "SIZE", Tag: "TAG", UniqueSize: "UNIQUE SIZE",
	},
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
	var rows []imageRow
	now := time.Now()
	for _, sum := range list {
		rows = append(rows, newImageRows(sum, f, now)...)
	}
	table := imageList
	if f.digests {
		table.Columns = strings.Replace(table.Columns, `{{.Tag}}\t`, `{{.Tag}}\t{{.Digest}}\t`, 1)
	}
	return table.Write(a.out, f.format, f.quiet, rows)
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

const none = "<none>"

// newImageRows gives a line for each name of an image; with --digests one for each of a name's digests.
func newImageRows(sum *image.Summary, f *imagesFlags, now time.Time) []imageRow {
	row := imageRow{
		Containers: "N/A", CreatedAt: format.Timestamp(sum.Created), CreatedSince: format.Ago(sum.Created, now), Digest: none, ID: string(sum.ID),
		Repository: none, SharedSize: "N/A", Size: format.Size(sum.Size), Tag: none, UniqueSize: "N/A",
	}
	if !f.noTrunc {
		row.ID = format.ShortID(row.ID)
	}
	digests := map[string][]string{}
	for _, d := range sum.RepoDigests {
		repository, digest, _ := strings.Cut(d, "@")
		digests[repository] = append(digests[repository], digest)
	}
	showDigests := f.digests || strings.Contains(f.format, ".Digest")
	var rows []imageRow
	for _, tag := range sum.RepoTags {
		i := strings.LastIndexByte(tag, ':')
		row.Repository, row.Tag = tag[:i], tag[i+1:]
		rows = append(rows, withDigests(row, digests[row.Repository], showDigests)...)
		delete(digests, row.Repository)
	}
	row.Tag = none
	for _, d := range sum.RepoDigests {
		row.Repository, _, _ = strings.Cut(d, "@")
		if list := digests[row.Repository]; list != nil {
			rows = append(rows, withDigests(row, list, showDigests)...)
			delete(digests, row.Repository)
		}
	}
	if len(rows) == 0 {
		row.Repository = none
		return []imageRow{row}
	}
	return rows
}

func withDigests(row imageRow, digests []string, show bool) []imageRow {
	if !show || len(digests) == 0 {
		return []imageRow{row}
	}
	rows := make([]imageRow, len(digests))
	for i, d := range digests {
		rows[i] = row
		rows[i].Digest = d
	}
	return rows
}
