package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gourd/internal/snapshot/driver"
	"gourd/internal/snapshot/overlay"

	"golang.org/x/sys/unix"
)

// crashRoot in the environment makes this test binary a process that works on that store until it is killed.
const crashRoot = "GOURD_TEST_CRASH_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(crashRoot); root != "" {
		workUntilKilled(root)
	}
	os.Exit(m.Run())
}

func workUntilKilled(root string) {
	d, err := overlay.Open(root)
	if err != nil {
		panic(err)
	}
	s, err := Open(root)
	if err != nil {
		panic(err)
	}
	t := &testing.T{}
	var archives [][]byte
	for n := range 3 {
		archives = append(archives, archiveOf(t, makeSample(t, fmt.Sprint(n)).docker(t, plain, fmt.Sprintf("crash:%d", n))...))
	}
	for {
		n := rand.IntN(3)
		_, err := s.Load(context.Background(), bytes.NewReader(archives[n]), d, nil)
		if err == nil && rand.IntN(2) == 0 {
			_, err = s.Remove(fmt.Sprintf("crash:%d", n), RemoveOptions{}, d)
		}
		if err == nil && rand.IntN(4) == 0 {
			err = d.Prepare(context.Background(), fmt.Sprint(n), nil, driver.Options{})
			err = errors.Join(err, d.Remove(fmt.Sprint(n)))
		}
		// Others work on the same store: what they removed may be missing, nothing else may go wrong.
		if err != nil && !strings.Contains(err.Error(), "no such image") && !strings.Contains(err.Error(), "already exists") {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(3)
		}
	}
}

// TestKill: three processes load and remove the same images and are killed at random moments; afterwards the
// store is whole, and after one sweep nothing is left over.
func TestKill(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("unpacking layers needs root")
	}
	rounds := 15
	if os.Getenv("GOURD_TEST_LONG") != "" {
		rounds = 300
	}
	root := t.TempDir()
	for range rounds {
		killRound(t, root)
		if t.Failed() {
			return
		}
	}
}

func killRound(t *testing.T, root string) {
	t.Helper()
	var workers []*exec.Cmd
	stderr := &lockedWriter{}
	for range 3 {
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), crashRoot+"="+root)
		c.Stderr = stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		workers = append(workers, c)
	}
	time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond)
	for _, c := range workers {
		c.Process.Signal(unix.SIGKILL)
	}
	for _, c := range workers {
		if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("a worker ended by itself: %v: %s", err, stderr.b.String())
		}
	}
	d, err := overlay.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Sweep(), s.SweepLayers(d)); err != nil {
		t.Fatal(err)
	}
	checkClean(t, s, d)
	checkNoMore(t, s, d)
}

// checkNoMore wants no layer that no image has.
func checkNoMore(t *testing.T, s *Store, d driver.Driver) {
	t.Helper()
	x, err := s.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	_, needed, err := s.reachable(x)
	if err != nil {
		t.Fatal(err)
	}
	have, err := d.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range have {
		if !needed[l] {
			t.Errorf("layer %s belongs to no image", l)
		}
	}
}

type lockedWriter struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func corrupt(t *testing.T, path, with string) {
	t.Helper()
	if with == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(path, []byte(with), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestConcurrent: loads, removals, tags and lists at once, in one process.
func TestConcurrent(t *testing.T) {
	s, d := newStore(t)
	var archives [][]byte
	for n := range 3 {
		archives = append(archives, archiveOf(t, makeSample(t, fmt.Sprint(n)).docker(t, plain, fmt.Sprintf("c:%d", n))...))
	}
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			for i := range 4 {
				k := (n + i) % 3
				if _, err := s.Load(t.Context(), bytes.NewReader(archives[k]), d, nil); err != nil {
					t.Error(err)
				}
				if _, err := s.List(); err != nil {
					t.Error(err)
				}
				if n == 0 {
					s.Remove(fmt.Sprintf("c:%d", k), RemoveOptions{}, d) // another may have been faster
				}
				if n == 1 {
					s.Tag(fmt.Sprintf("c:%d", k), fmt.Sprintf("tag:%d", i))
				}
			}
		})
	}
	wg.Wait()
	for _, b := range archives {
		if _, err := s.Load(t.Context(), bytes.NewReader(b), d, nil); err != nil {
			t.Error(err)
		}
	}
	if err := s.SweepLayers(d); err != nil {
		t.Error(err)
	}
	checkClean(t, s, d)
	checkNoMore(t, s, d)
}

// TestDiskFull: no space at any point is a clear error, and gives back what was taken.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread and its mount namespace end with the goroutine
		err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"))
		if err != nil {
			t.Errorf("mount a small file system: %v", err)
			return
		}
		fill(t, dir)
	}()
	<-done
}

func fill(t *testing.T, dir string) {
	if err := overlay.Probe(dir); err != nil {
		t.Skip(err)
	}
	d, err := overlay.Open(dir)
	if err != nil {
		t.Error(err)
		return
	}
	s, err := Open(dir)
	if err != nil {
		t.Error(err)
		return
	}
	if _, err := s.Load(t.Context(), bytes.NewReader(archiveOf(t, makeSample(t, "kept").docker(t, plain, "kept:1")...)), d, nil); err != nil {
		t.Error(err)
		return
	}
	failed := 0
	for size := 900 << 10; size < 4<<20; size += 150 << 10 {
		big := makeSample(t, strings.Repeat("x", size))
		_, err := s.Load(t.Context(), bytes.NewReader(archiveOf(t, big.docker(t, plain, "big:1")...)), d, nil)
		if err == nil {
			if _, err := s.Remove("big:1", RemoveOptions{}, d); err != nil {
				t.Error(err)
			}
			continue
		}
		failed++
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if failed == 0 {
		t.Error("the disk was never full")
	}
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("images are %v, %v", list, err)
	}
	problems, err := s.Check(d)
	if err != nil || len(problems) > 0 {
		t.Errorf("check: %v, %v", problems, err)
	}
	if l, err := d.Layers(); err != nil || len(l) != 2 {
		t.Errorf("layers are %v, %v", l, err)
	}
}
