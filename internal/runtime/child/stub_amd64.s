#include "textflag.h"

// The machine code of the stub; stub.go describes what it does and where the offsets come from.
//
//	BX  the operation       BP  the region's header
//	R12 mask of indirect arguments
//
// A system call changes only AX, CX and R11.

#define REGION 0x10000000
#define REGION_SIZE 0x1000000

#define ARG(n, off, reg) \
	MOVQ  off(BX), reg  \
	TESTQ $(1<<n), R12  \
	JEQ   2(PC)         \
	MOVLQSX (reg), reg

TEXT ·stub(SB), NOSPLIT|NOFRAME, $0-0
	// argv[1] is the descriptor of the region, in decimal digits.
	MOVQ 16(SP), SI
	TESTQ SI, SI
	JEQ  die
	XORL R8, R8
digit:
	MOVBLZX (SI), AX
	TESTL AX, AX
	JEQ  attach
	SUBL $48, AX
	CMPL AX, $9
	JHI  die
	IMULL $10, R8
	ADDL AX, R8
	INCQ SI
	JMP  digit
attach:
	// mmap(REGION, size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_FIXED, fd, 0)
	MOVL $9, AX
	MOVL $REGION, DI
	MOVL $REGION_SIZE, SI
	MOVL $3, DX
	MOVL $0x11, R10
	XORL R9, R9
	SYSCALL
	CMPQ AX, $REGION
	JNE  die
	MOVQ AX, BP
	MOVQ 0(BP), BX
loop:
	MOVQ BX, 8(BP)
	MOVQ 0(BX), AX
	MOVQ 56(BX), R12
	ARG(0, 8, DI)
	ARG(1, 16, SI)
	ARG(2, 24, DX)
	ARG(3, 32, R10)
	ARG(4, 40, R8)
	ARG(5, 48, R9)
	TESTQ AX, AX
	JLT  special
	SYSCALL
	CMPQ AX, $-4095
	JCC  failed
	MOVQ 64(BX), R13
	TESTQ AX, AX
	JNE  nonzero
	MOVQ 96(BX), R14
	TESTQ R14, R14
	JEQ  nonzero
	MOVQ R14, BX
	JMP  loop
nonzero:
	TESTQ R13, R13
	JEQ  next
	MOVL AX, (R13)
next:
	MOVQ 88(BX), BX
	JMP  loop
failed:
	NEGQ AX
	MOVL 72(BX), CX
	CMPL CX, $-1
	JEQ  tolerated
	CMPL CX, AX
	JEQ  tolerated
	MOVL 76(BX), CX
	CMPL CX, AX
	JEQ  tolerated
fail:
	MOVL AX, 24(BP)
	MOVQ BX, 16(BP)
	MOVQ 32(BP), BX
	MOVQ $0, 32(BP)
	TESTQ BX, BX
	JNE  loop
die:
	MOVL $231, AX
	MOVL $255, DI
	SYSCALL
	JMP  die
tolerated:
	MOVQ 80(BX), BX
	JMP  loop
special:
	CMPQ AX, $-1
	JEQ  compare
	CMPQ AX, $-2
	JEQ  store
	CMPQ AX, $-3
	JEQ  jump
	MOVQ SI, AX
	JMP  fail
compare:
	ANDL SI, DI
	CMPL DI, DX
	JEQ  next
	JMP  tolerated
store:
	MOVL SI, (DI)
	JMP  next
jump:
	MOVQ DI, BX
	JMP  loop
	// The end of the code, for the copy.
	BYTE $0x67; BYTE $0x6f; BYTE $0x75; BYTE $0x72; BYTE $0x64; BYTE $0x45; BYTE $0x4e; BYTE $0x44

// func stubAddress() uintptr
TEXT ·stubAddress(SB), NOSPLIT, $0-8
	LEAQ ·stub(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func vforkClone3(args *cloneArgs, size uintptr) (pid, errno uintptr)
//
// The child runs on the same stack and returns first, so the return address waits in a register, which
// the child has a copy of.
TEXT ·vforkClone3(SB), NOSPLIT|NOFRAME, $0-32
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVL $435, AX
	POPQ R12
	SYSCALL
	PUSHQ R12
	CMPQ AX, $-4095
	JCC  bad
	MOVQ AX, pid+16(FP)
	MOVQ $0, errno+24(FP)
	RET
bad:
	NEGQ AX
	MOVQ $-1, pid+16(FP)
	MOVQ AX, errno+24(FP)
	RET
