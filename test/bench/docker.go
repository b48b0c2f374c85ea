package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dockerd is the benchmark's own daemon, with a containerd of its own, as docker.io starts it.
type dockerd struct {
	pid   int
	ended <-chan unix.WaitStatus
	log   *os.File
}

// openDocker starts the daemon when it is first needed.
func (b *bench) openDocker(ctx context.Context) (engine, error) {
	cli, err := exec.LookPath("docker")
	if err != nil {
		return engine{}, err
	}
	socket := "unix://" + b.state("docker.sock")
	e := engine{
		name: "docker", monitor: "containerd-shim", daemons: b.dockerPids,
		cli: []string{cli, "--config", filepath.Join(b.dir, "docker-config"), "--host", socket},
		log: []string{"--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3"},
	}
	if b.docker != nil {
		return e, nil
	}
	if err := b.startDocker(socket); err != nil {
		return e, err
	}
	deadline := time.After(60 * time.Second)
	for {
		if command(ctx, e.args("version")...) == nil {
			return e, nil
		}
		select {
		case status := <-b.docker.ended:
			text := contents(b.docker.log)
			b.docker = nil
			return e, fmt.Errorf("dockerd ended (%s): %s", describe(status), text[max(0, len(text)-500):])
		case <-deadline:
			return e, errors.New("dockerd doesn't answer within a minute")
		case <-ctx.Done():
			return e, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *bench) startDocker(socket string) error {
	config := filepath.Join(b.dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		return err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	log, err := scratch()
	if err != nil {
		return err
	}
	pid, ended, err := children().spawn([3]*os.File{null, log, log}, "dockerd", "--config-file", config, "--host", socket,
		"--data-root", filepath.Join(b.dir, "docker"), "--exec-root", b.state("docker"), "--pidfile", b.state("docker.pid"),
		"--cgroup-parent", cgroupRoot+"/docker", "--log-level", "error")
	if err != nil {
		return err
	}
	b.docker = &dockerd{pid: pid, ended: ended, log: log}
	return nil
}

// dockerPids are the daemon and its containerd.
func (b *bench) dockerPids() []int {
	if b.docker == nil {
		return nil
	}
	pids := []int{b.docker.pid}
	text, err := os.ReadFile(filepath.Join(b.state("docker"), "containerd", "containerd.pid"))
	if err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stopDocker ends the daemon in order, so that it unmounts and removes what it has.
func (b *bench) stopDocker() {
	if b.docker == nil {
		return
	}
	unix.Kill(b.docker.pid, unix.SIGTERM)
	select {
	case <-b.docker.ended:
	case <-time.After(20 * time.Second):
		unix.Kill(b.docker.pid, unix.SIGKILL)
	}
	b.docker = nil
}
