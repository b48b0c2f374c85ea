package nofile

import "unsafe"

// read calls prlimit64(0, RLIMIT_NOFILE, NULL, &limit).
func read() (soft, hard uint64) {
	const rlimitNofile = 7
	var limit [2]uint64
	if _, _, errno := rawSyscall6(sysPrlimit64, 0, rlimitNofile, 0, uintptr(unsafe.Pointer(&limit)), 0, 0); errno != 0 {
		return 0, 0
	}
	return limit[0], limit[1]
}
