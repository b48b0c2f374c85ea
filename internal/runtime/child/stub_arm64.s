#include "textflag.h"

// The machine code of the stub; stub.go describes what it does and where the offsets come from.
//
//	R19 the operation       R20 the region's header
//	R21 mask of indirect arguments
//
// A system call changes only R0.

#define REGION 0x10000000
#define REGION_SIZE 0x1000000

#define ARG(n, off, reg) \
	MOVD off(R19), reg  \
	TBZ  $n, R21, 2(PC) \
	MOVW (reg), reg

TEXT ·stub(SB), NOSPLIT|NOFRAME, $0-0
	// argv[1] is the descriptor of the region, in decimal digits.
	MOVD 16(RSP), R1
	CBZ  R1, die
	MOVD $0, R4
	MOVD $10, R6
digit:
	MOVBU (R1), R5
	CBZ  R5, attach
	SUB  $48, R5, R5
	CMP  $9, R5
	BHI  die
	MUL  R6, R4, R4
	ADD  R5, R4, R4
	ADD  $1, R1, R1
	B    digit
attach:
	// mmap(REGION, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_FIXED, fd, 0)
	MOVD $222, R8
	MOVD $REGION, R0
	MOVD $REGION_SIZE, R1
	MOVD $3, R2
	MOVD $0x11, R3
	MOVD $0, R5
	SVC
	MOVD $REGION, R6
	CMP  R6, R0
	BNE  die
	MOVD R0, R20
	MOVD 0(R20), R19
loop:
	MOVD R19, 8(R20)
	MOVD 0(R19), R8
	MOVD 56(R19), R21
	ARG(0, 8, R0)
	ARG(1, 16, R1)
	ARG(2, 24, R2)
	ARG(3, 32, R3)
	ARG(4, 40, R4)
	ARG(5, 48, R5)
	TBNZ $63, R8, special
	SVC
	CMN  $4095, R0
	BHS  failed
	MOVD 64(R19), R9
	CBNZ R0, nonzero
	MOVD 96(R19), R10
	CBZ  R10, nonzero
	MOVD R10, R19
	B    loop
nonzero:
	CBZ  R9, next
	MOVW R0, (R9)
next:
	MOVD 88(R19), R19
	B    loop
failed:
	NEG  R0, R0
	MOVW 72(R19), R9
	CMNW $1, R9
	BEQ  tolerated
	CMPW R0, R9
	BEQ  tolerated
	MOVW 76(R19), R9
	CMPW R0, R9
	BEQ  tolerated
fail:
	MOVW R0, 24(R20)
	MOVD R19, 16(R20)
	MOVD 32(R20), R19
	MOVD ZR, 32(R20)
	CBNZ R19, loop
die:
	MOVD $94, R8
	MOVD $255, R0
	SVC
	B    die
tolerated:
	MOVD 80(R19), R19
	B    loop
special:
	CMN  $1, R8
	BEQ  compare
	CMN  $2, R8
	BEQ  store
	CMN  $3, R8
	BEQ  jump
	MOVD R1, R0
	B    fail
compare:
	ANDW R1, R0, R0
	CMPW R2, R0
	BEQ  next
	B    tolerated
store:
	MOVW R1, (R0)
	B    next
jump:
	MOVD R0, R19
	B    loop
	// The end of the code, for the copy.
	WORD $0x72756f67
	WORD $0x444e4564

// func stubAddress() uintptr
TEXT ·stubAddress(SB), NOSPLIT, $0-8
	MOVD $·stub(SB), R0
	MOVD R0, ret+0(FP)
	RET

// func vforkClone3(args *cloneArgs, size uintptr) (pid, errno uintptr)
//
// The child runs on the same stack and returns first; the return address is in R30, which the child has
// a copy of.
TEXT ·vforkClone3(SB), NOSPLIT|NOFRAME, $0-32
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD $435, R8
	SVC
	CMN  $4095, R0
	BHS  bad
	MOVD R0, pid+16(FP)
	MOVD ZR, errno+24(FP)
	RET
bad:
	NEG  R0, R0
	MOVD $-1, R1
	MOVD R1, pid+16(FP)
	MOVD R0, errno+24(FP)
	RET
