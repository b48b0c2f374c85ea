// Package cli is gourd's command line: a file per verb, each a thin translation of docker's words to
// the engine's calls and back.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"

	"gourd/internal/engine"
)

// app is what all verbs share: the caller's streams and the global flags.
type app struct {
	in       *os.File
	out, err *os.File

	root, state string // --root, --state; "" leaves it to the environment and the configuration
	configFile  string // --config-file
	debug       bool
	logLevel    string
}

// config is the engine's configuration: flags over environment over file over defaults.
func (a *app) config() (engine.Config, error) {
	path, named := a.configFile, true
	if path == "" {
		path = os.Getenv("GOURD_CONFIG")
	}
	if path == "" {
		path, named = engine.DefaultConfigPath, false
	}
	cfg, err := engine.LoadConfig(path, named)
	if err != nil {
		return cfg, err
	}
	if err := override(&cfg.Root, a.root, "GOURD_ROOT"); err != nil {
		return cfg, err
	}
	return cfg, override(&cfg.State, a.state, "GOURD_STATE")
}

// engine opens the engine and tidies what an earlier command that was killed has left behind.
func (a *app) engine(ctx context.Context) (*engine.Engine, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	e, err := engine.Open(cfg)
	if err != nil {
		return nil, err
	}
	if err := e.Sweep(ctx); err != nil {
		slog.Warn("what an earlier command left behind could not all be tidied", "cause", err)
	}
	return e, nil
}

// setLog sends what the engine reports beside errors to standard error, from --log-level on.
func (a *app) setLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		if a.logLevel != "fatal" {
			return misuse("--log-level %s: it must be debug, info, warn, error or fatal", a.logLevel)
		}
		level = slog.LevelError + 4
	}
	if a.debug {
		level = slog.LevelDebug
	}
	slog.SetDefault(slog.New(&lineHandler{w: a.err, level: level}))
	return nil
}

// notices tells the user what the engine has to say beside the result.
func (a *app) notices(list []string) {
	for _, n := range list {
		io.WriteString(a.err, "gourd: notice: "+n+"\n")
	}
}
