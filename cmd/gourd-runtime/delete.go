package main

func remove(c *call) (int, error) {
	var force bool
	both(c.set().BoolVar, &force, "force", "f", false, "kill a container that still runs; one that isn't there is no error")
	args, err := c.parse(1, 1)
	if err != nil {
		return 0, err
	}
	warnings, err := c.store().Delete(args[0], force)
	c.log.warn(warnings)
	return 0, err
}
