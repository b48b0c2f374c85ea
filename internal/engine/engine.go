package engine

import (
	"gourd/internal/container"
)

// idsPerContainer is how many ids a container's own range has: 0–65,535.
const idsPerContainer = 1 << 16

// Engine holds the configuration and the stores. It keeps no state of its own: several processes may
// have one each over the same directories at once.
type Engine struct {
	cfg   Config
	store *container.Store
}

// Open prepares an engine: it makes the directories where they are missing and nothing more, so that
// it costs well below a millisecond. Images and snapshots are opened by the verbs that need them.
func Open(cfg Config) (*Engine, error) {
	if err := cfg.check(); err != nil {
		return nil, container.Invalid("use configuration", cfg.File, err, "")
	}
	store, err := container.OpenStore(cfg.Root, cfg.State)
	if err != nil {
		return nil, err
	}
	return &Engine{cfg: cfg, store: store}, nil
}

// Config is the configuration that the engine was opened with.
func (e *Engine) Config() Config { return e.cfg }
