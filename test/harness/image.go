package harness

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// BusyboxPath is Debian's static busybox.
const BusyboxPath = "/bin/busybox"

// Busybox imports an image "busybox" (the static program, a link per applet, passwd and group) and
// returns its name.
func (g *Gourd) Busybox() string {
	g.T.Helper()
	g.Import("busybox", BusyboxTar(g.T))
	return "busybox"
}

// Import makes an image of a tar of its root filesystem; changes are import's --change.
func (g *Gourd) Import(name string, tarball []byte, changes ...string) {
	g.T.Helper()
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	if r := g.RunInput(string(tarball), append(args, "-", name)...); r.Code != 0 {
		g.T.Fatalf("import %s: exit code %d: %s", name, r.Code, r.Stderr)
	}
}

// File is one more file of a root filesystem.
type File struct {
	Name     string
	Body     string
	Mode     int64 // 0 is 0644; directories end in "/"
	UID, GID int
	Link     string // a symbolic link's target
}

// BusyboxTar makes the tar of a small root filesystem, with further files.
func BusyboxTar(t testing.TB, more ...File) []byte {
	t.Helper()
	program, err := os.ReadFile(BusyboxPath)
	if err != nil {
		t.Fatalf("%v: apt-get install busybox-static", err)
	}
	out, err := exec.Command(BusyboxPath, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := []File{
		{Name: "bin/", Mode: 0o755},
		{Name: "dev/", Mode: 0o755},
		{Name: "etc/", Mode: 0o755},
		{Name: "home/", Mode: 0o755},
		{Name: "proc/", Mode: 0o555},
		{Name: "root/", Mode: 0o700},
		{Name: "sys/", Mode: 0o555},
		{Name: "tmp/", Mode: 0o1777},
		{Name: "usr/", Mode: 0o755},
		{Name: "var/", Mode: 0o755},
		{Name: "etc/passwd", Body: "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"},
		{Name: "etc/group", Body: "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n"},
		{Name: "bin/busybox", Body: string(program), Mode: 0o755},
	}
	for _, applet := range strings.Fields(string(out)) {
		if applet != "busybox" {
			files = append(files, File{Name: "bin/" + applet, Link: "busybox"})
		}
	}
	return Tar(t, append(files, more...)...)
}

// Tar makes an archive of the files.
func Tar(t testing.TB, files ...File) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: f.Mode, Uid: f.UID, Gid: f.GID, Size: int64(len(f.Body)), Typeflag: tar.TypeReg}
		switch {
		case f.Link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
		case strings.HasSuffix(f.Name, "/"):
			h.Typeflag = tar.TypeDir
		case h.Mode == 0:
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprint(w, f.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
