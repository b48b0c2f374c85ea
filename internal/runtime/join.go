package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"gourd/internal/container"
)

// Join is another process for a running container, as the OCI command line describes it.
type Join struct {
	ID            string
	ProcessFile   string // a process.json; "": the container's own process, changed by Change
	Change        func(p *specs.Process) error
	ConsoleSocket string
	PidFile       string
	PreserveFDs   int
	IgnorePaused  bool
	Stdio         [3]*os.File
	Detach        bool
}

// Exec starts a process in a running container. Errors: container.ErrNotFound, ErrNotRunning, ErrPaused, and those of
// the program.
func (s *Store) Exec(j *Join) (*Process, error) {
	st, err := s.Load(j.ID)
	if err != nil {
		return nil, err
	}
	status, err := s.Status(st)
	if err != nil {
		return nil, err
	}
	switch {
	case status == specs.StateStopped:
		return nil, &container.Error{Verb: "exec in container", Object: j.ID, Kind: container.ErrNotRunning, Cause: errors.New("cannot exec in a stopped container")}
	case status == Paused && !j.IgnorePaused:
		return nil, &container.Error{
			Verb: "exec in container", Object: j.ID, Kind: container.ErrPaused,
			Cause: errors.New("cannot exec in a paused container (use --ignore-paused to override)"),
		}
	}
	p, filter, err := j.process(st)
	if err != nil {
		return nil, err
	}
	if err := checkConsole(p.Terminal, j.ConsoleSocket, j.Detach); err != nil {
		return nil, err
	}
	return s.enter(j, st, p, filter)
}

// process is what to run, and the container's seccomp filter.
func (j *Join) process(st *State) (*specs.Process, json.RawMessage, error) {
	spec, filter, err := LoadBundle(st.Bundle)
	if err != nil {
		return nil, nil, err
	}
	if j.ProcessFile != "" {
		p := new(specs.Process)
		b, err := os.ReadFile(j.ProcessFile)
		if err == nil {
			err = json.Unmarshal(b, p)
		}
		if err != nil {
			return nil, nil, container.Invalid("read process", j.ProcessFile, err, "it takes the process part of the OCI specification")
		}
		return p, filter, nil
	}
	if spec.Process == nil {
		return nil, nil, invalidSpec("process", errors.New("it is missing"))
	}
	return spec.Process, filter, j.Change(spec.Process)
}

func (s *Store) enter(j *Join, st *State, p *specs.Process, filter json.RawMessage) (*Process, error) {
	group, err := st.group()
	if err != nil {
		return nil, err
	}
	defer group.Close()
	o := ExecOptions{Stdio: j.Stdio, PreserveFDs: j.PreserveFDs, Seccomp: filter, StateDir: s.filters(), PlainLines: j.ConsoleSocket == ""}
	if j.ConsoleSocket != "" {
		if o.ConsoleSocket, err = dialSocket(j.ConsoleSocket); err != nil {
			return nil, err
		}
		defer o.ConsoleSocket.Close()
	}
	k, err := Exec(Target{ID: st.ID, Process: st.process(), Cgroup: group}, p, o)
	if err != nil {
		return nil, err
	}
	if j.PidFile == "" {
		return k, nil
	}
	return k, writePidFile(j.PidFile, k.Pid)
}

// AddCapabilities gives a process more capabilities, in its bounding set and as effective ones. Ambient ones
// follow only where the configuration has inheritable ones: a process in a container gets none otherwise
// (CVE-2022-29162).
func AddCapabilities(p *specs.Process, names []string) {
	if len(names) == 0 {
		return
	}
	if p.Capabilities == nil {
		p.Capabilities = new(specs.LinuxCapabilities)
	}
	c := p.Capabilities
	sets := []*[]string{&c.Bounding, &c.Effective, &c.Permitted}
	if len(c.Inheritable) > 0 {
		sets = append(sets, &c.Ambient)
	}
	for _, name := range names {
		for _, set := range sets {
			if !slices.Contains(*set, name) {
				*set = append(*set, name)
			}
		}
	}
}

// ParseUser reads "UID" or "UID:GID" of exec --user: numbers only, all of them in range (CVE-2026-30892,
// CVE-2024-40635). Without a group the process keeps the configured one.
func ParseUser(text string, u *specs.User) error {
	refuse := func(why string) error {
		return container.Invalid("use user", fmt.Sprintf("%q", text), errors.New(why), "give UID or UID:GID, as numbers")
	}
	uid, gid, both, ok := splitUser(text)
	if !ok {
		return refuse("it is not a pair of numbers from 0 to 4294967294")
	}
	u.UID, u.Username = uid, ""
	if both {
		u.GID = gid
	}
	return nil
}

// splitUser parses the two numbers. 4294967295 is the kernel's word for "no change".
func splitUser(text string) (uid, gid uint32, both, ok bool) {
	first, second, both := strings.Cut(text, ":")
	uid, ok = parseID(first)
	if !both || !ok {
		return uid, 0, both, ok
	}
	gid, ok = parseID(second)
	return uid, gid, both, ok
}

func parseID(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n != math.MaxUint32
}
