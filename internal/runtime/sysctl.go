package runtime

import (
	"errors"
	"fmt"
	"strings"

	"gourd/internal/runtime/child"

	"golang.org/x/sys/unix"
)

// ipcSysctls are those of the IPC namespace (namespaces(7)).
var ipcSysctls = []string{
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
}

// sysctlPath gives a sysctl's path below /proc/sys. Either separator may stand first and then decides, as with
// sysctl(8): net.ipv4.conf.eth0/100.mtu and net/ipv4/conf/eth0.100/mtu are the same.
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}

// checkSysctls accepts only sysctls that a namespace of the container's own has: others would change the host
// (CVE-2022-0811).
func (b *build) checkSysctls() error {
	for name, value := range b.spec.Linux.Sysctl {
		if err := b.checkSysctl(sysctlPath(name)); err != nil {
			return b.invalid("sysctl "+name, err)
		}
		if strings.IndexByte(value, 0) >= 0 {
			return b.invalid("sysctl "+name, errors.New("its value contains a zero byte"))
		}
	}
	return nil
}

func (b *build) checkSysctl(p string) error {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 {
			return errors.New("it is no name of a sysctl")
		}
	}
	need := uintptr(0)
	switch {
	case strings.HasPrefix(p, "net/"):
		need = unix.CLONE_NEWNET
	case strings.HasPrefix(p, "fs/mqueue/"):
		need = unix.CLONE_NEWIPC
	case p == "kernel/domainname" || p == "kernel/hostname":
		need = unix.CLONE_NEWUTS
	default:
		for _, known := range ipcSysctls {
			if p == known {
				need = unix.CLONE_NEWIPC
			}
		}
	}
	if need == 0 {
		return errors.New("it is not in a separate kernel namespace: it would change the whole machine")
	}
	if !b.ns.has(need) {
		return fmt.Errorf("it needs a %s namespace of the container's own", flagName(need))
	}
	return nil
}

// writeSysctls writes the sysctls through a proc mount that nobody else can reach yet; nothing can be mounted
// over a part of it, and links in it aren't followed (CVE-2025-52881).
func (b *build) writeSysctls(proc child.Slot) {
	if len(b.spec.Linux.Sysctl) == 0 || b.sysctlsWritten {
		return
	}
	b.sysctlsWritten = true
	p := b.p
	how := child.Struct(p, unix.OpenHow{
		Flags:   unix.O_WRONLY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS,
	})
	for _, name := range sortedKeys(b.spec.Linux.Sysctl) {
		value := b.spec.Linux.Sysctl[name]
		p.Step("set sysctl "+name, "a knob of the container's own kernel view")
		fd := p.NewSlot()
		p.Call(unix.SYS_OPENAT2, proc.Value(), p.Str("sys/"+sysctlPath(name)), how, child.N(openHowSize)).Into(fd)
		p.Call(unix.SYS_WRITE, fd.Value(), p.Str(value), child.N(len(value)))
		p.Call(unix.SYS_CLOSE, fd.Value())
	}
}

// sysctlsWithoutProc writes them for a container that mounts no /proc.
func (b *build) sysctlsWithoutProc() {
	if len(b.spec.Linux.Sysctl) == 0 || b.sysctlsWritten {
		return
	}
	b.p.Step("open private proc", "sysctls are written through it")
	b.writeSysctls(b.newMount("proc", "proc", &mountOptions{}))
}
