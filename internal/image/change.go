package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"gourd/internal/container"
)

// ApplyChange applies one Dockerfile instruction to an image's configuration (--change of import and commit):
// CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR.
// Errors: container.ErrInvalid.
func (c *ContainerConfig) ApplyChange(line string) error {
	line = strings.TrimSpace(line)
	word, rest, _ := strings.Cut(line, " ")
	word, rest = strings.ToUpper(word), strings.TrimSpace(rest)
	apply, ok := map[string]func(string) error{
		"CMD": c.setCmd, "ENTRYPOINT": c.setEntrypoint, "ENV": c.setEnv, "EXPOSE": c.expose, "HEALTHCHECK": c.setHealthcheck,
		"LABEL": c.setLabels, "ONBUILD": c.addOnBuild, "SHELL": c.setShell, "STOPSIGNAL": c.setStopSignal, "USER": c.setUser,
		"VOLUME": c.addVolumes, "WORKDIR": c.setWorkdir,
	}[word]
	err := errors.New("this instruction can't be applied to an image")
	if ok {
		err = errors.New("its value is missing")
		if rest != "" {
			err = apply(rest)
		}
	}
	if err != nil {
		return container.Invalid("apply change", fmt.Sprintf("%.200q", line), err, "give one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR, as in a Dockerfile")
	}
	return nil
}

// command reads the exec form, a JSON array, or the shell form, which a shell will split.
func (c *ContainerConfig) command(s string) []string {
	var list []string
	if strings.HasPrefix(s, "[") && json.Unmarshal([]byte(s), &list) == nil {
		return list
	}
	shell := c.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(append([]string{}, shell...), s)
}

func (c *ContainerConfig) setCmd(s string) error {
	c.Cmd = c.command(s)
	return nil
}

// setEntrypoint also drops CMD, which belonged to the old one.
func (c *ContainerConfig) setEntrypoint(s string) error {
	c.Entrypoint = c.command(s)
	if len(c.Entrypoint) == 0 {
		c.Entrypoint = nil
	}
	c.Cmd = nil
	return nil
}

func (c *ContainerConfig) setEnv(s string) error {
	pairs, err := pairs(s)
	for _, p := range pairs {
		c.Env = setEnv(c.Env, p[0], p[1])
	}
	return err
}

func setEnv(env []string, key, value string) []string {
	for i, e := range env {
		if k, _, _ := strings.Cut(e, "="); k == key {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

func (c *ContainerConfig) setLabels(s string) error {
	pairs, err := pairs(s)
	for _, p := range pairs {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[p[0]] = p[1]
	}
	return err
}

func (c *ContainerConfig) expose(s string) error {
	for port := range strings.FieldsSeq(s) {
		list, err := container.ExpandPorts(port)
		if err != nil {
			return err
		}
		for _, p := range list {
			if c.ExposedPorts == nil {
				c.ExposedPorts = map[string]struct{}{}
			}
			c.ExposedPorts[p] = struct{}{}
		}
	}
	return nil
}

func (c *ContainerConfig) addOnBuild(s string) error {
	c.OnBuild = append(c.OnBuild, s)
	return nil
}

func (c *ContainerConfig) setShell(s string) error {
	var list []string
	if err := json.Unmarshal([]byte(s), &list); err != nil || len(list) == 0 {
		return errors.New("SHELL takes a JSON array")
	}
	c.Shell = list
	return nil
}

func (c *ContainerConfig) setStopSignal(s string) error {
	if strings.ContainsAny(s, " \t") {
		return errors.New("STOPSIGNAL takes one signal")
	}
	c.StopSignal = s
	return nil
}

func (c *ContainerConfig) setUser(s string) error {
	if strings.ContainsAny(s, " \t") {
		return errors.New("USER takes one user[:group]")
	}
	c.User = s
	return nil
}

func (c *ContainerConfig) addVolumes(s string) error {
	var list []string
	if !strings.HasPrefix(s, "[") || json.Unmarshal([]byte(s), &list) != nil {
		list = strings.Fields(s)
	}
	for _, v := range list {
		if v == "" {
			return errors.New("VOLUME takes paths")
		}
		if c.Volumes == nil {
			c.Volumes = map[string]struct{}{}
		}
		c.Volumes[v] = struct{}{}
	}
	return nil
}

// setWorkdir takes a relative path as relative to the one before.
func (c *ContainerConfig) setWorkdir(s string) error {
	if !path.IsAbs(s) {
		s = path.Join("/", c.WorkingDir, s)
	}
	c.WorkingDir = path.Clean(s)
	return nil
}

func (c *ContainerConfig) setHealthcheck(s string) error {
	if strings.EqualFold(s, "NONE") {
		c.Healthcheck = &Healthcheck{Test: []string{"NONE"}}
		return nil
	}
	h := new(Healthcheck)
	for strings.HasPrefix(s, "--") {
		flag, rest, _ := strings.Cut(s, " ")
		if err := h.option(flag); err != nil {
			return err
		}
		s = strings.TrimSpace(rest)
	}
	word, command, _ := strings.Cut(s, " ")
	command = strings.TrimSpace(command)
	if !strings.EqualFold(word, "CMD") || command == "" {
		return errors.New("HEALTHCHECK takes options and then CMD, or NONE")
	}
	var list []string
	if strings.HasPrefix(command, "[") && json.Unmarshal([]byte(command), &list) == nil {
		h.Test = append([]string{"CMD"}, list...)
	} else {
		h.Test = []string{"CMD-SHELL", command}
	}
	c.Healthcheck = h
	return nil
}

func (h *Healthcheck) option(flag string) error {
	name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	var err error
	switch name {
	case "interval":
		h.Interval, err = time.ParseDuration(value)
	case "timeout":
		h.Timeout, err = time.ParseDuration(value)
	case "start-period":
		h.StartPeriod, err = time.ParseDuration(value)
	case "start-interval":
		h.StartInterval, err = time.ParseDuration(value)
	case "retries":
		h.Retries, err = strconv.Atoi(value)
	default:
		return fmt.Errorf("HEALTHCHECK has no option %q", name)
	}
	if err != nil {
		return fmt.Errorf("--%s: %w", name, err)
	}
	return nil
}

// pairs reads KEY=VALUE words, with quotes and backslashes as in a Dockerfile, or the old form KEY VALUE.
func pairs(s string) ([][2]string, error) {
	words, err := splitWords(s)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(words[0], "=") {
		key, value, found := strings.Cut(s, " ")
		if !found {
			return nil, fmt.Errorf("%q has no value: write KEY=VALUE", key)
		}
		return [][2]string{{key, strings.TrimSpace(value)}}, nil
	}
	var out [][2]string
	for _, w := range words {
		key, value, found := strings.Cut(w, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("%q is not KEY=VALUE", w)
		}
		out = append(out, [2]string{key, value})
	}
	return out, nil
}

// splitWords splits at blanks outside quotes and takes the quotes away.
func splitWords(s string) ([]string, error) {
	var words []string
	var b strings.Builder
	quote, inWord := byte(0), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, b.String())
				b.Reset()
				inWord = false
			}
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if inWord {
		words = append(words, b.String())
	}
	if len(words) == 0 {
		return nil, errors.New("its value is missing")
	}
	return words, nil
}
