// Package format prints lists and objects as docker does: aligned tables, Go templates with docker's
// functions, JSON.
package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/template"
	"unicode"
)

// JSON writes v without a line's end and without escaping < > &, as docker's json function does.
func JSON(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// functions are those that docker gives to templates beside Go's own.
func functions() template.FuncMap {
	return template.FuncMap{
		"json": JSON, "split": strings.Split, "join": join, "title": title,
		"lower": strings.ToLower, "upper": strings.ToUpper, "pad": pad, "truncate": truncate,
	}
}

// headings make a table's header from the same template: they leave a column's name alone.
func headings() template.FuncMap {
	same := func(s string, _ ...any) string { return s }
	return template.FuncMap{"json": same, "split": same, "join": same, "title": same, "lower": same, "upper": same, "truncate": same}
}

func join(list any, separator string) (string, error) {
	v := reflect.ValueOf(list)
	switch v.Kind() {
	case reflect.Invalid:
		return "", nil
	case reflect.Slice, reflect.Array:
	default:
		return "", fmt.Errorf("join needs a list, not a %s", v.Kind())
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = fmt.Sprint(v.Index(i).Interface())
	}
	return strings.Join(parts, separator), nil
}

func title(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		upper := start && unicode.IsLetter(r)
		start = !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '\''
		if upper {
			return unicode.ToTitle(r)
		}
		return r
	}, s)
}

func pad(s string, before, after int) string {
	if s == "" {
		return ""
	}
	return strings.Repeat(" ", max(before, 0)) + s + strings.Repeat(" ", max(after, 0))
}

func truncate(s string, n int) string {
	if n < 0 || len(s) <= n {
		return s
	}
	return s[:n]
}

// parse makes a template. The escapes \t and \n are docker's: shells pass them on as two characters.
func parse(text string) (*template.Template, error) {
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.Trim(text, " "))
	t, err := template.New("").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read --format: %w", err)
	}
	return t, nil
}

// Object is a template for one object at a time: inspect, info, version.
type Object struct{ t *template.Template }

// ParseObject reads a --format; "json" means the whole object.
func ParseObject(text string) (*Object, error) {
	if text == "json" {
		text = "{{json .}}"
	}
	t, err := parse(text)
	if err != nil {
		return nil, err
	}
	return &Object{t}, nil
}

// Execute writes v and a line's end. A field that v's type has not is looked for under its JSON name
// (docker: `{{.Id}}` and `{{.ID}}` both work). Errors name the field.
func (o *Object) Execute(w io.Writer, v any) error {
	var b bytes.Buffer
	first := o.t.Execute(&b, v)
	if first != nil {
		raw, err := decoded(v)
		if err != nil {
			return err
		}
		b.Reset()
		if err := o.t.Option("missingkey=error").Execute(&b, raw); err != nil {
			return fmt.Errorf("fill in --format: %w", err)
		}
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(w)
	return err
}

// decoded is v as its JSON reads.
func decoded(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var raw any
	err = dec.Decode(&raw)
	return raw, err
}
