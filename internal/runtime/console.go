package runtime

import (
	"fmt"
	"os"

	"gourd/internal/linux"
	"gourd/internal/runtime/child"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// console is a pseudo-terminal: the master for whoever talks to the container, the slave for its processes.
type console struct {
	master *os.File
	slave  int // -1 when closed
}

func (c *console) close() {
	if c.master != nil {
		c.master.Close()
	}
	c.closeSlave()
}

func (c *console) closeSlave() {
	if c.slave >= 0 {
		unix.Close(c.slave)
		c.slave = -1
	}
}

// release hands over the master (nil if a socket has got it).
func (c *console) release() *os.File {
	c.closeSlave()
	m := c.master
	c.master = nil
	return m
}

// openConsole opens a new terminal of the devpts whose directory dir is. The slave is opened through the master
// (TIOCGPTPEER, Linux 4.13), never by its path, which the container controls (CVE-2025-52565). uid is the
// terminal's owner on the host.
func openConsole(dir int, size *specs.Box, uid int) (_ *console, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(dir, &st); err != nil || st.Type != unix.DEVPTS_SUPER_MAGIC {
		return nil, fmt.Errorf("open terminal: not a devpts file system (%v)", err)
	}
	fd, err := linux.OpenInRootFD(dir, "ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	c := &console{slave: -1}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	c.master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock terminal: %w", err)
	}
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, uintptr(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC))
	if errno != 0 {
		return nil, fmt.Errorf("open terminal's other end: %w", errno)
	}
	c.slave = int(slave)
	if size != nil {
		w := unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)}
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &w); err != nil {
			return nil, fmt.Errorf("set terminal size: %w", err)
		}
	}
	if err := unix.Fchown(c.slave, uid, -1); err != nil {
		return nil, fmt.Errorf("set terminal's owner: %w", err)
	}
	return c, nil
}

func (c *console) plainLines() error {
	t, err := unix.IoctlGetTermios(c.slave, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read terminal settings: %w", err)
	}
	t.Oflag &^= unix.ONLCR
	if err := unix.IoctlSetTermios(c.slave, unix.TCSETS, t); err != nil {
		return fmt.Errorf("change terminal settings: %w", err)
	}
	return nil
}

// send passes the master through a unix socket, with the terminal's name, as runc does.
func (c *console) send(socket *os.File) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), []byte("/dev/ptmx"), unix.UnixRights(int(c.master.Fd())), nil, unix.MSG_NOSIGNAL)
		return sent != unix.EAGAIN
	})
	if err == nil {
		err = sent
	}
	if err != nil {
		return fmt.Errorf("send terminal to console socket: %w", err)
	}
	return c.master.Close()
}

// writeDevpts mounts a devpts that the parent made: it opens the container's terminal itself.
func (b *build) writeDevpts(o *mountOptions, dest string) error {
	if !b.ptsMade {
		if err := b.makeDevpts(o); err != nil {
			return err
		}
	}
	slot := b.p.FD(b.ptsMount)
	b.ptsMade = false // a second devpts is another one
	b.p.Step("mount "+dest, "terminals of the container's own")
	b.attach(slot, dest, false)
	return nil
}

func (b *build) makeDevpts(o *mountOptions) error {
	b.ptsMade = true
	return b.parent("make terminals", "the container's terminals are numbered by itself", func() []string { return []string{`fsopen("devpts")`} }, func() (err error) {
		options := make([]linux.Option, 0, len(o.data))
		for _, d := range o.data {
			if d, err = b.mapOption(d); err != nil {
				return err
			}
			options = append(options, d)
		}
		b.ptsMount, err = linux.Mount("devpts", o.own(), options...)
		b.own(b.ptsMount)
		return err
	})
}

// makeConsole makes the terminal of the container's first process.
func (b *build) makeConsole() error {
	proc := b.spec.Process
	if proc == nil || !proc.Terminal {
		return nil
	}
	o := mountOptions{data: []linux.Option{{Key: "mode", Value: "620"}, {Key: "ptmxmode", Value: "666"}}}
	for i := range b.spec.Mounts {
		if b.spec.Mounts[i].Type == "devpts" {
			o = parseMountOptions(b.spec.Mounts[i].Options)
			break
		}
	}
	if err := b.makeDevpts(&o); err != nil {
		return err
	}
	return b.parent("open terminal", "a terminal whose other end is the user's", func() []string { return []string{"ioctl(TIOCGPTPEER)"} }, func() error {
		return b.takeConsole(b.ptsMount)
	})
}

// takeConsole opens a terminal of a devpts for the process, and gives its master to the console socket, if there is one.
func (b *build) takeConsole(pts int) error {
	proc := b.spec.Process
	uid, ok := b.ids.hostUID(proc.User.UID)
	if !ok {
		return b.invalid("process.user", fmt.Errorf("user %d is not mapped in the container's user namespace", proc.User.UID))
	}
	c, err := openConsole(pts, proc.ConsoleSize, int(uid))
	if err != nil {
		return err
	}
	b.console = c
	if b.c.PlainLines {
		if err := c.plainLines(); err != nil {
			return err
		}
	}
	if b.c.ConsoleSocket == nil {
		return nil
	}
	if err := c.send(b.c.ConsoleSocket); err != nil {
		return err
	}
	c.master = nil
	return nil
}

// writeStdio makes the terminal or the given files descriptors 0, 1 and 2.
func (b *build) writeStdio() {
	p := b.p
	if b.spec.Process != nil && b.spec.Process.Terminal {
		p.Step("take the terminal", "keys and signals from it reach the container")
	} else {
		p.Step("take standard streams", "what the container prints goes where it was told")
	}
	writeStdio(p, b.stdio, b.spec.Process != nil && b.spec.Process.Terminal)
}

func writeStdio(p *child.Program, stdio [3]child.Slot, terminal bool) {
	for i, s := range stdio {
		p.Call(unix.SYS_DUP3, s.Value(), child.N(i), child.N(0))
	}
	if terminal {
		p.Call(unix.SYS_IOCTL, child.N(0), child.N(unix.TIOCSCTTY), child.N(0))
	}
}

// stdioFiles gives the child its standard streams' descriptors.
func (b *build) stdioFiles() error {
	for i := range b.stdio {
		fd, err := b.stdioFile(i)
		if err != nil {
			return err
		}
		b.stdio[i] = b.p.FD(fd)
	}
	return nil
}

func (b *build) stdioFile(i int) (int, error) {
	switch {
	case b.plan:
		return -1, nil
	case b.console != nil:
		return b.console.slave, nil
	case b.c.Stdio[i] != nil:
		fd, err := unix.FcntlInt(b.c.Stdio[i].Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return -1, err
		}
		b.own(fd)
		return fd, b.ownStream(fd)
	}
	if b.kitMount < 0 { // exec: the host's own, never what a container has at /dev/null
		fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		return b.own(fd), err
	}
	fd, err := unix.Openat(b.kitMount, "null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	return b.own(fd), err
}

// ownStream gives a pipe to the container's user, so that it can open /dev/stdout again. Other files stay
// their owners': they may be anybody's.
func (b *build) ownStream(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO || b.spec.Process == nil {
		return nil
	}
	uid, ok := b.ids.hostUID(b.spec.Process.User.UID)
	if !ok || st.Uid == uid {
		return nil
	}
	if err := unix.Fchown(fd, int(uid), -1); err != nil && err != unix.EPERM && err != unix.EROFS && err != unix.EINVAL {
		return fmt.Errorf("set owner of a standard stream: %w", err)
	}
	return nil
}

// bindConsole shows the terminal as /dev/console.
func (b *build) bindConsole() {
	if b.spec.Process == nil || !b.spec.Process.Terminal {
		return
	}
	p, mount, done := b.p, b.p.NewSlot(), b.p.NewLabel()
	p.Step("bind /dev/console", "the terminal is the console, too")
	p.Call(unix.SYS_OPEN_TREE, b.stdio[0].Value(), p.Str(""), child.N(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)).
		Into(mount).OnError(done, unix.EINVAL) // a terminal on a devpts that isn't mounted in the container
	b.attach(mount, "/dev/console", true)
	p.Place(done)
}
