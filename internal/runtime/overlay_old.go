package runtime

import (
	"fmt"
	"runtime"
	"strings"

	"gourd/internal/container"
	"gourd/internal/linux"

	"golang.org/x/sys/unix"
)

// overlayByPath is overlayRoot for kernels before 6.13, where overlayfs takes layers by path only and only
// those that are attached in the caller's mount namespace. A thread of its own gets a private mount namespace
// for it, attaches the layers there, and ends; the overlay keeps what it needs of them.
func (b *build) overlayByPath(layers []int, fs *container.RootFS, attrs int) (int, error) {
	type result struct {
		fd  int
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		fd, err := overlayInPrivate(layers, fs, attrs)
		done <- result{fd, err}
	}()
	r := <-done
	return r.fd, r.err
}

func overlayInPrivate(layers []int, fs *container.RootFS, attrs int) (int, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return -1, fmt.Errorf("unshare mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return -1, fmt.Errorf("make / private: %w", err)
	}
	// A directory that surely exists is covered: /proc holds no layers. Upper and
	// work must lie on one mount, so they are used where they are.
	if err := unix.Mount("tmpfs", "/proc", "tmpfs", 0, "mode=700"); err != nil {
		return -1, fmt.Errorf("mount scratch directory: %w", err)
	}
	if err := unix.Chdir("/proc"); err != nil {
		return -1, err
	}
	lower := make([]string, len(layers))
	for i, fd := range layers {
		lower[i] = fmt.Sprint(i)
		if err := unix.Mkdir(lower[i], 0o700); err != nil {
			return -1, err
		}
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, lower[i], unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return -1, fmt.Errorf("attach layer: %w", err)
		}
	}
	data := "lowerdir=" + strings.Join(lower, ":")
	if fs.Upper != "" {
		data += ",upperdir=" + escapeOverlay(fs.Upper) + ",workdir=" + escapeOverlay(fs.Work)
		if fs.Volatile {
			data += ",volatile"
		}
	}
	if err := unix.Mkdir("root", 0o700); err != nil {
		return -1, err
	}
	if err := unix.Mount("overlay", "root", "overlay", 0, data); err != nil {
		return -1, fmt.Errorf("mount overlay: %w", err)
	}
	fd, err := linux.OpenTree(unix.AT_FDCWD, "root", false)
	if err != nil {
		return -1, err
	}
	if attrs != 0 {
		err = linux.SetAttr(fd, false, &unix.MountAttr{Attr_set: uint64(attrs)})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// escapeOverlay escapes what separates paths and options in overlayfs's option string.
func escapeOverlay(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace(dir)
}
