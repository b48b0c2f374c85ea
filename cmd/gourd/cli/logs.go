package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"gourd/cmd/gourd/internal/format"
	"gourd/cmd/gourd/internal/opts"
	"gourd/internal/engine"

	"github.com/spf13/cobra"
)

type logsFlags struct {
	follow, timestamps bool
	since, until, tail string
}

func newLogs(a *app) *cobra.Command {
	f := &logsFlags{}
	cmd := &cobra.Command{
		Use: "logs [OPTIONS] CONTAINER", Short: "Print a container's log",
		Args: exactArgs(1), ValidArgsFunction: a.completeContainer(anyState),
		RunE: func(cmd *cobra.Command, args []string) error { return a.logs(cmd.Context(), f, args[0]) },
	}
	fs := cmd.Flags()
	fs.BoolVarP(&f.follow, "follow", "f", false, "Go on until the container ends")
	fs.StringVar(&f.since, "since", "", "Begin at this time (2013-01-02T13:23:37Z) or so long ago (42m)")
	fs.StringVar(&f.until, "until", "", "End at this time (2013-01-02T13:23:37Z) or so long ago (42m)")
	fs.StringVarP(&f.tail, "tail", "n", "all", "Number of lines from the end")
	fs.BoolVarP(&f.timestamps, "timestamps", "t", false, "Put the time before each line")
	refuse(cmd, notYet, "details bool")
	return cmd
}

func (f *logsFlags) options(now time.Time) (o engine.LogOptions, err error) {
	o = engine.LogOptions{Follow: f.follow, Tail: -1, Stdout: true, Stderr: true}
	if f.since != "" {
		if o.Since, err = opts.Time(f.since, now); err != nil {
			return o, fmt.Errorf("--since: %w", err)
		}
	}
	if f.until != "" {
		if o.Until, err = opts.Time(f.until, now); err != nil {
			return o, fmt.Errorf("--until: %w", err)
		}
	}
	// docker takes everything that is no number, and negative numbers, for "all".
	if n, err := strconv.Atoi(f.tail); err == nil && n >= 0 {
		o.Tail = n
	} else if err != nil && f.tail != "all" && f.tail != "" {
		return o, fmt.Errorf("--tail %s: it must be a number or all", f.tail)
	}
	return o, nil
}

func (a *app) logs(ctx context.Context, f *logsFlags, ref string) error {
	o, err := f.options(time.Now())
	if err != nil {
		return err
	}
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	p := newLogPrinter(a.out, a.err, f)
	err = e.Logs(ctx, ref, o, p.print)
	return errors.Join(err, p.flush())
}

// logPrinter writes entries to the streams they came from, byte for byte and in their order, also where
// both streams are one file. What isn't followed is written in large pieces.
type logPrinter struct {
	streams    [2]*bufio.Writer
	last       int
	prompt     bool // somebody is watching: every entry is written at once
	timestamps bool
	within     [2]bool // the stream's line goes on: no time before the next piece
}

func newLogPrinter(out, err io.Writer, f *logsFlags) *logPrinter {
	return &logPrinter{
		streams: [2]*bufio.Writer{bufio.NewWriterSize(out, 64<<10), bufio.NewWriterSize(err, 64<<10)},
		prompt:  f.follow, timestamps: f.timestamps,
	}
}

func (p *logPrinter) print(entry engine.LogEntry, notice error) error {
	stream := 0
	if entry.Stderr || notice != nil {
		stream = 1
	}
	if stream != p.last || p.prompt {
		if err := p.streams[p.last].Flush(); err != nil {
			return err
		}
		p.last = stream
	}
	w := p.streams[stream]
	if notice != nil {
		fmt.Fprintf(w, "gourd: notice: %s\n", oneLine(notice))
		return w.Flush()
	}
	if p.timestamps && !p.within[stream] {
		w.WriteString(format.Fixed(entry.Time) + " ")
	}
	p.within[stream] = entry.Partial
	if _, err := w.Write(entry.Data); err != nil || !p.prompt {
		return err
	}
	return w.Flush()
}

func (p *logPrinter) flush() error { return p.streams[p.last].Flush() }
