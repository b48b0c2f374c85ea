package cli

import (
	"context"
	"strconv"
	"strings"
	"time"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

type historyFlags struct {
	human, noTrunc, quiet bool
	format                string
}

func newHistory(a *app) *cobra.Command {
	f := &historyFlags{}
	cmd := &cobra.Command{
		Use: "history [OPTIONS] IMAGE", Short: "Show how an image came about", Args: exactArgs(1), ValidArgsFunction: a.completeImage,
		RunE: func(cmd *cobra.Command, args []string) error { return a.history(cmd.Context(), f, args[0]) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.format, "format", "", formatUsage)
	fs.BoolVarP(&f.human, "human", "H", true, "Print sizes and times for people")
	fs.BoolVar(&f.noTrunc, "no-trunc", false, "Don't shorten anything")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "Print ids only")
	refuse(cmd, notYet, "platform string")
	return cmd
}

// historyRow is one line of history. Fields stand in the alphabet's order.
type historyRow struct {
	Comment, CreatedAt, CreatedBy, CreatedSince, ID, Size string
}

var historyList = format.List[historyRow]{
	Columns: `{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`, Quiet: "{{.ID}}",
	Header: historyRow{Comment: "COMMENT", CreatedAt: "CREATED AT", CreatedBy: "CREATED BY", CreatedSince: "CREATED", ID: "IMAGE", Size: "SIZE"},
}

func (a *app) history(ctx context.Context, f *historyFlags, ref string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	lines, err := e.History(ctx, ref)
	if err != nil {
		return err
	}
	rows, now := make([]historyRow, len(lines)), time.Now()
	for i := range lines {
		rows[i] = newHistoryRow(&lines[i], f, now)
	}
	table := historyList
	if !f.human {
		table.Columns = strings.Replace(table.Columns, ".CreatedSince", ".CreatedAt", 1)
	}
	return table.Write(a.out, f.format, f.quiet, rows)
}

func newHistoryRow(l *engine.HistoryLine, f *historyFlags, now time.Time) historyRow {
	var created time.Time
	if l.Created != nil {
		created = *l.Created
	}
	row := historyRow{
		Comment: l.Comment, CreatedAt: created.Local().Format(time.RFC3339), CreatedBy: strings.ReplaceAll(l.CreatedBy, "\t", " "),
		CreatedSince: format.Ago(created, now), ID: string(l.ID), Size: format.Size(l.Size),
	}
	// Build tools put times of 1970 into images that must come out the same; "56 years ago" says nothing.
	if created.Year() < 2000 {
		row.CreatedSince = "N/A"
	}
	if row.ID == "" {
		row.ID = "<missing>"
	}
	if !f.noTrunc {
		row.CreatedBy = format.Ellipsis(row.CreatedBy, 45)
		if l.ID != "" {
			row.ID = format.ShortID(row.ID)
		}
	}
	if !f.human {
		row.CreatedSince, row.Size = row.CreatedAt, strconv.FormatInt(l.Size, 10)
	}
	return row
}
