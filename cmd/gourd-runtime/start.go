package main

func start(c *call) (int, error) {
	c.set()
	args, err := c.parse(1, 1)
	if err != nil {
		return 0, err
	}
	return 0, c.store().Start(args[0])
}
