// Command gourd-man writes gourd's man pages, one per verb, from the commands themselves. It is a
// program of its own so that what renders pages stays out of gourd.
package main

import (
	"fmt"
	"os"
	"time"

	"gourd/cmd/gourd/cli"
	"gourd/internal/container"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gourd-man DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gourd-man:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := cli.NewRoot()
	prepare(root)
	header := &doc.GenManHeader{Title: "GOURD", Section: "1", Source: "gourd " + container.Version, Manual: "gourd", Date: date()}
	return doc.GenManTree(root, header, dir)
}

// prepare leaves out the line that a tool made the page, which changes every day, and the generator's
// "[flags]" behind a usage that says "[OPTIONS]" already.
func prepare(cmd *cobra.Command) {
	cmd.DisableAutoGenTag, cmd.DisableFlagsInUseLine = true, true
	for _, sub := range cmd.Commands() {
		prepare(sub)
	}
}

// date is the day of the build, the same for the same source where SOURCE_DATE_EPOCH says so
// (reproducible-builds.org).
func date() *time.Time {
	now := time.Now().UTC()
	var seconds int64
	if _, err := fmt.Sscan(os.Getenv("SOURCE_DATE_EPOCH"), &seconds); err == nil {
		now = time.Unix(seconds, 0).UTC()
	}
	return &now
}
