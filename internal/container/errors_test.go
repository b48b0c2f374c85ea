package container

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&Error{Verb: "start container", Object: "web", Kind: ErrRunning}, "start container web: already running"},
		{&Error{Verb: "read", Object: "f", Cause: io.EOF, Hint: "try again"}, "read f: EOF; try again"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q; want %q", got, c.want)
		}
	}
}

func TestKindsSurviveTheWire(t *testing.T) {
	for name, kind := range kinds {
		err := fmt.Errorf("around: %w", &Error{Verb: "do", Kind: kind, Cause: io.EOF})
		if got := KindName(err); got != name {
			t.Errorf("KindName(%v) = %q; want %q", err, got, name)
		}
		if !errors.Is(FromKind(name, "text"), kind) {
			t.Errorf("FromKind(%q) does not wrap its sentinel", name)
		}
	}
	if got := ExitCode(FromKind("no-command", "")); got != 127 {
		t.Errorf("exit code of a missing command: %d", got)
	}
	if got := ExitCode(FromKind("not-executable", "")); got != 126 {
		t.Errorf("exit code of a non-executable command: %d", got)
	}
	if got := ExitCode(io.EOF); got != 125 {
		t.Errorf("exit code of any other error: %d", got)
	}
}
