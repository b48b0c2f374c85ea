// Package initbin carries gourd-init, the container's optional first process (--init), inside gourd-monitor.
// The build puts it into bin/; without it (go test, go vet) only the placeholder is there.
package initbin

import (
	"embed"
	"runtime"
)

//go:embed bin
var files embed.FS

// Program is the static binary of gourd-init for this architecture; nil if the build left it out.
func Program() []byte {
	b, err := files.ReadFile("bin/init-" + runtime.GOARCH)
	if err != nil {
		return nil
	}
	return b
}
