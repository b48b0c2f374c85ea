package monitor

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"gourd/internal/container"
	"gourd/internal/monitor/initbin"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// initPath is where a container finds its first process with --init.
const initPath = "/sbin/gourd-init"

// initMount binds gourd-init into the container, read-only. All containers of the installation share one
// file, so that its pages are in memory once; its name says what it holds.
func initMount(store *container.Store) (specs.Mount, error) {
	program := initbin.Program()
	if program == nil {
		return specs.Mount{}, &container.Error{
			Verb: "use", Object: "--init", Kind: container.ErrUnsupported,
			Cause: fmt.Errorf("this gourd-monitor was built without gourd-init"), Hint: "build it with `make build`",
		}
	}
	path := filepath.Join(store.State, fmt.Sprintf("init-%08x-%d", crc32.ChecksumIEEE(program), len(program)))
	if st, err := os.Lstat(path); err != nil || st.Size() != int64(len(program)) {
		if err := container.WriteFile(path, program, 0o755); err != nil {
			return specs.Mount{}, err
		}
	}
	// exec: the state directory's file system is usually mounted noexec.
	return specs.Mount{Destination: initPath, Type: "bind", Source: path, Options: []string{"bind", "ro", "exec", "nosuid", "nodev", "rprivate"}}, nil
}
