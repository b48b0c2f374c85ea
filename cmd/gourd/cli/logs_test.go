package cli

import (
	"strings"
	"testing"
	"time"

	"gourd/internal/engine"
)

func TestLogPrinter(t *testing.T) {
	start := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	at := func(n int) time.Time { return start.Add(time.Duration(n)) }
	var out, errs strings.Builder
	p := newLogPrinter(&out, &errs, &logsFlags{timestamps: true})
	for _, e := range []engine.LogEntry{
		{Time: at(1), Data: []byte("one\n")},
		{Time: at(2), Data: []byte("long "), Partial: true},
		{Time: at(3), Stderr: true, Data: []byte("err\n")},
		{Time: at(4), Data: []byte("line\n")},
		{Time: at(5), Data: []byte("two")},
	} {
		if err := p.print(e, nil); err != nil {
			t.Fatal(err)
		}
	}
	p.flush()
	want := "2026-01-02T12:00:00.000000001Z one\n2026-01-02T12:00:00.000000002Z long line\n2026-01-02T12:00:00.000000005Z two"
	if out.String() != want || errs.String() != "2026-01-02T12:00:00.000000003Z err\n" {
		t.Errorf("out %q\nerr %q", out.String(), errs.String())
	}
}
