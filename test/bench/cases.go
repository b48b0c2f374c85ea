package main

// cases are the lines of the performance budget, in the order in which they run.
func cases() []benchCase {
	half := func(n int) int { return n / 2 }
	few := func(n int) int { return n / 20 }
	return []benchCase{
		{
			name: "oci-run", what: "run /bin/true of docker's full default bundle", unit: "ms", enter: enterOCIRun,
			goals: []goal{{"crun", 0.4}, {"bwrap", 1.3}},
		},
		{
			name: "oci-run-8", what: "the same, eight at once, per container", unit: "ms", enter: enterOCIRunMany, rounds: half,
			goals: []goal{{"crun", 0.4}},
		},
		{
			name: "oci-exec", what: "exec /bin/true in a running container", unit: "ms", enter: enterOCIExec,
			goals: []goal{{"crun", 0.4}},
		},
		{
			name: "oci-life", what: "create, start, delete --force", unit: "ms", enter: enterOCILife,
			goals: []goal{{"crun", 0.4}},
		},
		{
			name: "run-bridge", what: "run --rm IMAGE true on the default bridge", unit: "ms", enter: enterEngineRun("run-bridge"), rounds: half,
			goals: []goal{{"docker", 0.06}},
		},
		{
			name: "run-none", what: "run --rm --network none IMAGE true", unit: "ms", enter: enterEngineRun("run-none", "--network", "none"), rounds: half,
			goals: []goal{{"docker", 0.06}},
		},
		{
			name: "exec", what: "exec CONTAINER true", unit: "ms", enter: enterEngineExec, rounds: half,
			goals: []goal{{"docker", 0.15}},
		},
		{
			name: "idle-memory", what: "private memory of one idle container's monitor", unit: "MB", enter: enterIdle, rounds: few, slow: true,
			goals: []goal{{"", 1.5}},
		},
		{
			name: "log", what: "lines to the container's log", unit: "MiB/s", enter: enterLog, rounds: few, slow: true, higher: true,
			goals: []goal{{"", 250}, {"docker", 6}},
		},
	}
}
