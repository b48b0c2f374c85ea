package cli

import (
	"context"
	"strings"
	"time"

	"gourd/cmd/gourd/internal/rows"

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

func (a *app) history(ctx context.Context, f *historyFlags, ref string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	lines, err := e.History(ctx, ref)
	if err != nil {
		return err
	}
	list, now := make([]rows.History, len(lines)), time.Now()
	for i := range lines {
		list[i] = rows.NewHistory(&lines[i], rows.HistoryOptions{Human: f.human, Long: f.noTrunc}, now)
	}
	table := rows.Histories
	if !f.human {
		table.Columns = strings.Replace(table.Columns, ".CreatedSince", ".CreatedAt", 1)
	}
	return table.Write(a.out, f.format, f.quiet, list)
}
