package cli

import (
	"context"
	"fmt"
	"os"

	"gourd/cmd/gourd/internal/explain"
	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

type explainFlags struct{ dryRun, json bool }

func newExplain(a *app) *cobra.Command {
	f := &explainFlags{}
	cmd := &cobra.Command{
		Use: "explain [OPTIONS] CONTAINER", Short: "Show how a container was made and what it looks like from both sides",
		Long: `Show how a container was made, step by step with the system calls, and then what it looks like from
the host and from inside: pids, users, root, limits, and which namespaces are its own.

With --dry-run, show what a run would do; nothing is made.`,
		Example: "  gourd explain web\n  gourd explain --dry-run run --rm -m 64m gourd/hello",
		Args:    minArgs(1), ValidArgsFunction: a.completeContainer(anyState),
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), f, args) },
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false)
	fs.BoolVar(&f.dryRun, "dry-run", false, `Explain a "run" that is not done: gourd explain --dry-run run [OPTIONS] IMAGE …`)
	fs.BoolVar(&f.json, "json", false, "Print as JSON")
	return cmd
}

func (a *app) explain(ctx context.Context, f *explainFlags, args []string) error {
	explanation, err := a.findExplanation(ctx, f, args)
	if err != nil {
		return err
	}
	if f.json {
		return a.printJSON(explanation)
	}
	return explain.Print(a.out, explanation, explain.Options{
		Width:   min(max(terminal.Width(a.out, 100), 80), 120),
		Colour:  terminal.Is(a.out) && os.Getenv("NO_COLOR") == "",
		Planned: f.dryRun,
	})
}

func (a *app) findExplanation(ctx context.Context, f *explainFlags, args []string) (*engine.Explanation, error) {
	if f.dryRun {
		return a.plan(ctx, args)
	}
	if len(args) > 1 {
		return nil, &usageError{fmt.Errorf("it explains one container; for a run that is not done, say --dry-run")}
	}
	e, err := a.engine(ctx)
	if err != nil {
		return nil, err
	}
	return e.Explain(ctx, args[0])
}

// plan reads a run's command line as run does and asks the engine what it would do.
func (a *app) plan(ctx context.Context, args []string) (*engine.Explanation, error) {
	if args[0] != "run" && args[0] != "create" {
		return nil, &usageError{fmt.Errorf("--dry-run explains run and create, not %q", args[0])}
	}
	f := &runFlags{}
	run := &cobra.Command{Use: args[0]}
	f.addTo(run)
	if err := run.ParseFlags(args[1:]); err != nil {
		return nil, flagError(run, err)
	}
	request, err := f.request(a, run.Flags().Args())
	if err != nil {
		return nil, err
	}
	e, err := a.engine(ctx)
	if err != nil {
		return nil, starting(err)
	}
	explanation, err := e.Plan(ctx, request)
	return explanation, starting(err)
}
