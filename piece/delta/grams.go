package delta

import (
	"encoding/binary"
	"math/bits"
)

// grams says which groups of gramBytes bytes old content may have: a Bloom filter with one hash (B. Bloom, 1970) and about eight bits for each. Where new
// content is really new it answers in one look at memory what would take some thirty in the suffix array; that is most of a diff's time when much changed.
type grams struct {
	set   []uint64
	shift int
}

// gramBytes is no more than what a match must have to be worth an op (gain).
const gramBytes = 8

func newGrams(old []byte) grams {
	log := max(bits.Len(uint(len(old)))+3, 6)
	g := grams{set: make([]uint64, 1<<(log-6)), shift: 64 - log}
	for i := 0; i+gramBytes <= len(old); i++ {
		h := g.hash(old[i:])
		g.set[h>>6] |= 1 << (h & 63)
	}
	return g
}

func (g *grams) hash(b []byte) uint64 {
	return binary.LittleEndian.Uint64(b) * 0x9E3779B97F4A7C15 >> g.shift
}

// mayHave is false if the first gramBytes bytes of b are nowhere in old.
func (g *grams) mayHave(b []byte) bool {
	if len(b) < gramBytes {
		return true
	}
	h := g.hash(b)
	return g.set[h>>6]>>(h&63)&1 == 1
}
