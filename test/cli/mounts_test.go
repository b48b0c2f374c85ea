package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gourd/test/harness"

	"golang.org/x/sys/unix"
)

// VOL-02: docker/for-linux#788, moby#10714, moby#37838.
func TestReadOnlyHoldsForWhatIsMountedBelow(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", sub, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(sub, 0) })
	touch := "touch /d/a; touch /d/sub/b; true"
	r := g.Run("run", "--rm", "-v", dir+":/d:ro", "busybox", "sh", "-c", touch)
	if n := strings.Count(r.Stderr, "Read-only file system"); n != 2 {
		t.Errorf("%d refusals: %s", n, r.Stderr)
	}
	for _, flags := range [][]string{{"-v", dir + ":/d:ro-non-recursive"}, {"--mount", "type=bind,src=" + dir + ",dst=/d,readonly,bind-recursive=writable"}} {
		r := g.Run(append(append([]string{"run", "--rm", "--userns", "host"}, flags...), "busybox", "sh", "-c", touch)...)
		if n := strings.Count(r.Stderr, "Read-only file system"); n != 1 {
			t.Errorf("%v: %d refusals: %s", flags, n, r.Stderr)
		}
	}
}

// VOL-03: moby#39466, moby#40881, moby#28152.
func TestTmpfsOptions(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	want(t, g.Run("run", "--rm", "--mount", "type=tmpfs,dst=/root,tmpfs-mode=1777", "busybox", "stat", "-c", "%a", "/root"), 0, "1777\n")
	r := g.Run("run", "--rm", "--tmpfs", "/root:mode=0751,uid=33,gid=1,size=1m,exec", "busybox", "sh", "-c",
		"stat -c '%a %u:%g' /root; df -k /root | tail -1 | awk '{print $2}'; grep ' /root ' /proc/mounts")
	lines := strings.SplitN(r.Stdout, "\n", 3)
	if r.Code != 0 || len(lines) < 3 || lines[0] != "751 33:1" || lines[1] != "1024" || strings.Contains(lines[2], "noexec") {
		t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	r = g.Run("run", "--rm", "--mount", "type=tmpfs,dst=/x,readonly", "busybox", "touch", "/x/a")
	if r.Code != 1 || !strings.Contains(r.Stderr, "Read-only file system") {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}
	g.Fails(125, []string{"bogus"}, "run", "--rm", "--tmpfs", "/x:bogus", "busybox", "true")
}

// VOL-04: docker's documentation of -v and --mount.
func TestAMissingBindSource(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	dir := t.TempDir()
	new1, new2 := filepath.Join(dir, "new1"), filepath.Join(dir, "new2")
	want(t, g.Run("run", "--rm", "-v", new1+":/x", "busybox", "stat", "-c", "%u:%g", "/x"), 0, "0:0\n")
	if st, err := os.Stat(new1); err != nil || !st.IsDir() {
		t.Errorf("-v did not make the directory: %v", err)
	}
	g.Fails(125, []string{new2}, "run", "--rm", "--mount", "type=bind,src="+new2+",dst=/x", "busybox", "true")
	if _, err := os.Stat(new2); err == nil {
		t.Error("--mount made the directory")
	}
	cmd := g.Command("run", "--rm", "-v", "./f:/ff:z", "busybox", "cat", "/ff")
	cmd.Dir = dir
	write(t, dir, "f", "relative\n", 0o644)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "relative\n" {
		t.Errorf("relative source: %v, %s", err, out)
	}
	file := filepath.Join(dir, "f")
	g.Fails(125, []string{"bogus"}, "run", "--rm", "-v", file+":/f:bogus", "busybox", "true")
	g.Fails(125, nil, "run", "--rm", "-v", dir+":/", "busybox", "true")
	g.Fails(125, []string{"are you trying to mount a directory onto a file"}, "run", "--rm", "-v", file+":/etc", "busybox", "true")
	g.Fails(125, []string{"are you trying to mount a directory onto a file"}, "run", "--rm", "-v", dir+":/etc/passwd", "busybox", "true")
	none(t, g)
}

// Files keep their owners through a bind in a user namespace.
func TestOwnersInABind(t *testing.T) {
	g := harness.New(t)
	g.Busybox()
	dir, err := os.MkdirTemp("/var/tmp", "gourd-test-bind-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	g.Must("run", "--rm", "-u", "1000:1000", "-v", dir+":/d", "busybox", "touch", "/d/made")
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "made"), &st); err != nil || st.Uid != 1000 || st.Gid != 1000 {
		t.Errorf("owner on the host %d:%d, %v", st.Uid, st.Gid, err)
	}
	want(t, g.Run("run", "--rm", "-v", dir+":/d", "busybox", "stat", "-c", "%u:%g", "/d/made"), 0, "1000:1000\n")
}

func TestRootfs(t *testing.T) {
	g := harness.New(t)
	want(t, g.Run("run", "--rm", "--rootfs", "/:O", "cat", "/proc/1/comm"), 0, "cat\n")
	g.Must("run", "--name", "c", "--rootfs", "/:O", "sh", "-c", "echo x >/gourd-test-mark")
	if _, err := os.Lstat("/gourd-test-mark"); err == nil {
		os.Remove("/gourd-test-mark")
		t.Error("a change went through to the host")
	}
	if got := g.Must("inspect", "-f", "{{.Gourd.Rootfs}}", "c"); got != "/:O" {
		t.Errorf("inspect shows %q", got)
	}
}
