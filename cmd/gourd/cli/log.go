package cli

import (
	"context"
	"io"
	"log/slog"
	"strings"
)

// lineHandler writes what the engine has to say beside errors as gourd's own lines: "gourd: warning: …".
type lineHandler struct {
	w     io.Writer
	level slog.Level
	attrs string // of With, already written out
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString("gourd: " + levelWord(r.Level) + ": " + r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(attrText(a))
		return true
	})
	_, err := io.WriteString(h.w, strings.ReplaceAll(b.String(), "\n", "; ")+"\n")
	return err
}

// WithAttrs and WithGroup are what slog.Handler asks for; groups are not shown.
func (h *lineHandler) WithAttrs(list []slog.Attr) slog.Handler {
	more := *h
	for _, a := range list {
		more.attrs += attrText(a)
	}
	return &more
}

func (h *lineHandler) WithGroup(string) slog.Handler { return h }

func attrText(a slog.Attr) string { return ", " + a.Key + " " + a.Value.String() }

func levelWord(l slog.Level) string {
	if l == slog.LevelWarn {
		return "warning"
	}
	return strings.ToLower(l.String())
}
