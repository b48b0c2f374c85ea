package container

import "time"

// Step is one named thing done to make a container: the error prefix, the trace span, and a line of
// `gourd explain`. The runtime's table of steps is the single source; this is how it is shown and kept.
type Step struct {
	Name  string        `json:"name"`            // "mount proc", "join cgroup"; unique within one plan
	Where string        `json:"where"`           // "parent" (on the host) or "child" (in the new namespaces)
	Calls []string      `json:"calls,omitempty"` // the system calls: `fsopen("proc")`, `move_mount(→ /proc)`
	Why   string        `json:"why,omitempty"`   // one sentence for a person
	At    time.Duration `json:"at,omitempty"`    // when it ended, since the first step; 0 if it has not run
}
