package monitor

// testRuntime is what the tests of a container's life use.
const testRuntime = "runc"
