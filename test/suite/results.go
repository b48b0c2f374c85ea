package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// results adds up what `go test -json` says.
type results struct {
	passed, failed int
	skips          []skip
}

type skip struct{ test, reason string }

// event is one line of test2json (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// run runs the packages' tests, shows a line per package and the whole output of what failed.
func (r *results) run(timeout time.Duration, match string, parallel int, packages ...string) {
	args := []string{"test", "-json", "-count=1", fmt.Sprintf("-p=%d", parallel), "-timeout=" + timeout.String()}
	if match != "" {
		args = append(args, "-run="+match)
	}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.StdoutPipe()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.failed++
		fmt.Println("FAIL go test:", err)
		return
	}
	failedBefore := r.failed
	r.read(out)
	if err := cmd.Wait(); err != nil && r.failed == failedBefore {
		r.failed++
		fmt.Printf("FAIL go test: %v\n%s\n", err, stderr.Bytes())
	}
}

func (r *results) read(out io.Reader) {
	output := map[string]*strings.Builder{} // by package and test
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			if output[key] == nil {
				output[key] = new(strings.Builder)
			}
			output[key].WriteString(e.Output)
		case "pass", "fail", "skip":
			var text string
			if output[key] != nil {
				text = output[key].String()
				delete(output, key)
			}
			r.add(e, text)
		case "build-output":
			fmt.Print(e.Output)
		}
	}
}

// add counts one finished test, or prints the line of one finished package (Test is empty).
func (r *results) add(e event, text string) {
	switch {
	case e.Test == "" && e.Action == "skip": // no test files
	case e.Test == "":
		fmt.Printf("%-5s %-50s %6.1fs\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Package, e.Elapsed)
		if e.Action == "fail" {
			r.failed++
			fmt.Print(text)
		}
	case e.Action == "pass":
		r.passed++
	case e.Action == "skip":
		r.skips = append(r.skips, skip{e.Package + " " + e.Test, reason(text)})
	case e.Action == "fail":
		r.failed++
		fmt.Printf("--- FAIL %s %s\n%s", e.Package, e.Test, text)
	}
}

// place is the "file_test.go:12: " that go test puts before what a test says.
var place = regexp.MustCompile(`^\S+\.go:\d+: `)

// reason is the last thing a test said before it was skipped.
func reason(output string) string {
	var said string
	for _, line := range strings.Split(output, "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			said = line
		}
	}
	return place.ReplaceAllString(said, "")
}

// allowedSkips are the reasons for which a test may be skipped on the machines that CI runs on.
type allowedSkips []*regexp.Regexp

func readAllowedSkips(path string) (allowedSkips, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list allowedSkips
	for _, line := range strings.Split(string(b), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		re, err := regexp.Compile(line)
		if err != nil {
			return nil, err
		}
		list = append(list, re)
	}
	return list, nil
}

func (a allowedSkips) match(reason string) bool {
	for _, re := range a {
		if re.MatchString(reason) {
			return true
		}
	}
	return false
}
