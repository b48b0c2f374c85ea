package network

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace runs do on a thread that is in the network namespace of descriptor netns for so long.
func inNamespace(netns int, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		back, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			done <- os.NewSyscallError("open /proc/thread-self/ns/net", err)
			return
		}
		defer unix.Close(back)
		if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- os.NewSyscallError("setns", err)
			return
		}
		err = do()
		if backErr := unix.Setns(back, unix.CLONE_NEWNET); backErr != nil {
			// Still locked: the runtime ends the thread with this goroutine, so no other ever runs there.
			done <- errors.Join(err, os.NewSyscallError("setns back", backErr))
			return
		}
		runtime.UnlockOSThread()
		done <- err
	}()
	return <-done
}
