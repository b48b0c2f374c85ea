package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ulimits are docker's names for the kernel's resource limits (getrlimit(2)).
var ulimits = map[string]int{
	"core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA, "fsize": unix.RLIMIT_FSIZE,
	"locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK, "msgqueue": unix.RLIMIT_MSGQUEUE,
	"nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS,
	"rtprio": unix.RLIMIT_RTPRIO, "rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING,
	"stack": unix.RLIMIT_STACK,
}

// checkUlimits refuses unknown names, soft limits above hard ones, and what the engine may not set.
func checkUlimits(list []Ulimit, m *machine) error {
	seen := map[string]bool{}
	for _, u := range list {
		shown := fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard)
		resource, known := ulimits[u.Name]
		soft, hard := rlimValue(u.Soft), rlimValue(u.Hard)
		switch {
		case !known:
			return invalid("set ulimit", u.Name, "there is no such limit", "")
		case u.Soft < -1 || u.Hard < -1:
			return invalid("set ulimit", shown, "a limit is a positive number, or -1 for none", "")
		case soft > hard:
			return invalid("set ulimit", shown, "the soft limit is above the hard one", "")
		case seen[u.Name]:
			return invalid("set ulimit", shown, "it is given twice", "")
		case resource == unix.RLIMIT_NOFILE && hard > m.OpenMax:
			return invalid("set ulimit", shown, fmt.Sprintf("the kernel allows at most %d open files (fs.nr_open)", m.OpenMax), "")
		case hard > m.Limit(resource).Max && !m.Resource:
			return unsupported("set ulimit", shown, fmt.Sprintf("gourd's own hard limit is %d, and raising it needs the capability SYS_RESOURCE, which it does not have here", m.Limit(resource).Max), "")
		}
		seen[u.Name] = true
	}
	return nil
}

func rlimValue(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64
	}
	return uint64(n)
}

// ulimitSpec gives the limits the kernel's names.
func ulimitSpec(list []Ulimit) []specs.POSIXRlimit {
	var out []specs.POSIXRlimit
	for _, u := range list {
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: rlimValue(u.Soft), Hard: rlimValue(u.Hard)})
	}
	slices.SortFunc(out, func(a, b specs.POSIXRlimit) int { return strings.Compare(a.Type, b.Type) })
	return out
}
