package lanes

import "encoding/binary"

// Many is how many messages SHA1s hashes.
const Many = 16

// SHA1s is the SHA-1 of Many messages of equal length, a multiple of 64. Reset it before use.
type SHA1s struct {
	state [5][Many]uint32
	n     uint64
	pairs [Many / 2]SHA1 // unless Wide
}

// Reset begins Many messages.
func (h *SHA1s) Reset() {
	h.n = 0
	if !Wide {
		for i := range h.pairs {
			h.pairs[i].Reset()
		}
		return
	}
	for i, v := range [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0} {
		for k := range h.state[i] {
			h.state[i][k] = v
		}
	}
}

// Write appends to each message. What is appended has the same length for all, a multiple of 64.
func (h *SHA1s) Write(b *[Many][]byte) {
	n := len(b[0])
	var from [Many]*byte
	for i, x := range b {
		if len(x) != n || n%64 != 0 {
			panic("lanes: unequal or broken blocks")
		}
		if n > 0 {
			from[i] = &x[0]
		}
	}
	switch {
	case n == 0:
	case Wide:
		blocks16(&h.state, &from, n/64)
	default:
		for i := range h.pairs {
			h.pairs[i].Write(b[2*i], b[2*i+1])
		}
	}
	h.n += uint64(n)
}

// Sums ends all messages.
func (h *SHA1s) Sums() (sums [Many][20]byte) {
	if !Wide {
		for i := range h.pairs {
			sums[2*i], sums[2*i+1] = h.pairs[i].Sum()
		}
		return sums
	}
	end := ending(h.n)
	var from [Many]*byte
	for k := range from {
		from[k] = &end[0]
	}
	blocks16(&h.state, &from, 1)
	for k := range sums {
		for i := range h.state {
			binary.BigEndian.PutUint32(sums[k][i*4:], h.state[i][k])
		}
	}
	return sums
}
