package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"gourd/internal/container"

	"github.com/pelletier/go-toml/v2"
)

// DefaultConfigPath is where the administrator's configuration is, if there is one.
const DefaultConfigPath = "/etc/gourd/gourd.toml"

// Config is the engine's configuration: gourd.toml over built-in defaults; the front door puts its own
// settings (--root, GOURD_ROOT) over it before Open.
type Config struct {
	Root  string `toml:"root"`  // what must outlive a reboot
	State string `toml:"state"` // what must not

	StorageDriver  string                   `toml:"storage-driver"`  // "" chooses
	DefaultRuntime string                   `toml:"default-runtime"` // "" or "gourd" is gourd's own
	Runtimes       map[string]RuntimeConfig `toml:"runtimes"`
	IDs            IDPool                   `toml:"ids"`
	Network        NetworkConfig            `toml:"network"`
	Log            LogConfig                `toml:"log"`

	// Monitor is the path of gourd-monitor; "" looks beside the running program, then in PATH.
	Monitor string `toml:"monitor"`
	// File is where the configuration was read from, "" with the defaults alone.
	File string `toml:"-"`
}

// RuntimeConfig is one OCI runtime that --runtime can name.
type RuntimeConfig struct {
	Path string   `toml:"path"`
	Args []string `toml:"args"`
}

// IDPool is the range of host user and group ids that user namespaces are leased from.
type IDPool struct {
	Base uint32 `toml:"base"`
	Size uint32 `toml:"size"`
}

// NetworkConfig is the default network, `--network bridge`.
type NetworkConfig struct {
	Default string   `toml:"default"` // the mode without --network: "bridge", "none" or "host"
	Bridge  string   `toml:"bridge"`  // interface; "" is the first free gourdN
	Subnet  string   `toml:"subnet"`  // "" chooses a free one
	DNS     []string `toml:"dns"`

	subnet netip.Prefix // Subnet, parsed
}

// LogConfig is the log of containers that don't say.
type LogConfig struct {
	Driver string            `toml:"driver"`
	Opts   map[string]string `toml:"opts"`
}

// DefaultConfig is the built-in configuration.
func DefaultConfig() Config {
	return Config{
		Root:    "/var/lib/gourd",
		State:   "/run/gourd",
		IDs:     IDPool{Base: 0x20000000, Size: 0x40000000},
		Network: NetworkConfig{Default: "bridge"},
		Log:     LogConfig{Driver: "json-file", Opts: map[string]string{"max-size": "10m", "max-file": "3"}},
	}
}

// LoadConfig reads a configuration file over the defaults. A missing file is an error only if required
// (the user named it). Errors: ErrInvalid with the line for what can't be read or isn't known.
func LoadConfig(path string, required bool) (Config, error) {
	c := DefaultConfig()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return c, nil
	}
	if err != nil {
		return c, container.Invalid("read configuration", path, err, "")
	}
	defer f.Close()
	if err := toml.NewDecoder(f).DisallowUnknownFields().Decode(&c); err != nil {
		return c, container.Invalid("read configuration", path, tomlCause(err), "correct the file")
	}
	c.File = path
	if err := c.check(); err != nil {
		return c, container.Invalid("read configuration", path, err, "correct the file")
	}
	return c, nil
}

// tomlCause puts the position into the reason.
func tomlCause(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		row, _ := strict.Errors[0].Position()
		return fmt.Errorf("line %d: unknown key %q", row, strict.Errors[0].Key())
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, column := decode.Position()
		return fmt.Errorf("line %d, column %d: %s", row, column, decode.Error())
	}
	return err
}

// check refuses values that no container could be made with.
func (c *Config) check() error {
	if !filepath.IsAbs(c.Root) || !filepath.IsAbs(c.State) {
		return errors.New("root and state must be absolute paths")
	}
	if c.IDs.Size < idsPerContainer || c.IDs.Base < idsPerContainer || uint64(c.IDs.Base)+uint64(c.IDs.Size) > 1<<31 {
		return fmt.Errorf("ids: the pool needs at least %d ids between %d and 2147483648", idsPerContainer, idsPerContainer)
	}
	for name, r := range c.Runtimes {
		if !filepath.IsAbs(r.Path) {
			return fmt.Errorf("runtimes.%s: path must be absolute", name)
		}
	}
	if r := c.DefaultRuntime; r != "" && r != "gourd" && c.Runtimes[r].Path == "" {
		return fmt.Errorf("default-runtime %q is not in [runtimes]", r)
	}
	if c.Network.Subnet != "" {
		prefix, err := netip.ParsePrefix(c.Network.Subnet)
		if err != nil {
			return fmt.Errorf("network.subnet: %w", err)
		}
		c.Network.subnet = prefix
	}
	switch c.Network.Default {
	case "bridge", "none", "host":
		return nil
	}
	return fmt.Errorf("network.default %q is not bridge, none or host", c.Network.Default)
}
