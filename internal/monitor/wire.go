package monitor

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"gourd/internal/container"
	"gourd/internal/network"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// wire connects a container to its network.
type wire struct {
	store    *container.Store
	record   *container.Record
	attached bool
	told     []string // what the user should know
}

func (w *wire) networks() *network.Networks {
	return network.Open(w.store.Root, w.store.State, network.Options{Notice: func(s string) { w.told = append(w.told, s) }})
}

// attach gives the network namespace of pid its interface, and writes what depends on its address.
func (w *wire) attach(pid int, spec *specs.Spec) error {
	if mode := w.record.Network.Mode; mode != "" && mode != "bridge" {
		return nil
	}
	nets := w.networks()
	endpoint, err := nets.Attach(network.AttachRequest{ID: w.record.ID, Pid: pid, MAC: w.record.Network.MAC})
	if err != nil {
		return err
	}
	w.attached = true
	w.record.Network.Endpoints = []container.Endpoint{*endpoint}
	return w.writeHosts(nets, endpoint, spec)
}

func (w *wire) detach() error {
	if !w.attached {
		return nil
	}
	w.attached = false
	return w.networks().Detach(w.record.ID)
}

// writeHosts puts the container's address into its /etc/hosts.
func (w *wire) writeHosts(nets *network.Networks, e *container.Endpoint, spec *specs.Spec) error {
	address, err := netip.ParsePrefix(e.IPv4)
	if err != nil {
		return fmt.Errorf("read address of container: %w", err)
	}
	o := network.HostsOptions{Address: address.Addr(), Hostname: spec.Hostname, Domainname: spec.Domainname}
	for _, text := range w.record.Network.ExtraHosts {
		h, err := network.ParseExtraHost(text)
		if err != nil {
			return err
		}
		o.Extra = append(o.Extra, h)
		if strings.Contains(text, "host-gateway") && !o.Gateway.IsValid() {
			if o.Gateway, err = nets.Gateway(); err != nil {
				return err
			}
		}
	}
	b, err := network.HostsFile(o)
	if err != nil {
		return err
	}
	// In place: the file is mounted in the container.
	if err := os.WriteFile(filepath.Join(w.store.Dir(w.record.ID), "hosts"), b, 0o644); err != nil {
		return fmt.Errorf("write hosts file: %w", err)
	}
	return nil
}
