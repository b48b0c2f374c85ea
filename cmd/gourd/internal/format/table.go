package format

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"
)

// List prints rows of one type, in docker's ways: a table, a template per row, or JSON per row.
type List[Row any] struct {
	// Columns is the template of the default table, without "table ".
	Columns string
	// Header is a row whose fields hold the columns' names.
	Header Row
	// Quiet is the template of -q.
	Quiet string
}

// Write prints rows in the form that --format (text) and -q ask for. A form of the user's own wins over
// a plain table but not over quiet, as docker's does.
func (l List[Row]) Write(w io.Writer, text string, quiet bool, rows []Row) error {
	table := true
	switch {
	case quiet:
		text, table = l.Quiet, false
	case text == "" || text == "table":
		text = l.Columns
	case text == "json":
		text, table = "{{json .}}", false
	default:
		text, table = strings.CutPrefix(text, "table")
	}
	t, err := parse(text)
	if err != nil {
		return err
	}
	if table {
		return l.table(w, t, rows)
	}
	return lines(w, t, rows)
}

func lines[Row any](w io.Writer, t *template.Template, rows []Row) error {
	var b bytes.Buffer
	for _, r := range rows {
		if err := t.Execute(&b, r); err != nil {
			return fmt.Errorf("fill in --format: %w", err)
		}
		b.WriteByte('\n')
	}
	_, err := b.WriteTo(w)
	return err
}

// table aligns columns as docker does: ten wide at least, three blanks between.
func (l List[Row]) table(w io.Writer, t *template.Template, rows []Row) error {
	var body bytes.Buffer
	if err := lines(&body, t, rows); err != nil {
		return err
	}
	header, err := t.Clone()
	if err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	if err := header.Funcs(headings()).Execute(tw, l.Header); err != nil {
		return fmt.Errorf("fill in --format's header: %w", err)
	}
	io.WriteString(tw, "\n")
	if _, err := body.WriteTo(tw); err != nil {
		return err
	}
	return tw.Flush()
}
