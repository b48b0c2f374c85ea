// Package layering holds the rule of docs/architecture.md that nothing imports upwards and that peers
// never import each other, and that the small binaries stay free of heavy packages.
package layering

import (
	"os/exec"
	"strings"
	"testing"
)

// mayImport gives, for each layer, the layers of ours it may import beside itself.
var mayImport = map[string][]string{
	"linux":     {},
	"container": {},
	"layer":     {"container", "linux"},
	"image":     {"container", "linux", "layer"},
	"snapshot":  {"container", "linux", "layer"},
	"network":   {"container", "linux"},
	"cgroup":    {"container", "linux"},
	"procview":  {"container", "linux"},
	"runtime":   {"cgroup", "container", "linux"},
	"engine":    {"image", "snapshot", "network", "cgroup", "container", "linux", "layer"},
	"monitor":   {"runtime", "snapshot", "network", "cgroup", "procview", "container", "linux", "layer"},
	"face":      {"engine", "container", "image"},

	"cmd/gourd":         {"face", "engine", "container", "image"},
	"cmd/gourd-man":     {"face", "engine", "container", "cmd/gourd"},
	"cmd/gourd-monitor": {"monitor", "container"},
	"cmd/gourd-runtime": {"runtime", "cgroup", "container", "linux"},
	"cmd/gourd-hello":   {},
	"cmd/gourd-init":    {},
}

// layerOf turns an import path into its layer: "gourd/internal/image/hello" is "image".
func layerOf(path string) string {
	rest, ours := strings.CutPrefix(path, "gourd/")
	if !ours {
		return ""
	}
	parts := strings.Split(rest, "/")
	switch parts[0] {
	case "internal":
		return parts[1]
	case "cmd":
		return "cmd/" + parts[1]
	default:
		return parts[0] // "test"
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestNothingImportsUpwards(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./cmd/...", "./internal/...") {
		fields := strings.Fields(line)
		from := layerOf(fields[0])
		allowed, known := mayImport[from]
		if !known {
			t.Errorf("%s is in no layer: add %q to the rule, or move it", fields[0], from)
			continue
		}
		for _, imported := range fields[1:] {
			to := layerOf(imported)
			if to == "" || to == from || contains(allowed, to) {
				continue
			}
			t.Errorf("%s imports %s: %s may import %v only", fields[0], imported, from, allowed)
		}
	}
}

// heavy packages are paid for at every start: their init runs before main.
var heavy = map[string][]string{
	"gourd/cmd/gourd-monitor": {"net/http", "google.golang.org/grpc", "google.golang.org/protobuf", "github.com/google/go-containerregistry", "database/sql", "gopkg.in/yaml.v3", "github.com/spf13/cobra"},
	"gourd/cmd/gourd-runtime": {"net/http", "google.golang.org/grpc", "google.golang.org/protobuf", "github.com/google/go-containerregistry", "database/sql", "gopkg.in/yaml.v3"},
}

func TestSmallBinariesStaySmall(t *testing.T) {
	for binary, banned := range heavy {
		for _, dep := range goList(t, "-deps", binary) {
			for _, b := range banned {
				if dep == b || strings.HasPrefix(dep, b+"/") {
					t.Errorf("%s links %s", binary, dep)
				}
			}
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
