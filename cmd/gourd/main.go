// Command gourd is the container engine as a command: docker's verbs, without a daemon.
package main

import (
	"os"

	"gourd/cmd/gourd/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:]))
}
