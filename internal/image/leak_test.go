package image

import (
	"bytes"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestNoLeak: refused archives leave no descriptor open and no goroutine behind (as CVE-2026-114236 did elsewhere).
func TestNoLeak(t *testing.T) {
	s, d := newStore(t)
	evil := sample{tars: [][]byte{tarOf(t, "../x", "evil")}, config: []byte(`{}`)}
	cut := func(b []byte) []byte { return b[:len(b)*2/3] }
	var bad [][]byte
	for _, tool := range []string{"gzip", "zstd", "xz"} {
		pack := func(b []byte) []byte { return compress(t, tool, b) }
		bad = append(bad, cut(pack(archiveOf(t, makeSample(t, tool).docker(t, plain, "a:1")...))),
			archiveOf(t, evil.docker(t, pack, "a:1")...), archiveOf(t, makeSample(t, tool).docker(t, func(b []byte) []byte { return cut(pack(b)) }, "a:1")...))
	}
	rounds := func(n int) {
		for range n {
			for i, b := range bad {
				if _, err := s.Load(t.Context(), bytes.NewReader(b), d, nil); err == nil {
					t.Fatalf("archive %d was loaded", i)
				}
			}
		}
	}
	rounds(1)
	fds, routines := openFiles(t), runtime.NumGoroutine()
	rounds(10)
	for range 50 { // decoders' goroutines end on their own time
		if runtime.NumGoroutine() <= routines {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := openFiles(t); got > fds {
		t.Errorf("%d files are open, %d were before", got, fds)
	}
	if got := runtime.NumGoroutine(); got > routines {
		t.Errorf("%d goroutines run, %d did before", got, routines)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
