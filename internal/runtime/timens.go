package runtime

import (
	"fmt"
	"strings"

	"gourd/internal/linux"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// writeTimeOffsets shifts the clocks of the namespace that pid's children will be in (time_namespaces(7)). They can't
// be changed once a process is in it.
func writeTimeOffsets(pid int, offsets map[string]specs.LinuxTimeOffset) error {
	var b strings.Builder
	for _, clock := range sortedKeys(offsets) {
		fmt.Fprintf(&b, "%s %d %d\n", clock, offsets[clock].Secs, offsets[clock].Nanosecs)
	}
	return linux.WriteProc(pid, "timens_offsets", b.String())
}
