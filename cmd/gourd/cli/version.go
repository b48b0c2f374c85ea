package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"gourd/cmd/gourd/internal/format"
	"gourd/internal/container"

	"github.com/spf13/cobra"
)

// versionInfo is what version prints. Docker's templates ask for .Client and .Server; here both are one
// program, so both are the same.
type versionInfo struct {
	Client programVersion
	Server programVersion
}

type programVersion struct {
	Version   string
	GoVersion string
	GitCommit string
	BuildTime string
	Os        string
	Arch      string
}

func newVersionInfo() versionInfo {
	p := programVersion{Version: container.Version, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				p.GitCommit = s.Value
			case "vcs.time":
				p.BuildTime = s.Value
			}
		}
	}
	return versionInfo{p, p}
}

func newVersion(a *app) *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "version [OPTIONS]", Short: "Show gourd's version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.version(form) },
	}
	cmd.Flags().StringVarP(&form, "format", "f", "", `Print by a Go template, or "json"`)
	return cmd
}

func (a *app) version(form string) error {
	v := newVersionInfo()
	if form != "" {
		o, err := format.ParseObject(form)
		if err != nil {
			return &exitError{code: 64, err: err}
		}
		return o.Execute(a.out, v)
	}
	p := v.Client
	w := tabwriter.NewWriter(a.out, 0, 1, 2, ' ', 0)
	fmt.Fprintf(w, "gourd:\n Version:\t%s\n Go version:\t%s\n", p.Version, p.GoVersion)
	if p.GitCommit != "" {
		fmt.Fprintf(w, " Git commit:\t%s\n Built from:\t%s\n", p.GitCommit, p.BuildTime)
	}
	fmt.Fprintf(w, " OS/Arch:\t%s/%s\n Daemon:\tnone: the engine is in this program\n", p.Os, p.Arch)
	return w.Flush()
}
