package main

import (
	"encoding/json"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	oci "github.com/opencontainers/runtime-spec/specs-go/features"

	"gourd/internal/runtime"
	"gourd/internal/runtime/seccomp"
)

func features(c *call) (int, error) {
	c.set()
	if _, err := c.parse(0, 0); err != nil {
		return 0, err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "    ")
	return 0, e.Encode(supported())
}

// supported says what this runtime does, and no more: engines choose by it.
func supported() *oci.Features {
	yes, no := true, false
	known := runtime.Known()
	return &oci.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         known.Hooks,
		MountOptions:  known.MountOptions,
		Linux: &oci.Linux{
			Namespaces:   known.Namespaces,
			Capabilities: known.Capabilities,
			Cgroup:       &oci.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &no, Rdma: &yes},
			Seccomp: &oci.Seccomp{
				Enabled: &yes, Actions: seccomp.Actions(), Operators: seccomp.Operators(), Archs: seccomp.Archs(),
				KnownFlags: seccomp.Flags(), SupportedFlags: seccomp.Flags(),
			},
			Apparmor:        &oci.Apparmor{Enabled: &no},
			Selinux:         &oci.Selinux{Enabled: &no},
			IntelRdt:        &oci.IntelRdt{Enabled: &no},
			MountExtensions: &oci.MountExtensions{IDMap: &oci.IDMap{Enabled: &yes}},
			NetDevices:      &oci.NetDevices{Enabled: &no},
		},
		PotentiallyUnsafeConfigAnnotations: []string{"org.systemd.property."},
	}
}
