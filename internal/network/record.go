package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"gourd/internal/container"
)

// recordVersion is the version of a network's record that this gourd writes. It reads all up to it.
const recordVersion = 1

// Default is the name of the network that a container gets when nothing else is said.
const Default = "bridge"

// record is one network, as ROOT/networks/NAME.json keeps it for people and for the next process.
type record struct {
	Version int          `json:"version"`
	Name    string       `json:"name"`
	Driver  string       `json:"driver"` // "bridge"
	Bridge  string       `json:"bridge"` // the interface
	Subnet  netip.Prefix `json:"subnet"`
	Gateway netip.Addr   `json:"gateway"` // the bridge's own address
	MTU     uint32       `json:"mtu"`
	// ChosenBridge, ChosenSubnet: gourd chose these, so it may choose others when the host needs them.
	ChosenBridge bool `json:"chosen_bridge,omitempty"`
	ChosenSubnet bool `json:"chosen_subnet,omitempty"`
	// KeepForwarding: the user doesn't want net.ipv4.ip_forward to be turned on.
	KeepForwarding bool `json:"keep_forwarding,omitempty"`
	// Changed are host settings that gourd changed for this network, with the value from before.
	Changed map[string]string `json:"changed,omitempty"`
}

// address is the bridge's address with the length of the network's prefix.
func (r *record) address() netip.Prefix { return netip.PrefixFrom(r.Gateway, r.Subnet.Bits()) }

func (n *Networks) recordPath() string {
	return filepath.Join(n.root, "networks", Default+".json")
}

// load reads the network's record. Errors: ErrNotFound before the network was first used, ErrCorrupt.
func (n *Networks) load() (*record, error) {
	b, err := os.ReadFile(n.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &container.Error{Verb: "find network", Object: Default, Kind: container.ErrNotFound}
	}
	if err != nil {
		return nil, &container.Error{Verb: "read network", Object: Default, Cause: err}
	}
	r := new(record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, corrupt(n.recordPath(), err)
	}
	switch {
	case r.Version > recordVersion:
		return nil, &container.Error{
			Verb: "read network", Object: Default, Kind: container.ErrUnsupported,
			Cause: fmt.Errorf("it has version %d, this gourd knows up to %d", r.Version, recordVersion), Hint: "use the newer gourd that made it",
		}
	case !r.Subnet.IsValid() || !r.Subnet.Addr().Is4() || !r.Subnet.Contains(r.Gateway):
		return nil, corrupt(n.recordPath(), fmt.Errorf("gateway %v is not in subnet %v", r.Gateway, r.Subnet))
	}
	if err := checkInterface(r.Bridge); err != nil {
		return nil, corrupt(n.recordPath(), err)
	}
	return r, nil
}

func corrupt(path string, cause error) error {
	return &container.Error{
		Verb: "read network", Object: path, Kind: container.ErrCorrupt, Cause: cause,
		Hint: "remove the file: gourd makes a new one",
	}
}

func (n *Networks) store(r *record) error {
	r.Version = recordVersion
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return &container.Error{Verb: "write network", Object: r.Name, Cause: err}
	}
	if err := os.MkdirAll(filepath.Dir(n.recordPath()), 0o700); err != nil {
		return &container.Error{Verb: "write network", Object: r.Name, Cause: err}
	}
	return container.WriteFile(n.recordPath(), append(b, '\n'), 0o600)
}

// checkInterface refuses what can't be an interface's name (dev_valid_name in the kernel: at most 15
// bytes, no slash, colon or white space) or would be misread in a path or a rule.
func checkInterface(name string) error {
	bad := name == "" || len(name) > 15 || name == "." || name == ".."
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			bad = true
		}
	}
	if bad {
		return container.Invalid("use interface name", fmt.Sprintf("%q", name), errors.New("a name has 1 to 15 of the characters [a-zA-Z0-9_.-]"), "")
	}
	return nil
}
