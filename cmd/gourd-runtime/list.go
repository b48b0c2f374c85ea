package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"gourd/internal/container"
	"gourd/internal/runtime"
)

func list(c *call) (int, error) {
	var format string
	var quiet bool
	f := c.set()
	both(f.StringVar, &format, "format", "f", "table", "table or json")
	both(f.BoolVar, &quiet, "quiet", "q", false, "only the ids")
	if _, err := c.parse(0, 0); err != nil {
		return 0, err
	}
	if format != "table" && format != "json" {
		return 0, container.Invalid("use", "--format", errors.New("invalid format option"), "it is table or json")
	}
	views, bad, err := c.store().List()
	if errors.Is(err, container.ErrNotFound) && c.root == defaultRoot() {
		views, err = []*runtime.View{}, nil // no container has been made yet
	}
	if err != nil {
		return 0, err
	}
	for _, b := range bad {
		fmt.Fprintln(os.Stderr, b)
	}
	switch {
	case quiet:
		for _, v := range views {
			fmt.Println(v.ID)
		}
		return 0, nil
	case format == "json":
		return 0, json.NewEncoder(os.Stdout).Encode(views)
	}
	return 0, table(views)
}

func table(views []*runtime.View) error {
	out := bufio.NewWriter(os.Stdout) // a tabwriter writes cell by cell
	w := tabwriter.NewWriter(out, 12, 1, 3, ' ', 0)
	fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, v := range views {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", v.ID, v.Pid, v.Status, v.Bundle, v.Created.Format(time.RFC3339Nano), v.Owner)
	}
	return errors.Join(w.Flush(), out.Flush())
}
