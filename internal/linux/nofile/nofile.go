// Package nofile remembers the limit of open files that this program was started with.
//
// Package syscall raises the soft limit to the hard one when it is initialised, and restores it only for
// children that it starts itself. A container must get what the caller had. This package imports nothing,
// so it is initialised earlier: packages whose imports are ready are initialised in the order of
// their paths (Go specification, "Program initialization"), and syscall waits for others.
package nofile

import _ "unsafe" // for go:linkname

//go:linkname rawSyscall6 syscall.RawSyscall6
func rawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr)

// Soft and Hard are RLIMIT_NOFILE as it was at the start of the program; 0, 0 if it couldn't be read.
var Soft, Hard = read()
