package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"gourd/internal/container"
)

func (n *Networks) leaseDir() string { return filepath.Join(n.state, "networks", Default) }

// lease takes an address of the network for a container: want, or with an invalid want the lowest free
// one. Making the symbolic link is what takes it, so any number of processes may do it at once.
// Errors: ErrInUse if want is taken or none is left.
func (n *Networks) lease(r *record, id string, want netip.Addr) (netip.Addr, error) {
	held, err := n.held()
	if err == nil && held == nil {
		err = os.MkdirAll(n.leaseDir(), 0o700)
	}
	if err != nil {
		return netip.Addr{}, err
	}
	if want.IsValid() {
		return want, n.leaseExact(r, id, want)
	}
	broadcast := last(r.Subnet)
	for a := r.Subnet.Addr().Next(); a.Less(broadcast); a = a.Next() {
		if a == r.Gateway || held[a.String()] {
			continue
		}
		err := os.Symlink(id, filepath.Join(n.leaseDir(), a.String()))
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return netip.Addr{}, &container.Error{Verb: "lease address", Object: a.String(), Cause: err}
		}
	}
	return netip.Addr{}, &container.Error{
		Verb: "lease address in network", Object: r.Name, Kind: container.ErrInUse,
		Cause: fmt.Errorf("all addresses of %v are taken", r.Subnet), Hint: "remove containers, or set a larger network.subnet in gourd.toml",
	}
}

func (n *Networks) leaseExact(r *record, id string, want netip.Addr) error {
	if !r.Subnet.Contains(want) || want == r.Gateway || want == r.Subnet.Addr() || want == last(r.Subnet) {
		return container.Invalid("use address", want.String(), fmt.Errorf("it is not a container's address in %v", r.Subnet), "")
	}
	path := filepath.Join(n.leaseDir(), want.String())
	err := os.Symlink(id, path)
	if errors.Is(err, fs.ErrExist) {
		owner, _ := os.Readlink(path)
		return &container.Error{Verb: "use address", Object: want.String(), Kind: container.ErrInUse, Cause: fmt.Errorf("container %s has it", owner)}
	}
	if err != nil {
		return &container.Error{Verb: "use address", Object: want.String(), Cause: err}
	}
	return nil
}

// held is the set of leased addresses, as text.
func (n *Networks) held() (map[string]bool, error) {
	f, err := os.Open(n.leaseDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &container.Error{Verb: "list addresses of network", Object: Default, Cause: err}
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, &container.Error{Verb: "list addresses of network", Object: Default, Cause: err}
	}
	held := make(map[string]bool, len(names))
	for _, name := range names {
		held[name] = true
	}
	return held, nil
}

// Detach gives a container's addresses back. Its interfaces vanish with its network namespace. A
// container without an address is no error.
func (n *Networks) Detach(id string) error {
	return n.release(func(owner string) bool { return owner == id })
}

// Sweep gives back the addresses of containers that are not alive.
func (n *Networks) Sweep(alive func(id string) bool) error {
	return n.release(func(owner string) bool { return !alive(owner) })
}

// release removes the leases of owners that gone says yes to. The lock keeps two releasers apart: between
// looking and removing, the address could have gone to another container. Leasing takes no lock, and
// doesn't need one: it never removes.
func (n *Networks) release(gone func(owner string) bool) error {
	held, err := n.held()
	if err != nil || len(held) == 0 {
		return err
	}
	unlock, err := container.LockFile(n.leaseDir() + ".release")
	if err != nil {
		return err
	}
	defer unlock()
	for address := range held {
		path := filepath.Join(n.leaseDir(), address)
		owner, err := os.Readlink(path)
		if err != nil || !gone(owner) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &container.Error{Verb: "release address", Object: address, Cause: err}
		}
	}
	return nil
}
