package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// goal is what a case has to reach: gourd's median against a peer's, or against a fixed figure.
type goal struct {
	peer  string  // "" for a figure
	limit float64 // the ratio, or the figure in the case's unit, that must not be passed
}

// report is everything that was measured.
type report struct {
	Machine machine   `json:"machine"`
	Rows    []row     `json:"rows"`
	Goals   []verdict `json:"goals"`
	Skipped []skipped `json:"skipped,omitempty"`
	// Cases says what each case's name means.
	Cases map[string]string `json:"cases"`
}

type machine struct {
	Kernel   string `json:"kernel"`
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	LoadThen string `json:"load_at_start"`
	LoadNow  string `json:"load_at_end"`
	Date     string `json:"date"`
	// Peers are the versions of those that are installed.
	Peers map[string]string `json:"peers"`
}

type row struct {
	Case      string  `json:"case"`
	Contender string  `json:"contender"`
	Unit      string  `json:"unit"`
	Rounds    int     `json:"rounds"`
	Median    float64 `json:"median"`
	P10       float64 `json:"p10"`
	P90       float64 `json:"p90"`
	CPU       float64 `json:"cpu_ms,omitempty"` // mean, user and system
}

type verdict struct {
	Case  string  `json:"case"`
	Text  string  `json:"goal"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	Met   bool    `json:"met"`
}

type skipped struct {
	Case      string `json:"case"`
	Contender string `json:"contender"`
	Why       string `json:"why"`
}

func newReport() *report {
	r := &report{Cases: map[string]string{}}
	var u unix.Utsname
	unix.Uname(&u)
	r.Machine = machine{Kernel: unix.ByteSliceToString(u.Release[:]), CPUs: runtime.NumCPU(), CPU: cpuModel(), LoadThen: load(), Date: time.Now().UTC().Format(time.DateTime)}
	r.Machine.Peers = map[string]string{}
	for _, argv := range [][]string{{"crun", "--version"}, {"runc", "--version"}, {"bwrap", "--version"}, {"dockerd", "--version"}, {"podman", "--version"}} {
		if text, err := output(context.Background(), argv...); err == nil {
			r.Machine.Peers[argv[0]], _, _ = strings.Cut(text, "\n")
		}
	}
	return r
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], " ")
}

// add makes a row of a contender's samples.
func (r *report) add(c benchCase, name string, samples []sample) {
	r.Cases[c.name] = c.what
	v := sortedValues(samples)
	var cpu time.Duration
	for _, s := range samples {
		cpu += s.cpu
	}
	r.Rows = append(r.Rows, row{
		Case: c.name, Contender: name, Unit: c.unit, Rounds: len(v),
		Median: quantile(v, 0.5), P10: quantile(v, 0.1), P90: quantile(v, 0.9),
		CPU: float64(cpu) / float64(time.Millisecond) / float64(len(samples)),
	})
}

func (r *report) median(c, contender string) (float64, bool) {
	for _, w := range r.Rows {
		if w.Case == c && w.Contender == contender {
			return w.Median, true
		}
	}
	return 0, false
}

// judge holds a case's goals against what was measured. A goal whose peer is missing is left out.
func (r *report) judge(c benchCase) {
	for _, g := range c.goals {
		own, ok := r.median(c.name, gourdName)
		if !ok {
			continue
		}
		v := verdict{Case: c.name, Value: own, Limit: g.limit}
		sign := "≤"
		if c.higher {
			sign = "≥"
		}
		v.Text = fmt.Sprintf("%s %.4g %s", sign, g.limit, c.unit)
		if g.peer != "" {
			other, ok := r.median(c.name, g.peer)
			if !ok || other == 0 {
				continue
			}
			v.Value = own / other
			v.Text = fmt.Sprintf("%s %.4g × %s", sign, g.limit, g.peer)
		}
		v.Met = v.Value <= g.limit
		if c.higher {
			v.Met = v.Value >= g.limit
		}
		r.Goals = append(r.Goals, v)
	}
}

func (r *report) writeJSON(w io.Writer) error {
	r.Machine.LoadNow = load()
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *report) writeTable(w io.Writer) {
	r.Machine.LoadNow = load()
	m := r.Machine
	fmt.Fprintf(w, "%s · Linux %s · %d × %s · load %s, at the end %s\n", m.Date, m.Kernel, m.CPUs, m.CPU, m.LoadThen, m.LoadNow)
	fmt.Fprintf(w, "peers: %s\n\n", strings.Join(slices.Sorted(maps.Values(m.Peers)), " · "))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "case\tcontender\trounds\tp10\tmedian\tp90\tunit\tCPU ms\tgourd ÷ it\t")
	last := ""
	for _, x := range r.Rows {
		name := x.Case
		if name == last {
			name = ""
		}
		last = x.Case
		ratio, cpu := "", ""
		if own, ok := r.median(x.Case, gourdName); ok && x.Contender != gourdName && x.Median > 0 {
			ratio = fmt.Sprintf("%.3f", own/x.Median)
		}
		if x.CPU > 0 {
			cpu = fmt.Sprintf("%.1f", x.CPU)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%.2f\t%.2f\t%.2f\t%s\t%s\t%s\t\n", name, x.Contender, x.Rounds, x.P10, x.Median, x.P90, x.Unit, cpu, ratio)
	}
	t.Flush()
	fmt.Fprintln(w)
	for _, name := range slices.Sorted(maps.Keys(r.Cases)) {
		fmt.Fprintf(w, "%s: %s\n", name, r.Cases[name])
	}
	if len(r.Goals) > 0 {
		fmt.Fprintln(w)
		t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "case\tgoal\tmeasured\t")
		for _, g := range r.Goals {
			word := "reached"
			if !g.Met {
				word = "not reached"
			}
			fmt.Fprintf(t, "%s\t%s\t%.3g\t%s\n", g.Case, g.Text, g.Value, word)
		}
		t.Flush()
	}
}
