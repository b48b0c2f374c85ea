package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runHooks runs hooks in order until one fails. Each gets the state on stdin, only the environment that the
// configuration gives it, and the working directory of the bundle.
func runHooks(kind string, hooks []specs.Hook, st *specs.State) error {
	for i, h := range hooks {
		if err := runHook(h, st); err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", kind, i, err)
		}
	}
	return nil
}

// runAllHooks runs hooks whose failure only earns a warning.
func runAllHooks(kind string, hooks []specs.Hook, st *specs.State) (warnings []string) {
	for i, h := range hooks {
		if err := runHook(h, st); err != nil {
			warnings = append(warnings, fmt.Sprintf("error running %s hook #%d: %v", kind, i, err))
		}
	}
	return warnings
}

// runHostHooks runs the hooks whose turn is when the namespaces are there and the root is not yet the container's.
func (b *build) runHostHooks() error {
	if b.spec.Hooks == nil || b.plan {
		return nil
	}
	st := &specs.State{Version: b.spec.Version, ID: b.c.ID, Status: specs.StateCreating, Pid: b.pid, Bundle: b.c.Bundle, Annotations: b.spec.Annotations}
	//lint:ignore SA1019 deprecated, and in use
	if err := runHooks("prestart", b.spec.Hooks.Prestart, st); err != nil {
		return err
	}
	return runHooks("createRuntime", b.spec.Hooks.CreateRuntime, st)
}

func runHook(h specs.Hook, st *specs.State) error {
	state, err := json.Marshal(st)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if h.Timeout != nil {
		if *h.Timeout <= 0 {
			return fmt.Errorf("timeout %d is not positive", *h.Timeout)
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, h.Path)
	cmd.Args = h.Args
	if len(cmd.Args) == 0 {
		cmd.Args = []string{h.Path}
	}
	cmd.Env = append([]string{}, h.Env...) // never ours (NVIDIA CVE-2025-23266 came through an inherited one)
	cmd.Dir = st.Bundle
	cmd.Stdin = bytes.NewReader(state)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // of a hook that left something with its pipes
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("hook %s ran longer than %d s", h.Path, *h.Timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil
	case err != nil:
		return fmt.Errorf("%w, output: %s", err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
