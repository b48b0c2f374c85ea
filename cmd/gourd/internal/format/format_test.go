package format

import (
	"strings"
	"testing"
	"time"
)

type row struct {
	ID, Labels, Name string
	labels           map[string]string
	header           bool
}

func (r row) Label(name string) string {
	if r.header {
		return name
	}
	return r.labels[name]
}

var list = List[row]{
	Columns: `{{.ID}}\t{{.Name}}`, Quiet: "{{.ID}}",
	Header: row{ID: "CONTAINER ID", Name: "NAMES", Labels: "LABELS", header: true},
}

func TestListForms(t *testing.T) {
	rows := []row{{ID: "0123456789ab", Name: "a", labels: map[string]string{"k": "v"}}, {ID: "ffff", Name: "<b>"}}
	tests := []struct{ name, form, want string }{
		{"default table", "", "CONTAINER ID   NAMES\n0123456789ab   a\nffff           <b>\n"},
		{"bare table", "table", "CONTAINER ID   NAMES\n0123456789ab   a\nffff           <b>\n"},
		{"own table", `table {{.Name}}\t{{.Label "k"}}`, "NAMES     k\na         v\n<b>       \n"},
		{"header keeps its words", `table {{lower .ID}}\t{{upper .Name}}`, "CONTAINER ID   NAMES\n0123456789ab   A\nffff           <B>\n"},
		{"template", `{{.Name}}\n-`, "a\n-\n<b>\n-\n"},
		{"json", "json", `{"ID":"0123456789ab","Labels":"","Name":"a"}` + "\n" + `{"ID":"ffff","Labels":"","Name":"<b>"}` + "\n"},
		{
			"functions", `{{title .Name}} {{pad .Name 1 2}}| {{truncate .ID 3}} {{join (split .ID "2") "+"}} {{json .Name}}{{println}}`,
			"A  a  | 012 01+3456789ab \"a\"\n\n<B>  <b>  | fff ffff \"<b>\"\n\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if err := list.Write(&b, tt.form, false, rows); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), tt.want)
			}
		})
	}
	var b strings.Builder
	if err := list.Write(&b, "table {{.Name}}", true, rows); err != nil || b.String() != "0123456789ab\nffff\n" {
		t.Errorf("quiet: %q, %v", b.String(), err)
	}
}

func TestListRefusesUnknownField(t *testing.T) {
	var b strings.Builder
	err := list.Write(&b, "{{.Nope}}", false, []row{{}})
	if err == nil || !strings.Contains(err.Error(), "Nope") || b.Len() != 0 {
		t.Errorf("error %v, output %q", err, b.String())
	}
	if err := list.Write(&b, "{{.ID", false, nil); err == nil {
		t.Error("a broken template is accepted")
	}
}

func TestObject(t *testing.T) {
	type state struct{ ExitCode int }
	v := struct {
		ID     string `json:"Id"`
		State  *state
		Labels map[string]string
		Big    int64
	}{"abc", &state{7}, map[string]string{"a.b": "c"}, 1 << 60}
	for form, want := range map[string]string{
		"{{.ID}}": "abc\n", "{{.Id}} {{.State.ExitCode}}": "abc 7\n", `{{index .Labels "x"}}`: "\n", `{{index .Labels "a.b"}}`: "c\n",
		"{{.Id}} {{.Big}}": "abc 1152921504606846976\n", "{{json .State}}": "{\"ExitCode\":7}\n",
		"json": `{"Id":"abc","State":{"ExitCode":7},"Labels":{"a.b":"c"},"Big":1152921504606846976}` + "\n",
	} {
		o, err := ParseObject(form)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := o.Execute(&b, v); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v; want %q", form, b.String(), err, want)
		}
	}
	o, _ := ParseObject("x{{.Nope}}")
	var b strings.Builder
	if err := o.Execute(&b, v); err == nil || !strings.Contains(err.Error(), "Nope") || b.Len() != 0 {
		t.Errorf("unknown key: %v, output %q", err, b.String())
	}
}

func TestWords(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for got, want := range map[string]string{
		Ago(now.Add(-90*time.Second), now): "About a minute ago", Ago(time.Time{}, now): "N/A",
		Since(now.Add(-2*time.Hour), now): "2 hours", Size(77900000): "77.9MB", Size(0): "0B",
		ShortID("sha256:" + strings.Repeat("0a", 32)): "0a0a0a0a0a0a", ShortID("abc"): "abc",
		Ellipsis("hello", 5): "hello", Ellipsis("hellö wörld", 5): "hell…", Ellipsis("ab", 1): "a",
		Fixed(now): "2026-01-02T03:04:05.000000000Z", Plural(1, "byte"): "1 byte", Plural(0, "byte"): "0 bytes",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
