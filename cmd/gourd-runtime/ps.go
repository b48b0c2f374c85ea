package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"gourd/internal/container"
)

func ps(c *call) (int, error) {
	var format string
	both(c.set().StringVar, &format, "format", "f", "table", "table or json")
	args, err := c.parseHead(1)
	if err != nil {
		return 0, err
	}
	if format != "table" && format != "json" {
		return 0, container.Invalid("use", "--format", errors.New("invalid format option"), "it is table or json")
	}
	pids, err := c.store().Processes(args[0])
	if err != nil {
		return 0, err
	}
	if format == "json" {
		return 0, json.NewEncoder(os.Stdout).Encode(pids)
	}
	options := args[1:]
	if len(options) == 0 {
		options = []string{"-ef"}
	}
	out, err := exec.Command("ps", options...).CombinedOutput()
	if err != nil {
		return 0, &container.Error{Verb: "run ps", Cause: fmt.Errorf("%w: %s", err, out)}
	}
	return 0, printProcesses(string(out), pids)
}

// printProcesses prints the head of ps's output and the lines of these processes.
func printProcesses(out string, pids []int) error {
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	if column < 0 {
		return errors.New("couldn't find PID field in ps output")
	}
	fmt.Println(lines[0])
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil {
			return fmt.Errorf("unable to parse pid: %w", err)
		}
		if slices.Contains(pids, pid) {
			fmt.Println(line)
		}
	}
	return nil
}
