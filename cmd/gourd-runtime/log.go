package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"gourd/internal/container"
)

// logger writes messages the way engines read them: containerd and podman take the last error's msg from a JSON log.
type logger struct {
	out   *os.File
	json  bool
	debug bool
}

func (l *logger) open(path, format string) error {
	switch format {
	case "", "text":
	case "json":
		l.json = true
	default:
		return container.Invalid("use", "--log-format", fmt.Errorf("invalid log-format: %s", format), "it is text or json")
	}
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return &container.Error{Verb: "open log", Object: path, Cause: err}
	}
	l.out = f
	return nil
}

// line is one message; the field names are logrus's.
type line struct {
	Level string `json:"level"`
	Msg   string `json:"msg"`
	Time  string `json:"time"`
}

func (l *logger) write(level, msg string) {
	now := time.Now().Format(time.RFC3339)
	if !l.json {
		fmt.Fprintf(l.out, "time=%q level=%s msg=%q\n", now, level, msg)
		return
	}
	b, err := json.Marshal(line{level, msg, now})
	if err != nil {
		return // these types always marshal
	}
	l.out.Write(append(b, '\n'))
}

func (l *logger) warn(messages []string) {
	for _, m := range messages {
		l.write("warning", m)
	}
}

// trace writes how a container was made, if --debug asks for it.
func (l *logger) trace(steps []container.Step) {
	if !l.debug {
		return
	}
	for _, s := range steps {
		l.write("debug", fmt.Sprintf("%s: %s (%s, %v)", s.Where, s.Name, strings.Join(s.Calls, ", "), s.At))
	}
}

// fail reports an error where the caller reads it, the log and stderr, and gives the exit code.
func (c *call) fail(err error) int {
	msg := err.Error()
	if c.verb.name != "" {
		msg = fmt.Sprintf("gourd-runtime %s failed: %s", c.verb.name, msg)
	}
	c.log.write("error", msg)
	if c.log.out != os.Stderr {
		fmt.Fprintln(os.Stderr, msg)
	}
	return 1
}
