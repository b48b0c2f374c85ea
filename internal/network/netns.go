package network

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace runs do on the calling goroutine's thread, which is in the network namespace of descriptor
// netns for so long. Should the kernel not let it back, the goroutine stays locked to the thread, so that
// no other ever runs there.
func inNamespace(netns int, do func() error) error {
	runtime.LockOSThread()
	back, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return os.NewSyscallError("open /proc/thread-self/ns/net", err)
	}
	defer unix.Close(back)
	if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return os.NewSyscallError("setns", err)
	}
	err = do()
	if backErr := unix.Setns(back, unix.CLONE_NEWNET); backErr != nil {
		return errors.Join(err, os.NewSyscallError("setns back", backErr))
	}
	runtime.UnlockOSThread()
	return err
}
