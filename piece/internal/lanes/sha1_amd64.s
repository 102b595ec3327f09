//go:build !purego

#include "textflag.h"

// Lane A has its state in X0 and, turn by turn, X1 or X2, and its message in X3–X6; lane B in X7, X8, X9 and X10–X13. X14 swaps bytes, X15 is spare.

// LOAD reads and swaps 16 bytes of both messages.
#define LOAD(off, ma, mb) \
	MOVOU  off(SI), ma; \
	PSHUFB X14, ma; \
	MOVOU  off(DX), mb; \
	PSHUFB X14, mb

// ROUNDS does four rounds of kind k on both lanes. ea and eb are where E comes from, fa and fb where the next one comes from.
#define ROUNDS(k, ma, ea, fa, mb, eb, fb) \
	SHA1NEXTE ma, ea; \
	SHA1NEXTE mb, eb; \
	MOVO      X0, fa; \
	MOVO      X7, fb; \
	SHA1RNDS4 $k, ea, X0; \
	SHA1RNDS4 $k, eb, X7

#define EVEN(k, ma, mb) ROUNDS(k, ma, X1, X2, mb, X8, X9)
#define ODD(k, ma, mb)  ROUNDS(k, ma, X2, X1, mb, X9, X8)

// The message schedule: from the words m on, the words n that follow are finished, and those before, p and q, are brought on.
#define FINISH(ma, na, mb, nb) \
	SHA1MSG2 ma, na; \
	SHA1MSG2 mb, nb

#define BEGIN(ma, pa, mb, pb) \
	SHA1MSG1 ma, pa; \
	SHA1MSG1 mb, pb

#define MIX(ma, qa, mb, qb) \
	PXOR ma, qa; \
	PXOR mb, qb

// func blocks1(state *[10]uint32, a, b *byte, n int)
TEXT ·blocks1(SB), NOSPLIT, $64-32
	MOVQ  state+0(FP), DI
	MOVQ  a+8(FP), SI
	MOVQ  b+16(FP), DX
	MOVQ  n+24(FP), CX
	MOVOU swap<>+0(SB), X14

	MOVOU  (DI), X0
	PSHUFD $0x1b, X0, X0
	MOVL   16(DI), AX
	PXOR   X1, X1
	PINSRD $3, AX, X1
	MOVOU  20(DI), X7
	PSHUFD $0x1b, X7, X7
	MOVL   36(DI), AX
	PXOR   X8, X8
	PINSRD $3, AX, X8

loop:
	MOVOU X0, 0(SP)
	MOVOU X1, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	LOAD(0, X3, X10)
	PADDD     X3, X1
	PADDD     X10, X8
	MOVO      X0, X2
	MOVO      X7, X9
	SHA1RNDS4 $0, X1, X0
	SHA1RNDS4 $0, X8, X7
	LOAD(16, X4, X11)
	ODD(0, X4, X11)
	BEGIN(X4, X3, X11, X10)
	LOAD(32, X5, X12)
	EVEN(0, X5, X12)
	BEGIN(X5, X4, X12, X11)
	MIX(X5, X3, X12, X10)
	LOAD(48, X6, X13)
	ODD(0, X6, X13)
	FINISH(X6, X3, X13, X10)
	BEGIN(X6, X5, X13, X12)
	MIX(X6, X4, X13, X11)
	EVEN(0, X3, X10)
	FINISH(X3, X4, X10, X11)
	BEGIN(X3, X6, X10, X13)
	MIX(X3, X5, X10, X12)

	ODD(1, X4, X11)
	FINISH(X4, X5, X11, X12)
	BEGIN(X4, X3, X11, X10)
	MIX(X4, X6, X11, X13)
	EVEN(1, X5, X12)
	FINISH(X5, X6, X12, X13)
	BEGIN(X5, X4, X12, X11)
	MIX(X5, X3, X12, X10)
	ODD(1, X6, X13)
	FINISH(X6, X3, X13, X10)
	BEGIN(X6, X5, X13, X12)
	MIX(X6, X4, X13, X11)
	EVEN(1, X3, X10)
	FINISH(X3, X4, X10, X11)
	BEGIN(X3, X6, X10, X13)
	MIX(X3, X5, X10, X12)
	ODD(1, X4, X11)
	FINISH(X4, X5, X11, X12)
	BEGIN(X4, X3, X11, X10)
	MIX(X4, X6, X11, X13)

	EVEN(2, X5, X12)
	FINISH(X5, X6, X12, X13)
	BEGIN(X5, X4, X12, X11)
	MIX(X5, X3, X12, X10)
	ODD(2, X6, X13)
	FINISH(X6, X3, X13, X10)
	BEGIN(X6, X5, X13, X12)
	MIX(X6, X4, X13, X11)
	EVEN(2, X3, X10)
	FINISH(X3, X4, X10, X11)
	BEGIN(X3, X6, X10, X13)
	MIX(X3, X5, X10, X12)
	ODD(2, X4, X11)
	FINISH(X4, X5, X11, X12)
	BEGIN(X4, X3, X11, X10)
	MIX(X4, X6, X11, X13)
	EVEN(2, X5, X12)
	FINISH(X5, X6, X12, X13)
	BEGIN(X5, X4, X12, X11)
	MIX(X5, X3, X12, X10)

	ODD(3, X6, X13)
	FINISH(X6, X3, X13, X10)
	BEGIN(X6, X5, X13, X12)
	MIX(X6, X4, X13, X11)
	EVEN(3, X3, X10)
	FINISH(X3, X4, X10, X11)
	BEGIN(X3, X6, X10, X13)
	MIX(X3, X5, X10, X12)
	ODD(3, X4, X11)
	FINISH(X4, X5, X11, X12)
	MIX(X4, X6, X11, X13)
	EVEN(3, X5, X12)
	FINISH(X5, X6, X12, X13)
	ODD(3, X6, X13)

	MOVOU     16(SP), X15
	SHA1NEXTE X15, X1
	MOVOU     0(SP), X15
	PADDD     X15, X0
	MOVOU     48(SP), X15
	SHA1NEXTE X15, X8
	MOVOU     32(SP), X15
	PADDD     X15, X7
	ADDQ      $64, SI
	ADDQ      $64, DX
	DECQ      CX
	JNZ       loop

	PSHUFD $0x1b, X0, X0
	MOVOU  X0, (DI)
	PEXTRD $3, X1, AX
	MOVL   AX, 16(DI)
	PSHUFD $0x1b, X7, X7
	MOVOU  X7, 20(DI)
	PEXTRD $3, X8, AX
	MOVL   AX, 36(DI)
	RET

DATA swap<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA swap<>+8(SB)/8, $0x0001020304050607
GLOBL swap<>(SB), RODATA|NOPTR, $16
