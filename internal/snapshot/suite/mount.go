package suite

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gourd/internal/container"
	"gourd/internal/layer"

	"golang.org/x/sys/unix"
)

// WithRoot mounts a root file system in a mount namespace of its own and runs f there with its path. Processes
// that f starts are in it too. Everything is gone when f returns.
func WithRoot(t *testing.T, fs *container.RootFS, ids layer.IDMaps, f func(dir string)) {
	t.Helper()
	top := t.TempDir()
	// A container's root must be able to walk there; testing makes the directory above for the owner only.
	if err := errors.Join(os.Chmod(top, 0o755), os.Chmod(filepath.Dir(top), 0o755)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, and with it the namespace, ends with the goroutine
		var err error
		defer func() { done <- err }()
		if err = unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return
		}
		if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return
		}
		m := &mounter{top: top, ids: ids}
		defer m.close()
		var dir string
		if dir, err = m.mount(fs); err == nil {
			f(dir)
		}
	}()
	if err := <-done; err != nil {
		t.Fatalf("mount %+v: %v", fs, err)
	}
}

// mounter mounts as the runtime does, but on paths.
type mounter struct {
	top    string
	ids    layer.IDMaps
	userns *os.File
	n      int
}

func (m *mounter) close() {
	if m.userns != nil {
		m.userns.Close()
	}
}

func (m *mounter) mount(fs *container.RootFS) (string, error) {
	if len(fs.Layers) == 1 && fs.Upper == "" && !fs.Overlay {
		if !fs.Idmap {
			target := filepath.Join(m.top, "merged")
			if err := os.Mkdir(target, 0o755); err != nil {
				return "", err
			}
			return target, unix.Mount(fs.Layers[0].Dir, target, "", unix.MS_BIND, "")
		}
		return m.idmap(fs.Layers[0].Dir)
	}
	var dirs []string
	for _, l := range fs.Layers {
		dir := l.Dir
		if fs.Idmap {
			var err error
			if dir, err = m.idmap(dir); err != nil {
				return "", fmt.Errorf("idmap %s: %w", l.Dir, err)
			}
		}
		dirs = append(dirs, dir)
	}
	target := filepath.Join(m.top, "merged")
	if err := os.Mkdir(target, 0o755); err != nil {
		return "", err
	}
	options := "lowerdir=" + strings.Join(dirs, ":") + ",upperdir=" + fs.Upper + ",workdir=" + fs.Work
	return target, unix.Mount("overlay", target, "overlay", 0, options)
}

// idmap mounts dir once more with ids shifted into the user namespace.
func (m *mounter) idmap(dir string) (string, error) {
	if m.userns == nil {
		f, err := usernsOf(m.ids)
		if err != nil {
			return "", err
		}
		m.userns = f
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(m.userns.Fd())}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return "", err
	}
	m.n++
	target := filepath.Join(m.top, fmt.Sprintf("l%d", m.n))
	if err := os.Mkdir(target, 0o755); err != nil {
		return "", err
	}
	return target, unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// usernsOf makes a user namespace with these maps and opens it; the process in it ends at once.
func usernsOf(ids layer.IDMaps) (*os.File, error) {
	c := exec.Command("cat")
	c.SysProcAttr = inUserns(ids)
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	defer c.Wait()
	defer in.Close()
	return os.Open(fmt.Sprintf("/proc/%d/ns/user", c.Process.Pid))
}

func inUserns(ids layer.IDMaps) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{}
	if len(ids.UIDs) == 0 {
		return a
	}
	a.Cloneflags = syscall.CLONE_NEWUSER
	a.Credential = &syscall.Credential{}
	a.GidMappingsEnableSetgroups = true
	for _, m := range ids.UIDs {
		a.UidMappings = append(a.UidMappings, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	for _, m := range ids.GIDs {
		a.GidMappings = append(a.GidMappings, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return a
}

// inside runs a shell script in dir as the container's root.
func inside(t *testing.T, dir string, ids layer.IDMaps, script string) {
	t.Helper()
	c := exec.Command("/bin/sh", "-ec", script)
	c.Dir = dir
	c.SysProcAttr = inUserns(ids)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("in the container: %v: %s", err, out)
	}
}
