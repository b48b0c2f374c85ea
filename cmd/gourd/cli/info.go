package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/engine"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
)

func newInfo(a *app) *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "info [OPTIONS]", Short: "Show the installation and what the machine can do", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.info(cmd.Context(), form) },
	}
	cmd.Flags().StringVarP(&form, "format", "f", "", `Print by a Go template, or "json"`)
	return cmd
}

// systemInfo gives gourd's facts docker's names, so that its templates work.
type systemInfo struct {
	Containers, ContainersRunning, ContainersPaused, ContainersStopped, Images int

	Driver          string
	Plugins         struct{ Network, Log []string }
	LoggingDriver   string
	CgroupDriver    string
	CgroupVersion   string
	KernelVersion   string
	OperatingSystem string
	OSType          string
	Architecture    string
	NCPU            int
	MemTotal        int64
	DockerRootDir   string
	Name            string
	ServerVersion   string
	Runtimes        []string
	DefaultRuntime  string
	SecurityOptions []string
	Warnings        []string

	// What docker has not.
	ConfigFile, Root, State string
}

func newSystemInfo(i *engine.Info, cfg engine.Config) *systemInfo {
	s := &systemInfo{
		Containers: i.Containers, ContainersRunning: i.Running, ContainersPaused: i.Paused, ContainersStopped: i.Stopped, Images: i.Images,
		Driver: i.Driver, LoggingDriver: cfg.Log.Driver, CgroupDriver: i.CgroupDriver, CgroupVersion: i.CgroupVersion,
		KernelVersion: i.Kernel, OperatingSystem: i.OperatingSystem, OSType: i.OSType, Architecture: i.Architecture, NCPU: i.CPUs,
		MemTotal: i.Memory, DockerRootDir: i.Root, Name: i.Name, ServerVersion: newVersionInfo().Client.Version,
		Runtimes: i.Runtimes, DefaultRuntime: i.DefaultRuntime, SecurityOptions: i.Security, Warnings: i.Warnings,
		ConfigFile: i.ConfigFile, Root: i.Root, State: i.State,
	}
	s.Plugins.Network, s.Plugins.Log = i.Networks, i.LogDrivers
	return s
}

func (a *app) info(ctx context.Context, form string) error {
	e, err := a.engine(ctx)
	if err != nil {
		return err
	}
	i, err := e.Info(ctx)
	if err != nil {
		return err
	}
	s := newSystemInfo(i, e.Config())
	if form == "" {
		return s.print(a.out, a.err)
	}
	o, err := format.ParseObject(form)
	if err != nil {
		return &exitError{code: 64, err: err}
	}
	return o.Execute(a.out, s)
}

// print lays the facts out as docker does; warnings go to standard error.
func (s *systemInfo) print(out, errs io.Writer) error {
	config := s.ConfigFile
	if config == "" {
		config = "none (built-in defaults)"
	}
	_, err := fmt.Fprintf(out, `Containers: %d
 Running: %d
 Paused: %d
 Stopped: %d
Images: %d
Version: %s
Storage Driver: %s
Logging Driver: %s
Cgroup Driver: %s
Cgroup Version: %s
Plugins:
 Network: %s
 Log: %s
Runtimes: %s
Default Runtime: %s
Security Options: %s
Kernel Version: %s
Operating System: %s
OSType: %s
Architecture: %s
CPUs: %d
Total Memory: %s
Name: %s
Root Dir: %s
State Dir: %s
Configuration: %s
`, s.Containers, s.ContainersRunning, s.ContainersPaused, s.ContainersStopped, s.Images, s.ServerVersion, s.Driver, s.LoggingDriver,
		s.CgroupDriver, s.CgroupVersion, strings.Join(s.Plugins.Network, " "), strings.Join(s.Plugins.Log, " "), strings.Join(s.Runtimes, " "),
		s.DefaultRuntime, strings.Join(s.SecurityOptions, " "), s.KernelVersion, s.OperatingSystem, s.OSType, s.Architecture, s.NCPU,
		units.BytesSize(float64(s.MemTotal)), s.Name, s.Root, s.State, config)
	for _, w := range s.Warnings {
		fmt.Fprintf(errs, "gourd: warning: %s\n", w)
	}
	return err
}
