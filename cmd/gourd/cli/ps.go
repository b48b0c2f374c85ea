package cli

import (
	"context"
	"strings"
	"time"

	"gourd/cmd/gourd/internal/rows"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

type psFlags struct {
	all, latest, noTrunc, quiet, size bool
	last                              int
	format                            string
	filters                           map[string][]string
}

func newPs(a *app) *cobra.Command {
	f := &psFlags{}
	cmd := &cobra.Command{
		Use: "ps [OPTIONS]", Short: "List containers", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ps(cmd.Context(), f) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&f.all, "all", "a", false, "Show all containers, not only the running ones")
	fs.VarP(filters(&f.filters), "filter", "f", "Show those with name=value (id, name, label, status, exited, ancestor, before, since, network, volume)")
	fs.StringVar(&f.format, "format", "", formatUsage)
	fs.IntVarP(&f.last, "last", "n", -1, "Show the n newest, whatever their state")
	fs.BoolVarP(&f.latest, "latest", "l", false, "Show the newest, whatever its state")
	fs.BoolVar(&f.noTrunc, "no-trunc", false, "Don't shorten anything")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "Print ids only")
	fs.BoolVarP(&f.size, "size", "s", false, "Show sizes on disk")
	return cmd
}

const formatUsage = `Print by a Go template; "table", "table TEMPLATE" or "json"`

func (a *app) ps(ctx context.Context, f *psFlags) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	o := engine.ListOptions{All: f.all, Filters: f.filters, Size: f.size || strings.Contains(f.format, ".Size")}
	if f.last > 0 {
		o.Last = f.last
	}
	if f.latest {
		o.Last = 1
	}
	list, err := e.List(ctx, o)
	if err != nil {
		return err
	}
	lines, now := make([]rows.Container, len(list)), time.Now()
	for i := range list {
		lines[i] = rows.NewContainer(&list[i], now, !f.noTrunc)
	}
	table := rows.Containers
	if f.size {
		table.Columns += `\t{{.Size}}`
	}
	return table.Write(a.out, f.format, f.quiet, lines)
}
