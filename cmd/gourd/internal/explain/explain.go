// Package explain lays out how a container was made, and both views of it, for a person.
package explain

import (
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/container"
	"gourd/internal/engine"
)

// Options say for what it is laid out.
type Options struct {
	Width   int  // columns
	Colour  bool // escape sequences may set text off
	Planned bool // of a container that isn't made
}

// Print writes an explanation.
func Print(w io.Writer, x *engine.Explanation, o Options) error {
	p := printer{width: o.Width, colour: o.Colour}
	p.print(x, o.Planned)
	_, err := io.WriteString(w, p.b.String())
	return err
}

type printer struct {
	width  int
	colour bool
	b      strings.Builder
}

func (p *printer) print(x *engine.Explanation, planned bool) {
	p.title(x, planned)
	p.steps(x.Steps, planned)
	p.views(x.Views)
	p.namespaces(x.Namespaces)
	p.limits(x.Cgroups)
}

// The three ways to set text off, on a terminal only.
func (p *printer) strong(s string) string { return p.style("1", s) }
func (p *printer) faint(s string) string  { return p.style("2", s) }
func (p *printer) accent(s string) string { return p.style("36", s) }

func (p *printer) style(code, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *printer) line(s string) { p.b.WriteString(strings.TrimRight(s, " ") + "\n") }

func (p *printer) heading(s string) {
	p.line("")
	p.line(p.strong(p.accent(s)))
	p.line(p.faint(strings.Repeat("─", min(p.width, utf8.RuneCountInString(s)))))
}

func (p *printer) title(x *engine.Explanation, planned bool) {
	if planned {
		p.line(p.strong("A run that is not done: nothing was made."))
		return
	}
	p.line(p.strong(x.Name) + p.faint("  "+format.ShortID(x.ID)))
}

// nameColumn is how wide the names of steps are.
func nameColumn(steps []container.Step) int {
	n := 0
	for _, s := range steps {
		n = max(n, utf8.RuneCountInString(s.Name))
	}
	return min(n, 32)
}

// steps prints the table that made the container: when each step was done, on which side, its name, why
// it is there, and below it the calls.
func (p *printer) steps(steps []container.Step, planned bool) {
	if len(steps) == 0 {
		return
	}
	heading := fmt.Sprintf("How it was made: %s", format.Plural(len(steps), "step"))
	if planned {
		heading = fmt.Sprintf("How it would be made: %s", format.Plural(len(steps), "step"))
	} else if last := steps[len(steps)-1].At; last > 0 {
		heading += fmt.Sprintf(", %.1f ms", float64(last.Microseconds())/1000)
	}
	p.heading(heading)
	names := nameColumn(steps)
	for i, s := range steps {
		at := strings.Repeat(" ", 8)
		if s.At > 0 {
			at = fmt.Sprintf("%5.2f ms", float64(s.At.Microseconds())/1000)
		}
		side := "host  "
		if s.Where == "child" {
			side = "inside"
		}
		lead := fmt.Sprintf("%3d  %s  %s  ", i+1, at, side)
		p.step(lead, names, s)
	}
}

func (p *printer) step(lead string, names int, s container.Step) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	name := fit(s.Name, names)
	room := p.width - len(indent) - names - 2
	why := wrap(s.Why, max(room, 24))
	first := ""
	if len(why) > 0 {
		first, why = why[0], why[1:]
	}
	p.line(p.faint(lead) + p.strong(name) + "  " + first)
	for _, w := range why {
		p.line(indent + strings.Repeat(" ", names+2) + w)
	}
	for _, call := range collapse(s.Calls) {
		for j, c := range wrap(call, p.width-len(indent)-2) {
			mark := "· "
			if j > 0 {
				mark = "  "
			}
			p.line(indent + p.faint(mark+c))
		}
	}
}

// collapse writes a call that is made several times in a row once: "write(…) × 8".
func collapse(calls []string) []string {
	var out []string
	for i := 0; i < len(calls); {
		n := 1
		for i+n < len(calls) && calls[i+n] == calls[i] {
			n++
		}
		call := calls[i]
		if n > 1 {
			call += fmt.Sprintf(" × %d", n)
		}
		out = append(out, call)
		i += n
	}
	return out
}

// views prints facts as the host and as the container sees them, side by side.
func (p *printer) views(views []engine.View) {
	if len(views) == 0 {
		return
	}
	p.heading("One process, two views")
	label := 0
	for _, v := range views {
		label = max(label, utf8.RuneCountInString(v.What))
	}
	label = min(label, 24)
	side := (p.width - label - 2*3) / 2
	p.line(p.faint(fit("", label)) + "   " + p.strong(fit("on the host", side)) + "   " + p.strong("in the container"))
	for _, v := range views {
		left, right := wrap(v.Host, side), wrap(v.Container, side)
		for i := range max(len(left), len(right), 1) {
			what := ""
			if i == 0 {
				what = v.What
			}
			p.line(p.faint(fit(what, label)) + " │ " + fit(at(left, i), side) + " │ " + at(right, i))
		}
	}
}

func (p *printer) namespaces(list []engine.NamespaceView) {
	if len(list) == 0 {
		return
	}
	p.heading("Namespaces: what it sees")
	p.line(p.strong(fmt.Sprintf("%-8s   %-12s   %-12s   %s", "", "the host's", "its", "")))
	for _, n := range list {
		whose := "its own"
		if n.Shared {
			whose = "shared with the host"
		}
		p.line(p.faint(fmt.Sprintf("%-8s", n.Type)) + fmt.Sprintf(" │ %-12d │ %-12d │ %s", n.Host, n.Inode, whose))
	}
}

// limits prints cgroup files by directory.
func (p *printer) limits(files []engine.CgroupFile) {
	if len(files) == 0 {
		return
	}
	p.heading("Cgroups: what it may use")
	column := 0
	for _, f := range files {
		column = max(column, len(path.Base(f.Path)))
	}
	dir := ""
	for _, f := range files {
		if d := path.Dir(f.Path); d != dir {
			dir = d
			for _, part := range wrap(d, p.width) {
				p.line(p.faint(part))
			}
		}
		name := path.Base(f.Path)
		for _, v := range p.valueLines(f.Value, p.width-column-5) {
			p.line("  " + fit(name, column) + " │ " + v)
			name = ""
		}
	}
}

// valueLines breaks a file's content into lines of at most n columns; an empty file is one empty line.
func (p *printer) valueLines(value string, n int) []string {
	var lines []string
	for _, v := range strings.Split(strings.TrimRight(value, "\n"), "\n") {
		lines = append(lines, wrap(v, n)...)
	}
	if len(lines) == 0 {
		return []string{""}
	}
	return lines
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// fit makes s exactly n columns wide.
func fit(s string, n int) string {
	s = format.Ellipsis(s, n)
	return s + strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0))
}

// wrap breaks s at blanks, and words that are longer than n anywhere.
func wrap(s string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= n {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for utf8.RuneCountInString(word) > n {
			r := []rune(word)
			lines, word = append(lines, string(r[:n])), string(r[n:])
		}
		line = word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
