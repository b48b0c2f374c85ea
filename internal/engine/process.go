package engine

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"gourd/internal/image"
)

// defaultPath is PATH where the image says nothing.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program is what runs in the container: the request over the image's configuration.
type program struct {
	Entrypoint, Cmd []string
	Env             []string // the image's and the user's; without PATH's default, HOSTNAME, TERM and HOME
	User, Workdir   string
	StopSignal      string
	Labels          map[string]string
	Volumes         []string // the image's, sorted
	Exposed         []string // "80/tcp", sorted
}

// Args is the whole command line.
func (p *program) Args() []string { return slices.Concat(p.Entrypoint, p.Cmd) }

// merge puts the request over the image's configuration by docker's rules. Errors: ErrInvalid if there is
// nothing to run.
func merge(r *CreateRequest, config *image.ContainerConfig) (*program, error) {
	if config == nil {
		config = &image.ContainerConfig{}
	}
	p := &program{
		Entrypoint: config.Entrypoint, Cmd: config.Cmd, User: config.User, Workdir: config.WorkingDir,
		StopSignal: config.StopSignal, Labels: map[string]string{}, Volumes: slices.Sorted(maps.Keys(config.Volumes)),
	}
	if r.EntrypointSet {
		p.Entrypoint, p.Cmd = r.Entrypoint, nil
		if len(p.Entrypoint) == 1 && p.Entrypoint[0] == "" {
			p.Entrypoint = nil
		}
	}
	if len(r.Cmd) > 0 {
		p.Cmd = r.Cmd
	}
	if len(p.Args()) == 0 {
		return nil, invalid("create container", "", "no command specified, and the image has none", "give a command after the image")
	}
	if err := p.mergeEnv(config.Env, r.Env); err != nil {
		return nil, err
	}
	maps.Copy(p.Labels, config.Labels)
	maps.Copy(p.Labels, r.Labels)
	if r.User != "" {
		p.User = r.User
	}
	if r.StopSignal != "" {
		p.StopSignal = r.StopSignal
	}
	if r.Workdir != "" {
		p.Workdir = r.Workdir
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, p.expose(slices.Sorted(maps.Keys(config.ExposedPorts)), r.Network.Expose)
}

// check refuses values that no process could be started with.
func (p *program) check() error {
	for _, a := range p.Args() {
		if strings.ContainsRune(a, 0) {
			return invalid("use argument", fmt.Sprintf("%q", a), "it contains a zero byte", "")
		}
	}
	if p.Workdir == "" {
		p.Workdir = "/"
	}
	if !path.IsAbs(p.Workdir) || strings.ContainsRune(p.Workdir, 0) {
		return invalid("use working directory", fmt.Sprintf("%q", p.Workdir), "it is not an absolute path", "")
	}
	p.Workdir = path.Clean(p.Workdir)
	if err := checkUser(p.User); err != nil {
		return err
	}
	if p.StopSignal != "" {
		name, err := checkSignal("use stop signal", p.StopSignal)
		if err != nil {
			return err
		}
		p.StopSignal = name
	}
	return nil
}

// mergeEnv puts the user's variables over the image's, in the order in which they first appear. A bare
// name takes the variable away.
func (p *program) mergeEnv(image, user []string) error {
	p.Env = slices.Clone(image)
	for _, kv := range user {
		name, _, set := strings.Cut(kv, "=")
		if name == "" || strings.ContainsRune(kv, 0) {
			return invalid("use environment variable", fmt.Sprintf("%q", kv), "it has no name, or contains a zero byte", "NAME=VALUE")
		}
		i := slices.IndexFunc(p.Env, func(have string) bool { return envName(have) == name })
		switch {
		case set && i >= 0:
			p.Env[i] = kv
		case set:
			p.Env = append(p.Env, kv)
		case i >= 0:
			p.Env = slices.Delete(p.Env, i, i+1)
		}
	}
	return nil
}

func envName(kv string) string {
	name, _, _ := strings.Cut(kv, "=")
	return name
}

// processEnv is the environment of pid 1: docker's own variables where nobody set them, then the rest.
// HOME depends on the user and is added when that is known.
func (p *program) processEnv(hostname string, tty bool) []string {
	var env []string
	add := func(kv string) {
		if !slices.ContainsFunc(p.Env, func(have string) bool { return envName(have) == envName(kv) }) {
			env = append(env, kv)
		}
	}
	add(defaultPath)
	add("HOSTNAME=" + hostname)
	if tty {
		add("TERM=xterm")
	}
	return append(env, p.Env...)
}

// expose collects the ports of image and request, each as "80/tcp".
func (p *program) expose(image, user []string) error {
	set := map[string]bool{}
	for i, list := range [][]string{image, user} {
		for _, s := range list {
			ports, err := parseExpose(s)
			if err != nil && i == 0 {
				continue // an image that names no port is no reason not to run it
			}
			if err != nil {
				return invalid("use --expose", s, err.Error(), "for example 80/tcp or 8000-8010/udp")
			}
			for _, port := range ports {
				set[port] = true
			}
		}
	}
	p.Exposed = slices.Sorted(maps.Keys(set))
	return nil
}
