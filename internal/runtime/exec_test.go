package runtime

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"gourd/internal/container"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// sleeper starts a container that sleeps.
func sleeper(t *testing.T, spec *specs.Spec) (*Container, Target) {
	t.Helper()
	spec.Process.Args = []string{"sleep", "100"}
	k, err := Run(testConfig(t, spec))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Kill(unix.SIGKILL)
		k.Wait()
		k.Close()
	})
	id, err := container.Identify(k.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return k, Target{ID: "test", Process: id}
}

func execOutput(t *testing.T, target Target, p *specs.Process) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	k, err := Exec(target, p, ExecOptions{Stdio: [3]*os.File{nil, w, w}, ParentDeath: unix.SIGKILL})
	w.Close()
	if err != nil {
		return "", err
	}
	defer k.Close()
	b, _ := io.ReadAll(r)
	_, err = k.Wait()
	return string(b), err
}

func TestExec(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
		_, target := sleeper(t, spec)
		p := *spec.Process
		p.Args = []string{"sh", "-c", `for n in cgroup ipc mnt net pid time user uts; do test $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) || echo $n differs; done
			echo /proc/self/fd/*; readlink /proc/1/exe; grep CapInh /proc/self/status; id -u; id -G; pwd; env`}
		p.User = specs.User{UID: 0, GID: 0, AdditionalGids: []uint32{7}}
		p.Cwd, p.Env = "/etc", []string{"PATH=/bin", "X=y"}
		out, err := execOutput(t, target, &p)
		want := "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n/bin/busybox\nCapInh:\t0000000000000000\n0\n0 7\n/etc\nSHLVL=1\nHOME=/root\nPATH=/bin\nX=y\nPWD=/etc\n"
		if err != nil || strings.ReplaceAll(out, "X=y\nPATH=/bin\n", "PATH=/bin\nX=y\n") != want {
			t.Errorf("%v\ngot  %q\nwant %q", err, out, want)
		}
		p.User, p.Args = specs.User{UID: 1000, GID: 1000}, []string{"sh", "-c", "id -u; pwd; grep CapEff /proc/self/status"}
		if out, err := execOutput(t, target, &p); err != nil || out != "1000\n/etc\nCapEff:\t0000000000000000\n" {
			t.Errorf("%v %q", err, out)
		}
	})
}

func TestExecErrors(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		k, target := sleeper(t, spec)
		for command, code := range map[string]int{"nosuch": 127, "/etc": 126, "/etc/passwd": 126} {
			p := *spec.Process
			p.Args = []string{command}
			if _, err := execOutput(t, target, &p); container.ExitCode(err) != code {
				t.Errorf("%s: %v", command, err)
			}
		}
		p := *spec.Process
		p.Args, p.Cwd = []string{"true"}, "/nodir"
		if _, err := execOutput(t, target, &p); err == nil || !strings.Contains(err.Error(), "/nodir") {
			t.Errorf("cwd: %v", err)
		}
		k.Kill(unix.SIGKILL)
		k.Wait()
		p.Cwd = "/"
		if _, err := execOutput(t, target, &p); container.KindName(err) != "not-running" {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestExecTerminal(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		spec := testSpec(userNS)
		_, target := sleeper(t, spec)
		p := *spec.Process
		p.Args, p.Terminal = []string{"sh", "-c", "tty; stat -c %u $(tty)"}, true
		k, err := Exec(target, &p, ExecOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		b, _ := io.ReadAll(k.Console)
		k.Wait()
		if got := strings.ReplaceAll(string(b), "\r", ""); got != "/dev/pts/0\n0\n" {
			t.Errorf("output %q", got)
		}
	})
}

func TestJoinNamespaces(t *testing.T) {
	modes(t, func(t *testing.T, userNS bool) {
		first := testSpec(userNS)
		k, _ := sleeper(t, first)
		spec := testSpec(userNS)
		for i := range spec.Linux.Namespaces {
			n := &spec.Linux.Namespaces[i]
			for _, f := range nsFiles {
				if f.flag == cloneFlag(n.Type) && f.flag&(unix.CLONE_NEWNS|unix.CLONE_NEWCGROUP) == 0 {
					n.Path = "/proc/" + strconv.Itoa(k.Pid) + "/ns/" + f.name
				}
			}
		}
		spec.Hostname = ""
		spec.Linux.UIDMappings, spec.Linux.GIDMappings = nil, nil
		out := sh(t, spec, "hostname; ps | grep -c 'sleep 10[0]'; stat -c %u /bin/busybox /dev/null; id -u")
		if out != "box\n1\n0\n0\n0\n" {
			t.Fatal(out)
		}
	})
}
