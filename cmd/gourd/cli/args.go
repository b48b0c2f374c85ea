package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// noArgs, exactArgs and minArgs count a verb's arguments; docker's exit code for a wrong number is 1.
func noArgs(cmd *cobra.Command, args []string) error { return exactArgs(0)(cmd, args) }

func exactArgs(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case n == 0:
			return &usageError{errors.New("it takes no arguments")}
		}
		return &usageError{fmt.Errorf("it needs %s", arguments(n))}
	}
}

func minArgs(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return &usageError{fmt.Errorf("it needs at least %s", arguments(n))}
	}
}

func rangeArgs(least, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return &usageError{fmt.Errorf("it needs %d to %s", least, arguments(most))}
	}
}

func arguments(n int) string {
	if n == 1 {
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

// parallel runs do for each of list, at most `limit` at once, and then done for each in the list's order.
func parallel[T any](list []string, limit int, do func(string) (T, error), done func(string, T, error)) {
	type result struct {
		value T
		err   error
	}
	slots := make(chan struct{}, limit)
	results := make([]chan result, len(list))
	for i, item := range list {
		results[i] = make(chan result, 1)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			value, err := do(item)
			results[i] <- result{value, err}
		}()
	}
	for i, item := range list {
		r := <-results[i]
		done(item, r.value, r.err)
	}
}
