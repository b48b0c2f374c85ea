// testprobe makes system calls under a seccomp filter and says how each ended: the test's view of a real kernel.
//
//	testprobe CALL... < FILTER
//
// FILTER is the program as the kernel takes it; nothing: the calls are made as they are. CALL is ABI:NUMBER:ARG,ARG,…, ABI one of "64", "x32" (the number
// with its bit) and "int80"; an argument "socket(D,T,P)" is the address of a socketcall array. The answer is one line for each:
// the errno's name, or "ok".
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	calls := make([]call, 0, len(os.Args))
	for _, text := range os.Args[1:] {
		calls = append(calls, parse(text))
	}
	install()
	for _, c := range calls {
		if errno := c.make(); errno != 0 {
			fmt.Println(unix.ErrnoName(errno))
			continue
		}
		fmt.Println("ok")
	}
}

// install puts the filter of stdin, if there is one, on all threads.
func install() {
	text, err := io.ReadAll(os.Stdin)
	check(err)
	if len(text) == 0 {
		return
	}
	filter := make([]unix.SockFilter, len(text)/8)
	for i := range filter {
		in := text[8*i:]
		filter[i] = unix.SockFilter{Code: binary.NativeEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.NativeEndian.Uint32(in[4:])}
	}
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		check(errno)
	}
}

type call struct {
	abi  string
	nr   uint64
	args [6]uint64
}

func parse(text string) call {
	part := strings.SplitN(text, ":", 3)
	nr, err := strconv.ParseUint(part[1], 0, 64)
	check(err)
	c := call{abi: part[0], nr: nr}
	if array, ok := strings.CutPrefix(part[2], "1,socket("); ok {
		c.args[0], c.args[1] = 1, low(numbers(strings.TrimSuffix(array, ")")))
		return c
	}
	copy(c.args[:], numbers(part[2]))
	return c
}

func numbers(text string) []uint64 {
	var out []uint64
	for field := range strings.SplitSeq(text, ",") {
		if field == "" {
			continue
		}
		n, err := strconv.ParseUint(field, 0, 64)
		check(err)
		out = append(out, n)
	}
	return out
}

// low puts 32-bit words where a 32-bit call can reach them.
func low(words []uint64) uint64 {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|map32)
	check(err)
	for i, w := range words {
		binary.NativeEndian.PutUint32(mem[4*i:], uint32(w))
	}
	return uint64(uintptr(unsafe.Pointer(&mem[0])))
}

func (c call) make() unix.Errno {
	if c.abi == "int80" {
		return int80(c.nr, c.args)
	}
	a := c.args
	_, _, errno := unix.Syscall6(uintptr(c.nr), uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]), uintptr(a[5]))
	return errno
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "testprobe:", err)
		os.Exit(2)
	}
}
