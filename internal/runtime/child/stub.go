// Package child makes the process that becomes a container's: a program of a few hundred bytes that runs
// a table of system calls.
//
// Between its birth and the execve of the user's command a container's first process must not run Go
// (the runtime has threads, and what it does between two system calls is its own business), and it
// must not be the host's gourd binary: /proc/PID/exe would hand that binary to the container
// (CVE-2019-5736). So the parent starts the stub, an ELF file built in memory from the code in
// stub_GOARCH.s and sealed, in the new namespaces. The stub maps a shared region of memory and runs the
// operations it finds there: a system call with its arguments, where to keep the result, which errors are
// expected and which operation comes next. All decisions are the parent's, made in Go; see Program.
package child

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// regionBase is where the stub maps the region: below 2 GiB, so that 32 bits hold any address in it.
	// The stub's code and its heap are far below, stack and vdso far above.
	regionBase = 0x10000000
	// regionSize bounds table, strings, arguments and environment (execve(2) takes 6 MiB at most). Pages
	// nobody touches cost nothing.
	regionSize = 0x1000000

	elfBase    = 0x400000
	elfHeaders = 64 + 2*56
)

//lint:ignore U1000 its address is taken in assembler
func stub()
func stubAddress() uintptr

// stubEnd follows the code.
var stubEnd = []byte("gourdEND")

// stubFile makes a sealed file with the stub, for one start: a container that gets hold of the file it was made from
// and opens it for writing (which seals don't forbid, they make write(2) fail) would keep others from executing
// it (ETXTBSY).
func stubFile() (int, error) {
	elf, err := stubELF()
	if err != nil {
		return -1, err
	}
	fd, err := createExecutable("gourd-init")
	if err != nil {
		return -1, fmt.Errorf("make the stub's file in memory: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	n, err := unix.Write(fd, elf)
	if err == nil && n != len(elf) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = unix.Fchmod(fd, 0o500) // nobody but the host's root, who starts it, has any business with it
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("write the stub's file in memory: %w", err)
	}
	return fd, nil
}

// createExecutable makes a file in memory that may be executed. MFD_EXEC says so since Linux 6.3; older
// kernels don't know the flag.
func createExecutable(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if err == unix.EINVAL {
		return unix.MemfdCreate(name, flags)
	}
	if err == unix.EACCES {
		return -1, fmt.Errorf("%w (the sysctl vm.memfd_noexec is 2)", err)
	}
	return fd, err
}

// stubCode gives the stub's machine code as it lies in this program's text.
func stubCode() ([]byte, error) {
	const most = 2048
	start := stubAddress()
	code := unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&start))), most)
	for n := 0; n+len(stubEnd) <= most; n++ {
		if bytes.Equal(code[n:n+len(stubEnd)], stubEnd) {
			return code[:n], nil
		}
	}
	return nil, fmt.Errorf("find the end of the stub's code within %d bytes", most)
}

// stubELF is the stub as a program.
var stubELF = sync.OnceValues(makeELF)

// makeELF makes a static ELF executable (elf(5)) of one read-only executable segment.
func makeELF() ([]byte, error) {
	code, err := stubCode()
	if err != nil {
		return nil, err
	}
	machine := uint16(62) // EM_X86_64
	if runtime.GOARCH == "arm64" {
		machine = 183 // EM_AARCH64
	}
	le := binary.LittleEndian
	b := make([]byte, 0, elfHeaders+len(code))
	b = append(b, 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint16(b, 2) // ET_EXEC
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, elfBase+elfHeaders) // entry
	b = le.AppendUint64(b, 64)                 // program headers follow
	b = le.AppendUint64(b, 0)                  // no sections
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 2, 64, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	size := uint64(elfHeaders + len(code))
	b = appendSegment(b, 1, 5, elfBase, size, 0x1000) // PT_LOAD, read and execute
	b = appendSegment(b, 0x6474e551, 6, 0, 0, 16)     // PT_GNU_STACK: not executable
	return append(b, code...), nil
}

func appendSegment(b []byte, kind, flags uint32, address, size, align uint64) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, kind)
	b = le.AppendUint32(b, flags)
	for _, v := range []uint64{0, address, address, size, size, align} {
		b = le.AppendUint64(b, v)
	}
	return b
}
