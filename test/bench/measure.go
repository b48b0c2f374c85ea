package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// bench is one run of the benchmark.
type bench struct {
	options
	dir    string // everything is below it
	report *report
	undo   []func()        // for the end of the case
	docker *dockerd        // nil: not running
	loaded map[string]bool // engines that have the image
}

// later remembers what has to be undone at the end of the case.
func (b *bench) later(f func()) { b.undo = append(b.undo, f) }

// tidy undoes what later was told, the newest first.
func (b *bench) tidy() {
	for len(b.undo) > 0 {
		last := len(b.undo) - 1
		f := b.undo[last]
		b.undo = b.undo[:last]
		f()
	}
}

// benchCase is one line of the budget: the same work, done by each contender.
type benchCase struct {
	name  string
	what  string // for people
	unit  string // of the figures
	goals []goal
	// enter makes the contenders ready. One that isn't installed or can't do the work is left out with
	// the reason, through skip.
	enter func(ctx context.Context, b *bench) ([]contender, error)
	// rounds of this case for -n rounds.
	rounds func(n int) int
	higher bool // the larger figure is the better one
	slow   bool // too slow for a warm-up
}

// contender does the work once and gives its figure.
type contender struct {
	name string
	once func(ctx context.Context) (sample, error)
}

// sample is the outcome of one round.
type sample struct {
	value float64       // in the case's unit
	cpu   time.Duration // user and system, of the whole tree
}

// run measures one case: a warm-up of each contender, then rounds in random order. A contender whose
// first time fails is left out with the reason; a later failure ends the benchmark.
func (b *bench) run(ctx context.Context, c benchCase) error {
	defer b.tidy()
	ready, err := c.enter(ctx, b)
	if err != nil {
		return err
	}
	if !c.slow {
		if ready, err = b.round(ctx, c, ready, nil); err != nil {
			return err
		}
	}
	rounds := b.rounds
	if c.rounds != nil {
		rounds = max(1, c.rounds(rounds))
	}
	samples := map[string][]sample{}
	for range rounds {
		if ready, err = b.round(ctx, c, ready, samples); err != nil {
			return err
		}
	}
	for _, k := range ready {
		b.report.add(c, k.name, samples[k.name])
	}
	b.report.judge(c)
	return nil
}

// round lets each contender do the work once, in random order, and gives those that are still in.
func (b *bench) round(ctx context.Context, c benchCase, ready []contender, samples map[string][]sample) ([]contender, error) {
	failed := map[string]bool{}
	for _, i := range rand.Perm(len(ready)) {
		name := ready[i].name
		s, err := ready[i].once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, errors.New("stopped")
		case err != nil && len(samples[name]) > 0:
			return nil, fmt.Errorf("%s: %w", name, err)
		case err != nil:
			b.skip(c.name, name, err.Error())
			failed[name] = true
		case samples != nil:
			samples[name] = append(samples[name], s)
		}
	}
	return slices.DeleteFunc(ready, func(k contender) bool { return failed[k.name] }), nil
}

func (b *bench) skip(name, contender, why string) {
	b.report.Skipped = append(b.report.Skipped, skipped{Case: name, Contender: contender, Why: why})
	if !b.json {
		fmt.Fprintf(os.Stderr, "%s: without %s: %s\n", name, contender, why)
	}
}

// quantile of sorted values, by the nearest rank.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func sortedValues(samples []sample) []float64 {
	v := make([]float64, len(samples))
	for i, s := range samples {
		v[i] = s.value
	}
	slices.Sort(v)
	return v
}
