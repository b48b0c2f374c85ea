package main

import "golang.org/x/sys/unix"

const map32 = unix.MAP_32BIT

// enter32 makes a system call of the 32-bit ABI from 64-bit code (int80_amd64.s).
func enter32(nr, a, b, c, d, e uint64) int32

func int80(nr uint64, a [6]uint64) unix.Errno {
	if r := enter32(nr, a[0], a[1], a[2], a[3], a[4]); r < 0 {
		return unix.Errno(-r)
	}
	return 0
}
