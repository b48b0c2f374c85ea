package main

func pause(c *call) (int, error) {
	c.set()
	args, err := c.parse(1, 1)
	if err != nil {
		return 0, err
	}
	return 0, c.store().Pause(args[0])
}
