package monitor

import "gourd/internal/cgroup"

// ownGroup is where monitors go that were started within a group of somebody else's.
const ownGroup = "/gourd-monitors"

// leaveStarter moves this process out of the cgroup of whoever started it (a service, a session), which
// may be killed or limited as a whole. In the root group there is nothing to leave, and the move, for
// which the kernel may hold up every fork on the machine for some milliseconds, is spared. It is done
// when the monitor holds, not while a container is being started.
func leaveStarter() {
	for _, controller := range []string{"", "memory", "cpu", "pids", "freezer"} {
		if cgroup.Own(controller) != "/" {
			// A monitor works where it is, too: an error (no write access in a nested engine) is none.
			_ = cgroup.JoinSelf(ownGroup)
			return
		}
	}
}
