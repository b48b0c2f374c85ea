package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// value is a flag whose text is read by parse; each use hands the result to set.
type value[T any] struct {
	kind  string // what the help calls it
	parse func(string) (T, error)
	set   func(T)
}

func (v *value[T]) Set(s string) error {
	t, err := v.parse(s)
	if err == nil {
		v.set(t)
	}
	return err
}

func (v *value[T]) String() string { return "" }
func (v *value[T]) Type() string   { return v.kind }

// one keeps the last use's value, list all of them.
func one[T any](p *T, kind string, parse func(string) (T, error)) pflag.Value {
	return &value[T]{kind, parse, func(t T) { *p = t }}
}

func list[T any](p *[]T, kind string, parse func(string) (T, error)) pflag.Value {
	return &value[T]{kind, parse, func(t T) { *p = append(*p, t) }}
}

// texts is a list of texts as they stand: no commas are split.
func texts(p *[]string) pflag.Value {
	return list(p, "list", func(s string) (string, error) { return s, nil })
}

// dictionary collects K=V texts; a later K wins.
func dictionary(p *map[string]string, parse func(string) (string, string, error)) pflag.Value {
	return &value[[2]string]{"map", func(s string) (kv [2]string, err error) {
		kv[0], kv[1], err = parse(s)
		return kv, err
	}, func(kv [2]string) {
		if *p == nil {
			*p = map[string]string{}
		}
		(*p)[kv[0]] = kv[1]
	}}
}

// refused is a flag of docker's that gourd knows and does not do. It takes its value, if it has one, and
// then says so by name; never does it stand for nothing.
type refused struct {
	kind, why string
	harmless  string // a value that asks for what gourd does anyway
}

func (r *refused) Set(s string) error {
	if r.harmless != "" && s == r.harmless {
		return nil
	}
	return errors.New(r.why)
}

func (r *refused) String() string { return "" }
func (r *refused) Type() string   { return r.kind }

const (
	notYet = "not supported yet"
	never  = "not supported"
)

// refuse adds such flags to a command. Each line is "name kind" or "name,shorthand kind"; the help
// leaves them out.
func refuse(cmd *cobra.Command, why string, lines ...string) {
	for _, line := range lines {
		names, kind, _ := strings.Cut(line, " ")
		name, short, _ := strings.Cut(names, ",")
		f := cmd.Flags().VarPF(&refused{kind: kind, why: why}, name, short, why)
		if kind == "bool" {
			f.NoOptDefVal = "true"
		}
		f.Hidden = true
	}
}

// flagError turns pflag's errors into gourd's: the flag, the value, the reason. Docker's exit code is
// 125 for every verb; what is refused by name is an error like any other, except on the way to a container.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return &exitError{125, &usageError{err}}
	}
	name := "--" + invalid.GetFlag().Name
	if r, ok := invalid.GetFlag().Value.(*refused); ok {
		err := fmt.Errorf("%s is %s", name, r.why)
		if cmd.Name() == "run" || cmd.Name() == "create" {
			return &exitError{125, err}
		}
		return err
	}
	return &exitError{125, &usageError{fmt.Errorf("%s %s: %w", name, invalid.GetValue(), invalid.Unwrap())}}
}

// isFlagError says whether pflag made the error: cobra doesn't hand those of the flags before the verb to flagError.
func isFlagError(err error) bool {
	var (
		invalid *pflag.InvalidValueError
		unknown *pflag.NotExistError
		lacking *pflag.ValueRequiredError
		syntax  *pflag.InvalidSyntaxError
	)
	return errors.As(err, &invalid) || errors.As(err, &unknown) || errors.As(err, &lacking) || errors.As(err, &syntax)
}
