package blocks

import "shoal/piece"

// The weak hash of a block is the upper half of a polynomial modulo 2⁶⁴ (Rabin and Karp): Σ byte(i) × base^(n-1-i) with n = 16384 and the odd base below. It can be
// moved on by a byte with two multiplications, and its upper bits depend on all bytes of the block.

const base uint64 = 0x9E3779B97F4A7C15

// leaving is base^n, for the byte that leaves the block.
var leaving = func() uint64 {
	x := uint64(1)
	for range piece.BlockSize {
		x *= base
	}
	return x
}()

// hash is the polynomial of one block.
func hash(b []byte) (h uint64) {
	for _, x := range b {
		h = h*base + uint64(x)
	}
	return h
}

// roll moves a block on by one byte.
func roll(h uint64, out, in byte) uint64 { return h*base + uint64(in) - uint64(out)*leaving }

func weak(h uint64) uint32 { return uint32(h >> 32) }
