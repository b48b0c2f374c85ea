package cli

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gourd/cmd/gourd/internal/opts"
	"gourd/cmd/gourd/internal/terminal"
	"gourd/internal/engine"
)

// request puts the flags and the arguments behind them together: what the engine is asked to make. Its
// errors are docker's misuse: exit code 125, and nothing was made.
func (f *createFlags) request(a *app, args []string) (engine.CreateRequest, error) {
	r := f.req
	for _, step := range []func(*engine.CreateRequest) error{f.fillEnvironment, f.fillLabels, f.fillNetwork, f.fillRootfs, f.fillRest} {
		if err := step(&r); err != nil {
			return r, &exitError{code: 125, err: err}
		}
	}
	if r.Rootfs == "" {
		if len(args) == 0 {
			return r, &usageError{fmt.Errorf("it needs an image (or --rootfs)")}
		}
		r.Image, args = args[0], args[1:]
	}
	r.Cmd = args
	r.CallerUID, r.CallerGID = caller()
	if r.Tty {
		r.ConsoleSize = terminal.Size(a.out)
	}
	return r, nil
}

// caller is who calls, for --userns=keep-id: the user behind sudo (sudo(8), SUDO_UID and SUDO_GID), if there is one.
func caller() (uid, gid uint32) {
	id := func(name string, own int) uint32 {
		if n, err := strconv.ParseUint(os.Getenv(name), 10, 31); err == nil {
			return uint32(n)
		}
		return uint32(own)
	}
	return id("SUDO_UID", os.Getuid()), id("SUDO_GID", os.Getgid())
}

// fillEnvironment reads files first, so that -e wins.
func (f *createFlags) fillEnvironment(r *engine.CreateRequest) error {
	env, err := environment(f.envFiles, f.env)
	r.Env = env
	return err
}

// environment joins --env-file and -e of run, create and exec.
func environment(files, single []string) ([]string, error) {
	var env []string
	for _, path := range files {
		lines, err := opts.ReadEnvFile(path, os.LookupEnv)
		if err != nil {
			return nil, fmt.Errorf("read --env-file: %w", err)
		}
		env = append(env, lines...)
	}
	for _, s := range single {
		e, err := opts.Env(s, os.LookupEnv)
		if err != nil {
			return nil, err
		}
		env = append(env, e)
	}
	return env, nil
}

func (f *createFlags) fillLabels(r *engine.CreateRequest) error {
	var lines []string
	for _, path := range f.labelFiles {
		l, err := opts.ReadEnvFile(path, nil)
		if err != nil {
			return fmt.Errorf("read --label-file: %w", err)
		}
		lines = append(lines, l...)
	}
	labels, err := splitLabels(append(lines, f.labels...))
	if err != nil {
		return fmt.Errorf("read label: %w", err)
	}
	if len(labels) > 0 {
		r.Labels = labels
	}
	return nil
}

func (f *createFlags) fillNetwork(r *engine.CreateRequest) error {
	switch {
	case len(f.publish) > 0:
		return fmt.Errorf("--publish is %s", notYet)
	case len(f.network) > 1:
		return fmt.Errorf("a second --network is %s", notYet)
	case len(f.network) == 0:
		return nil
	}
	mode, err := networkName(f.network[0])
	r.Network.Mode = mode
	return err
}

// networkName reads --network NAME and its long form name=NAME,….
func networkName(s string) (string, error) {
	if !strings.Contains(s, "=") || strings.HasPrefix(s, "container:") {
		return s, nil
	}
	fields, err := csv.NewReader(strings.NewReader(s)).Read()
	if err != nil {
		return "", fmt.Errorf("--network %s is no list of key=value fields", s)
	}
	name := ""
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch strings.ToLower(key) {
		case "name":
			name = value
		case "alias", "driver-opt", "ip", "ip6", "mac-address", "link-local-ip", "gw-priority":
			return "", fmt.Errorf("--network …,%s= is %s", key, notYet)
		default:
			return "", fmt.Errorf("--network %s: unknown key %q", s, key)
		}
	}
	return name, nil
}

// fillRootfs makes --rootfs absolute and keeps its ":O".
func (f *createFlags) fillRootfs(r *engine.CreateRequest) error {
	if r.Rootfs == "" {
		return nil
	}
	path, overlay := strings.CutSuffix(r.Rootfs, ":O")
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("--rootfs %s: %w", r.Rootfs, err)
	}
	if r.Rootfs = abs; overlay {
		r.Rootfs += ":O"
	}
	return nil
}

func (f *createFlags) fillRest(r *engine.CreateRequest) error {
	if f.set.Changed("entrypoint") {
		r.EntrypointSet = true
		if f.entrypoint != "" {
			r.Entrypoint = []string{f.entrypoint}
		}
	}
	if f.set.Changed("stop-timeout") {
		r.StopTimeout = &f.stopTimeout
	}
	if f.set.Changed("pids-limit") {
		r.Resources.PidsLimit = &f.pidsLimit
	}
	if f.memorySwappiness != -1 {
		r.Resources.MemorySwappiness = &f.memorySwappiness
	}
	if n := f.restart.Name; n != "" && n != "no" {
		return fmt.Errorf("--restart %s is %s", n, notYet)
	}
	r.Tmpfs = f.tmpfs
	return nil
}

// streams says what run attaches to: -a, or by default output, and input with -i.
func (f *createFlags) streams() (engine.Attach, error) {
	if len(f.attach) == 0 {
		return engine.Attach{Stdin: f.req.OpenStdin, Stdout: true, Stderr: true}, nil
	}
	in, out, err, bad := opts.Streams(f.attach)
	if bad != nil {
		return engine.Attach{}, &exitError{code: 125, err: bad}
	}
	return engine.Attach{Stdin: in, Stdout: out, Stderr: err}, nil
}
