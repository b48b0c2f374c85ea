package explain

import (
	"strings"
	"testing"
	"time"

	"gourd/internal/container"
	"gourd/internal/engine"
)

func TestExplainFitsItsWidth(t *testing.T) {
	x := &engine.Explanation{
		ID: "0123456789abcdef", Name: "web",
		Steps: []container.Step{
			{Name: "make cgroup", Where: "parent", Calls: []string{"mkdir(/sys/fs/cgroup/cpu/gourd/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef)"}, Why: "limits are written before anything of the container runs in it, so that no process is ever outside of them", At: 120 * time.Microsecond},
			{Name: "mount proc", Where: "child", Calls: []string{`fsopen("proc")`, "move_mount(→ /proc)"}, At: 1500 * time.Microsecond},
		},
		Views:      []engine.View{{What: "pid", Host: "1322", Container: "1"}, {What: "root", Host: "/var/lib/gourd/overlay/0123456789abcdef0123456789abcdef0123456789abcdef/root", Container: "/"}},
		Namespaces: []engine.NamespaceView{{Type: "pid", Inode: 4026532111, Host: 4026531836}, {Type: "net", Inode: 4026531840, Host: 4026531840, Shared: true}},
		Cgroups:    []engine.CgroupFile{{Controller: "cpu", Path: "/sys/fs/cgroup/cpu/gourd/01/cpu.cfs_quota_us", Value: "20000\n"}, {Controller: "cpu", Path: "/sys/fs/cgroup/cpu/gourd/01/cpu.cfs_period_us", Value: "100000\n"}},
	}
	for _, width := range []int{80, 100, 120} {
		var b strings.Builder
		if err := Print(&b, x, Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if n := len([]rune(line)); n > width {
				t.Errorf("%d columns in %d: %s", n, width, line)
			}
		}
		for _, want := range []string{"How it was made: 2 steps, 1.5 ms", "make cgroup", "inside", "1322", "shared with the host", "its own", "cpu.cfs_quota_us  │ 20000"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in:\n%s", want, b.String())
			}
		}
		if width == 100 {
			t.Log("\n" + b.String())
		}
	}
}
