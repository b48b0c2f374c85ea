package runtime

import (
	"errors"
	"fmt"
	"os"

	"gourd/internal/container"

	"golang.org/x/sys/unix"
)

// awaitReady waits until the child has done everything but the user's program.
func (k *Container) awaitReady() error {
	code, ok, err := k.p.Wait()
	switch {
	case err != nil:
		return err
	case !ok:
		return k.ended()
	case code != reportReady:
		return fmt.Errorf("wait for the child: it reports %d", code)
	}
	return nil
}

// Start begins the user's program. An error has the failed step's name, and the process is gone then.
func (k *Container) Start() error {
	if k.fifo {
		return &container.Error{Verb: "start container", Kind: container.ErrInvalid, Cause: errors.New("it waits for StartCreated")}
	}
	if err := k.p.Go(); err != nil {
		return err
	}
	err := k.started()
	if err != nil {
		k.Wait()
	}
	return err
}

// started waits for the execve.
func (k *Process) started() error {
	for {
		_, ok, err := k.p.Wait()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
	}
	err := k.ended()
	if errors.Is(err, errReplaced) {
		k.begun = true
		k.p.Disconnect()
		return nil
	}
	return err
}

// A container that another process will start (OCI create, then start) waits at two FIFOs: `start` writes a byte
// to the first; the second tells it how the execve went, by a record or by its end.
const resultSuffix = ".result"

// MakeFIFO makes the files that Config.ExecFIFO names, for the owner alone.
func MakeFIFO(path string) error {
	for _, name := range []string{path, path + resultSuffix} {
		if err := unix.Mkfifo(name, 0o600); err != nil {
			return &os.PathError{Op: "mkfifo", Path: name, Err: err}
		}
	}
	return nil
}

// StartCreated begins the program of a container that waits at ExecFIFO and removes the FIFOs.
// Errors: container.ErrConflict if none waits; else those of Start.
func StartCreated(path string) error {
	result, err := os.OpenFile(path+resultSuffix, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return notCreated(err)
	}
	defer result.Close()
	start, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return notCreated(err)
	}
	defer start.Close()
	if _, err := start.Write([]byte{1}); err != nil {
		return notCreated(err)
	}
	os.Remove(path)
	os.Remove(path + resultSuffix)
	return readResult(result)
}

func notCreated(err error) error {
	return &container.Error{
		Verb: "start container", Kind: container.ErrConflict,
		Cause: fmt.Errorf("cannot start a container that has stopped or is running: %w", err),
	}
}
