package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"gourd/internal/container"

	"github.com/spf13/cobra"
)

// exitError ends gourd with this exit code. Without an error it says nothing: the exit code of a
// container's process, or errors that were printed already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit is the error that ends gourd with code, nil for 0.
func exit(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// misuse is docker's exit code for flags that can't be: 125, for every verb.
func misuse(format string, args ...any) error {
	return &exitError{code: 125, err: fmt.Errorf(format, args...)}
}

// starting gives an error on the way to a container's process its exit code: 127 and 126 where its
// program was at fault, else 125.
func starting(err error) error {
	if err == nil {
		return nil
	}
	var coded *exitError
	if errors.As(err, &coded) {
		return err
	}
	return &exitError{code: container.ExitCode(err), err: err}
}

// report prints err as one line and gives gourd's exit code.
func report(w io.Writer, cmd *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	var coded *exitError
	if isFlagError(err) && !errors.As(err, &coded) {
		err = flagError(cmd, err)
	}
	code := 1
	if errors.As(err, &coded) {
		if code = coded.code; coded.err == nil {
			return code
		}
	}
	var usage *usageError
	if errors.As(err, &usage) {
		path := cmd.CommandPath()
		_, verb, found := strings.Cut(path, " ")
		separator := ": "
		if cmd.HasSubCommands() {
			separator = " " // the error begins with the unknown command's name
		}
		if found {
			verb += separator
		}
		fmt.Fprintf(w, "gourd: %s%s (see '%s --help')\n", verb, oneLine(err), path)
		return code
	}
	fmt.Fprintf(w, "gourd: %s\n", oneLine(err))
	return code
}

func oneLine(err error) string { return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ") }

// usageError is a command line that can't be understood: its verb's usage is shown with it.
type usageError struct{ err error }

func (u *usageError) Error() string { return u.err.Error() }
func (u *usageError) Unwrap() error { return u.err }

// failures collects the errors of a verb that works on several objects: each is printed when it
// happens, the others go on, and the exit code is 1.
type failures struct {
	a      *app
	failed bool
}

func (f *failures) add(err error) {
	if err != nil {
		f.failed = true
		fmt.Fprintf(f.a.err, "gourd: %s\n", oneLine(err))
	}
}

func (f *failures) result() error {
	if f.failed {
		return exit(1)
	}
	return nil
}
