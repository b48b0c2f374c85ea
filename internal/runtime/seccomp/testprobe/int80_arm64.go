package main

import "golang.org/x/sys/unix"

const map32 = 0

// int80: arm64 has no second ABI that 64-bit code can call.
func int80(uint64, [6]uint64) unix.Errno { return unix.ENOSYS }
