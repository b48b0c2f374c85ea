package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gourd/internal/container"
	"gourd/internal/container/profile"

	"golang.org/x/sys/unix"
)

// seccomp is the container's filter as OCI JSON, nil for none.
func (e *Engine) seccomp(d *draft) (json.RawMessage, error) {
	custom := d.security.Seccomp
	if custom == "unconfined" || custom == "" && d.req.Privileged {
		return nil, nil
	}
	o := profile.Options{Capabilities: d.caps()}
	if custom == "" {
		return e.defaultSeccomp(o)
	}
	p, err := profile.Parse([]byte(custom), o)
	if err != nil || p == nil {
		return nil, err
	}
	return rawSeccomp(p)
}

// defaultSeccomp keeps the profile's text on disk: it depends on the capabilities, the kernel and this
// program alone, and making it takes longer than the rest of Create.
func (e *Engine) defaultSeccomp(o profile.Options) (json.RawMessage, error) {
	caps := slices.Sorted(slices.Values(o.Capabilities))
	path := filepath.Join(e.cfg.Root, "cache", "seccomp-"+cacheKey(strings.Join(caps, ","))+".json")
	if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
		return b, nil
	}
	p, err := profile.Default(o)
	if err != nil {
		return nil, err
	}
	b, err := rawSeccomp(p)
	if err != nil {
		return nil, err
	}
	// Without the cache the next one is made again: no error of the user's.
	if os.MkdirAll(filepath.Dir(path), 0o700) == nil {
		_ = container.WriteFile(path, b, 0o600)
	}
	return b, nil
}

// cacheKey names what was made from a text by this program on this kernel.
func cacheKey(text string) string {
	var self unix.Stat_t
	_ = unix.Stat("/proc/self/exe", &self)
	var kernel unix.Utsname
	_ = unix.Uname(&kernel)
	h := sha256.Sum256(fmt.Appendf(nil, "%s\n%d %d %d\n%s", text, self.Size, self.Mtim.Sec, self.Mtim.Nsec, kernel.Release))
	return hex.EncodeToString(h[:8])
}
