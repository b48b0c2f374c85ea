package layer

import (
	"errors"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// openAttempts bounds the retries of openat2: with RESOLVE_IN_ROOT the kernel gives EAGAIN when anything on the
// machine is renamed or mounted while it walks over a "..".
const openAttempts = 128

// openInRoot opens a path below root so that nothing in the tree (symbolic links, "..") leads out of it.
func openInRoot(root int, name string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	var err error
	for range openAttempts {
		var fd int
		if fd, err = unix.Openat2(root, name, &how); err == nil {
			return fd, nil
		}
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return -1, err
}

// lstatAt looks at name in dir without following it.
func lstatAt(dir int, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func isDir(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

// isWhiteout knows overlayfs' form of a whiteout (Documentation/filesystems/overlayfs.rst).
func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

// removeAll deletes name in dir with all that is below it, never following a link.
func removeAll(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EISDIR {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	names, err := readNames(fd)
	for _, n := range names {
		err = errors.Join(err, removeAll(fd, n))
	}
	unix.Close(fd)
	if err != nil {
		return err
	}
	return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
}

// readNames lists an open directory from its beginning. The descriptor stays the caller's.
func readNames(fd int) ([]string, error) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}

// procPath names an open file so that calls that take only a path reach this very file: the kernel follows the
// magic link to the inode and not further, also where it is a symbolic link opened with O_PATH.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// split gives the directory ("." for none) and the last part of a clean name.
func split(name string) (dir, base string) {
	return path.Dir(name), path.Base(name)
}

// Usage sums up the sizes of the files below an open directory, in bytes, a file with several names once. What a
// running container takes away meanwhile doesn't count.
func Usage(root *os.File) (int64, error) {
	return usage(int(root.Fd()), map[inode]bool{})
}

func usage(dir int, seen map[inode]bool) (sum int64, err error) {
	names, err := readNames(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		st, err := lstatAt(dir, name)
		switch {
		case err == unix.ENOENT:
		case err != nil:
			return 0, err
		case isDir(&st):
			n, err := usageBelow(dir, name, seen)
			if err != nil {
				return 0, err
			}
			sum += n
		case st.Mode&unix.S_IFMT == unix.S_IFREG && !seen[inode{st.Dev, st.Ino}]:
			if st.Nlink > 1 {
				seen[inode{st.Dev, st.Ino}] = true
			}
			sum += st.Size
		}
	}
	return sum, nil
}

func usageBelow(parent int, name string, seen map[inode]bool) (int64, error) {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, ignoreGone(err)
	}
	defer unix.Close(fd)
	return usage(fd, seen)
}
