//go:build !purego

#include "textflag.h"

// A lane is the state in two registers, as SHA256RNDS2 wants it (from the high
// word down: abef, cdgh), and 16 words of the message schedule in four more.
// Lane A is X1-X2 and X3-X6, lane B is X7-X8 and X9-X12. X0 is the implicit
// operand of SHA256RNDS2, X13 (A) and X14 (B) are scratch, X15 is the order of
// the bytes.
//
// Every SHA256RNDS2 of a lane waits for the one before it, twice as long as it
// keeps the unit busy. So the lanes take turns of four rounds, and the processor,
// which looks far ahead, starts the rounds of one while the other waits. X0 is a
// new register to it at each writing: the lanes meet there in name only.
//
// Two lanes leave the unit no slack: a round that misses its moment is time
// lost. How many do depends on the order of the instructions in TURN2, GAP among
// them, by a fifth of the speed; it was found by measuring, on Zen 5.

// GAP are four empty instructions. They take no time that would be used, and
// without them a 4 KiB pair is 6 % slower; from three to six do.
#define GAP \
	BYTE $0x90 \
	BYTE $0x90 \
	BYTE $0x90 \
	BYTE $0x90

// LOAD reads four words of a block, which may lie at any address.
#define LOAD(at, w) \
	VMOVDQU at, w     \
	VPSHUFB X15, w, w

// FIRST does rounds 1 and 2 of four, with the words w and the constants at k.
// The new abef takes the place of cdgh, for the old abef is the new cdgh.
#define FIRST(k, w, abef, cdgh) \
	VPADDD      k(AX), w, X0 \
	SHA256RNDS2 X0, abef, cdgh

// SECOND does rounds 3 and 4 with the other half of what FIRST left in X0, and
// so brings abef and cdgh back to their own registers.
#define SECOND(abef, cdgh) \
	VPSHUFD     $0x0e, X0, X0 \
	SHA256RNDS2 X0, cdgh, abef

// The schedule: prev, w and next are three neighbours among the four registers,
// and next, which holds the words of 16 before, is made anew: SHA256MSG1 adds
// sigma0 two turns ahead, SEVEN adds the word 7 before, which lies across prev
// and w, and SHA256MSG2 adds sigma1.
#define SEVEN(prev, w, next, scratch) \
	VPALIGNR $4, prev, w, scratch \
	VPADDD   scratch, next, next

// FEED adds the state from before the block, and keeps the sum.
#define FEED(at, s) \
	VPADDD  at, s, s \
	VMOVDQU s, at

// TURN2 does four rounds of both lanes, and makes the words of the next turn.
#define TURN2(k, prevA, wA, nextA, prevB, wB, nextB) \
	GAP                          \
	FIRST(k, wA, X1, X2)         \
	SEVEN(prevB, wB, nextB, X14) \
	SECOND(X1, X2)               \
	SHA256MSG2 wB, nextB         \
	SEVEN(prevA, wA, nextA, X13) \
	FIRST(k, wB, X7, X8)         \
	SHA256MSG1 wB, prevB         \
	SHA256MSG1 wA, prevA         \
	SHA256MSG2 wA, nextA         \
	SECOND(X7, X8)

// EARLY2 is a turn whose next words come from the message.
#define EARLY2(k, prevA, wA, prevB, wB) \
	GAP                  \
	FIRST(k, wA, X1, X2) \
	SECOND(X1, X2)       \
	FIRST(k, wB, X7, X8) \
	SHA256MSG1 wB, prevB \
	SHA256MSG1 wA, prevA \
	SECOND(X7, X8)

// LATE2 is a turn whose words are among the last 16: no others need them.
#define LATE2(k, prevA, wA, nextA, prevB, wB, nextB) \
	GAP                          \
	FIRST(k, wA, X1, X2)         \
	SEVEN(prevB, wB, nextB, X14) \
	SECOND(X1, X2)               \
	SHA256MSG2 wB, nextB         \
	SEVEN(prevA, wA, nextA, X13) \
	FIRST(k, wB, X7, X8)         \
	SHA256MSG2 wA, nextA         \
	SECOND(X7, X8)

// ROUNDS2 is the first turn, and the last: rounds alone.
#define ROUNDS2(k, wA, wB) \
	GAP                  \
	FIRST(k, wA, X1, X2) \
	SECOND(X1, X2)       \
	FIRST(k, wB, X7, X8) \
	SECOND(X7, X8)

// func blocks2(sa, sb *state, pa, pb *byte, n uint64)
TEXT ·blocks2(SB), NOSPLIT, $0-40
	MOVQ    sa+0(FP), DI
	MOVQ    sb+8(FP), R8
	MOVQ    pa+16(FP), SI
	MOVQ    pb+24(FP), R9
	MOVQ    n+32(FP), CX
	LEAQ    k256<>(SB), AX
	VMOVDQU order<>(SB), X15
	VMOVDQU (DI), X1
	VMOVDQU 16(DI), X2
	VMOVDQU (R8), X7
	VMOVDQU 16(R8), X8
	TESTQ   CX, CX
	JZ      done

	PCALIGN $64

loop:
	LOAD((SI), X3)
	LOAD((R9), X9)
	ROUNDS2(0, X3, X9)
	LOAD(16(SI), X4)
	LOAD(16(R9), X10)
	EARLY2(16, X3, X4, X9, X10)
	LOAD(32(SI), X5)
	LOAD(32(R9), X11)
	EARLY2(32, X4, X5, X10, X11)
	LOAD(48(SI), X6)
	LOAD(48(R9), X12)
	TURN2(48, X5, X6, X3, X11, X12, X9)
	TURN2(64, X6, X3, X4, X12, X9, X10)
	TURN2(80, X3, X4, X5, X9, X10, X11)
	TURN2(96, X4, X5, X6, X10, X11, X12)
	TURN2(112, X5, X6, X3, X11, X12, X9)
	TURN2(128, X6, X3, X4, X12, X9, X10)
	TURN2(144, X3, X4, X5, X9, X10, X11)
	TURN2(160, X4, X5, X6, X10, X11, X12)
	TURN2(176, X5, X6, X3, X11, X12, X9)
	TURN2(192, X6, X3, X4, X12, X9, X10)
	LATE2(208, X3, X4, X5, X9, X10, X11)
	LATE2(224, X4, X5, X6, X10, X11, X12)
	ROUNDS2(240, X6, X12)
	FEED((DI), X1)
	FEED(16(DI), X2)
	FEED((R8), X7)
	FEED(16(R8), X8)
	ADDQ $64, SI
	ADDQ $64, R9
	DECQ CX
	JNZ  loop

done:
	RET

// The turns of lane A alone.
#define TURN1(k, prev, w, next) \
	FIRST(k, w, X1, X2)       \
	SEVEN(prev, w, next, X13) \
	SHA256MSG2 w, next        \
	SECOND(X1, X2)            \
	SHA256MSG1 w, prev

#define EARLY1(k, prev, w) \
	FIRST(k, w, X1, X2) \
	SECOND(X1, X2)      \
	SHA256MSG1 w, prev

#define LATE1(k, prev, w, next) \
	FIRST(k, w, X1, X2)       \
	SEVEN(prev, w, next, X13) \
	SHA256MSG2 w, next        \
	SECOND(X1, X2)

#define ROUNDS1(k, w) \
	FIRST(k, w, X1, X2) \
	SECOND(X1, X2)

// func blocks1(s *state, p *byte, n uint64)
TEXT ·blocks1(SB), NOSPLIT, $0-24
	MOVQ    s+0(FP), DI
	MOVQ    p+8(FP), SI
	MOVQ    n+16(FP), CX
	LEAQ    k256<>(SB), AX
	VMOVDQU order<>(SB), X15
	VMOVDQU (DI), X1
	VMOVDQU 16(DI), X2
	TESTQ   CX, CX
	JZ      done

	PCALIGN $64

loop:
	LOAD((SI), X3)
	ROUNDS1(0, X3)
	LOAD(16(SI), X4)
	EARLY1(16, X3, X4)
	LOAD(32(SI), X5)
	EARLY1(32, X4, X5)
	LOAD(48(SI), X6)
	TURN1(48, X5, X6, X3)
	TURN1(64, X6, X3, X4)
	TURN1(80, X3, X4, X5)
	TURN1(96, X4, X5, X6)
	TURN1(112, X5, X6, X3)
	TURN1(128, X6, X3, X4)
	TURN1(144, X3, X4, X5)
	TURN1(160, X4, X5, X6)
	TURN1(176, X5, X6, X3)
	TURN1(192, X6, X3, X4)
	LATE1(208, X3, X4, X5)
	LATE1(224, X4, X5, X6)
	ROUNDS1(240, X6)
	FEED((DI), X1)
	FEED(16(DI), X2)
	ADDQ $64, SI
	DECQ CX
	JNZ  loop

done:
	RET

// order turns the bytes of each word round: the message is big-endian.
DATA order<>+0(SB)/8, $0x0405060700010203
DATA order<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL order<>(SB), RODATA|NOPTR, $16

// k256 are the round constants, one after the other.
DATA k256<>+0(SB)/8, $0x71374491428a2f98
DATA k256<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA k256<>+16(SB)/8, $0x59f111f13956c25b
DATA k256<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA k256<>+32(SB)/8, $0x12835b01d807aa98
DATA k256<>+40(SB)/8, $0x550c7dc3243185be
DATA k256<>+48(SB)/8, $0x80deb1fe72be5d74
DATA k256<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA k256<>+64(SB)/8, $0xefbe4786e49b69c1
DATA k256<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA k256<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA k256<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA k256<>+96(SB)/8, $0xa831c66d983e5152
DATA k256<>+104(SB)/8, $0xbf597fc7b00327c8
DATA k256<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA k256<>+120(SB)/8, $0x1429296706ca6351
DATA k256<>+128(SB)/8, $0x2e1b213827b70a85
DATA k256<>+136(SB)/8, $0x53380d134d2c6dfc
DATA k256<>+144(SB)/8, $0x766a0abb650a7354
DATA k256<>+152(SB)/8, $0x92722c8581c2c92e
DATA k256<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA k256<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA k256<>+176(SB)/8, $0xd6990624d192e819
DATA k256<>+184(SB)/8, $0x106aa070f40e3585
DATA k256<>+192(SB)/8, $0x1e376c0819a4c116
DATA k256<>+200(SB)/8, $0x34b0bcb52748774c
DATA k256<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA k256<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA k256<>+224(SB)/8, $0x78a5636f748f82ee
DATA k256<>+232(SB)/8, $0x8cc7020884c87814
DATA k256<>+240(SB)/8, $0xa4506ceb90befffa
DATA k256<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL k256<>(SB), RODATA|NOPTR, $256
