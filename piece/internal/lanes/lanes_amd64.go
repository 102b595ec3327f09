//go:build !purego

package lanes

import "golang.org/x/sys/cpu"

// blocks256 and blocks1 feed n > 0 blocks of 64 bytes from a and from b to the two halves of state.
//
//go:noescape
func blocks256(state *[16]uint32, a, b *byte, n int)

//go:noescape
func blocks1(state *[10]uint32, a, b *byte, n int)

//go:noescape
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

// Two reports whether two messages at once are faster than one after the other: the processor has the SHA extensions, and the SSSE3 and SSE4.1 that are
// used with them.
var Two = func() bool {
	if n, _, _, _ := cpuid(0, 0); n < 7 {
		return false
	}
	_, _, c, _ := cpuid(1, 0)
	_, b, _, _ := cpuid(7, 0)
	return c&(1<<9) != 0 && c&(1<<19) != 0 && b&(1<<29) != 0
}()

// Wide reports whether sixteen messages at once are faster than two and two: the processor has AVX-512 F and BW, and the system saves its registers.
var Wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW

// blocks16 feeds n > 0 blocks of 64 bytes from each of 16 messages to the lanes of state.
//
//go:noescape
func blocks16(state *[5][16]uint32, from *[16]*byte, n int)
