package main

import (
	"encoding/json"
	"fmt"
)

func state(c *call) (int, error) {
	c.set()
	args, err := c.parse(1, 1)
	if err != nil {
		return 0, err
	}
	view, err := c.store().View(args[0])
	if err != nil {
		return 0, err
	}
	b, err := json.MarshalIndent(view, "", "  ")
	if err != nil {
		return 0, err
	}
	_, err = fmt.Println(string(b))
	return 0, err
}
