package container

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"sync"
)

// NewID makes a container id: 64 random hex digits. One that reads as a decimal number is never made,
// since tools take such an id for a pid.
func NewID() string {
	for {
		var b [32]byte
		rand.Read(b[:])
		id := hex.EncodeToString(b[:])
		for _, c := range id[:12] {
			if c >= 'a' {
				return id
			}
		}
	}
}

// namePattern is docker's rule for container names, except that one character will do: docker wants two,
// podman does not, and nothing is gained by refusing it. Compiled on first use: package init is paid at every start.
var namePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`) })

// CheckName refuses what can't be a container's name.
func CheckName(name string) error {
	if !namePattern().MatchString(name) {
		return Invalid("use name", fmt.Sprintf("%q", name), fmt.Errorf("a name has the characters [a-zA-Z0-9_.-] and begins with a letter or digit"), "")
	}
	return nil
}
