package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The start of a container sends two datagrams of netlink messages and waits for their answers; a
// general library costs several times the kernel's own work there (docs/adr/). So these messages are
// put together by hand: netlink(7), rtnetlink(7), linux/if_link.h.

var native = binary.NativeEndian

// From linux/netlink.h and linux/veth.h; x/sys doesn't have them.
const (
	nlaTypeMask  = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
	vethInfoPeer = 1      // VETH_INFO_PEER
)

// datagram collects netlink messages that are sent together. The kernel handles them in their order
// and answers each one, also those after one that failed.
type datagram struct {
	buf   []byte
	start int      // where the message that is being built begins
	names []string // what each message does, for errors
}

// message begins the next message. Each asks for an acknowledgement.
func (d *datagram) message(name string, kind, flags uint16) *datagram {
	d.end()
	d.start = len(d.buf)
	d.names = append(d.names, name)
	d.buf = append(d.buf, make([]byte, unix.SizeofNlMsghdr)...)
	native.PutUint16(d.buf[d.start+4:], kind)
	native.PutUint16(d.buf[d.start+6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	native.PutUint32(d.buf[d.start+8:], uint32(len(d.names))) // sequence number: index + 1
	return d
}

// end closes the message that is being built. Harmless when there is none.
func (d *datagram) end() {
	if len(d.names) > 0 {
		native.PutUint32(d.buf[d.start:], uint32(len(d.buf)-d.start))
	}
}

// link appends struct ifinfomsg: index 0 leaves the interface to its name or to the kernel.
func (d *datagram) link(index uint32, flags uint32) *datagram {
	var m [unix.SizeofIfInfomsg]byte
	native.PutUint32(m[4:], index)
	native.PutUint32(m[8:], flags)
	native.PutUint32(m[12:], flags) // the mask of flags to change
	d.buf = append(d.buf, m[:]...)
	return d
}

func (d *datagram) attr(kind uint16, data []byte) *datagram {
	at := d.nest(kind)
	d.buf = append(d.buf, data...)
	d.close(at)
	return d
}

func (d *datagram) u32(kind uint16, v uint32) *datagram {
	return d.attr(kind, native.AppendUint32(nil, v))
}

// text appends a string with the NUL that the kernel wants.
func (d *datagram) text(kind uint16, s string) *datagram {
	return d.attr(kind, append([]byte(s), 0))
}

// nest begins an attribute that holds others; close ends it and pads it to four bytes.
func (d *datagram) nest(kind uint16) (at int) {
	at = len(d.buf)
	d.buf = native.AppendUint16(d.buf, 0)
	d.buf = native.AppendUint16(d.buf, kind)
	return at
}

func (d *datagram) close(at int) {
	native.PutUint16(d.buf[at:], uint16(len(d.buf)-at))
	for len(d.buf)%unix.NLA_ALIGNTO != 0 {
		d.buf = append(d.buf, 0)
	}
}

// netlinkError is the kernel's refusal of one message.
type netlinkError struct {
	name  string // what the message should do
	errno unix.Errno
	text  string // the kernel's extended acknowledgement, often ""
}

func (e *netlinkError) Error() string {
	if e.text != "" {
		return fmt.Sprintf("%s: %v (%s)", e.name, e.errno, e.text)
	}
	return fmt.Sprintf("%s: %v", e.name, e.errno)
}

func (e *netlinkError) Unwrap() error { return e.errno }

// socket is a netlink socket in the network namespace in which it was opened.
type socket struct {
	fd  int
	buf []byte // for answers
}

// dial opens a netlink socket in the calling thread's network namespace.
// protocol: unix.NETLINK_ROUTE or unix.NETLINK_NETFILTER.
func dial(protocol int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_NETLINK)", err)
	}
	// Only for better error texts (Linux 4.12); without them the number stays.
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &socket{fd: fd}, nil
}

func (s *socket) Close() { unix.Close(s.fd) }

// do sends all messages and waits for every answer. It returns the first refusal, as *netlinkError.
// Payload that comes before an acknowledgement goes to each, if that isn't nil.
func (s *socket) do(d *datagram, each func(kind uint16, payload []byte)) error {
	d.end()
	if err := s.send(d.buf); err != nil {
		return err
	}
	var first error
	for left := len(d.names); left > 0; {
		b, err := s.receive()
		if err != nil {
			return err
		}
		for len(b) >= unix.SizeofNlMsghdr {
			size := int(native.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return errors.New("netlink: the kernel's answer is cut short")
			}
			kind, body := native.Uint16(b[4:]), b[unix.SizeofNlMsghdr:size]
			switch kind {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE:
				left--
				if err := d.refusal(b[:size]); err != nil && first == nil {
					first = err
				}
			default:
				if each != nil {
					each(kind, body)
				}
			}
			b = b[min(len(b), (size+3)&^3):]
		}
	}
	return first
}

func (s *socket) send(b []byte) error {
	for {
		err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return os.NewSyscallError("send netlink message", err)
		}
	}
}

// receive gives the next datagram of answers, valid until the next call. 8 KiB are enough: the kernel cuts
// a long list into parts of at most the buffer's size, and no single answer comes near.
func (s *socket) receive() ([]byte, error) {
	if s.buf == nil {
		s.buf = make([]byte, 8<<10)
	}
	for {
		n, _, flags, _, err := unix.Recvmsg(s.fd, s.buf, nil, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("receive netlink answer", err)
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, errors.New("netlink: the kernel's answer is larger than expected")
		}
		return s.buf[:n], nil
	}
}

// refusal reads an acknowledgement (struct nlmsgerr): nil if the message was carried out.
func (d *datagram) refusal(msg []byte) error {
	body := msg[unix.SizeofNlMsghdr:]
	if len(body) < 4 {
		return nil
	}
	code := int32(native.Uint32(body))
	if code >= 0 {
		return nil
	}
	e := &netlinkError{name: "netlink", errno: unix.Errno(-code)}
	if i := int(native.Uint32(msg[8:])) - 1; i >= 0 && i < len(d.names) {
		e.name = d.names[i]
	}
	const header = 4 + unix.SizeofNlMsghdr // error number and the header it answers
	if native.Uint16(msg[6:])&unix.NLM_F_ACK_TLVS != 0 && len(body) > header {
		attrs(body[header:], func(kind uint16, data []byte) {
			if kind == unix.NLMSGERR_ATTR_MSG {
				e.text = cstring(data)
			}
		})
	}
	return e
}

// attrs calls each for every attribute of b, and stops at what isn't one.
func attrs(b []byte, each func(kind uint16, data []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		size := int(native.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return
		}
		each(native.Uint16(b[2:])&nlaTypeMask, b[unix.SizeofNlAttr:size])
		b = b[min(len(b), (size+3)&^3):]
	}
}

// cstring is the text before the first NUL.
func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
