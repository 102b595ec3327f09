package delta

import (
	"encoding/binary"
	"math/bits"
)

// grams says which groups of gramBytes bytes old content may have: a Bloom filter (B. Bloom, 1970) with two bits in one word, of eight to sixteen, for each. Where new
// content is really new it answers in one look at memory what would take some thirty in the suffix array; that is most of a diff's time when much changed.
type grams struct {
	set   []uint64
	shift int
}

// gramBytes is no more than what a match must have to be worth an op (gain).
const gramBytes = 8

func newGrams(old []byte) grams {
	log := max(bits.Len(uint(len(old)))+3, 7)
	g := grams{set: make([]uint64, 1<<(log-6)), shift: 64 - (log - 6)}
	for i := 0; i+gramBytes <= len(old); i++ {
		word, both := g.hash(old[i:])
		g.set[word] |= both
	}
	return g
}

// hash is a word of the set, and which bits there.
func (g *grams) hash(b []byte) (word, both uint64) {
	h := binary.LittleEndian.Uint64(b) * 0x9E3779B97F4A7C15
	return h >> g.shift, 1<<(h>>(g.shift-6)&63) | 1<<(h>>(g.shift-12)&63)
}

// mayHave is false if the first gramBytes bytes of b are nowhere in old.
func (g *grams) mayHave(b []byte) bool {
	if len(b) < gramBytes {
		return true
	}
	word, both := g.hash(b)
	return g.set[word]&both == both
}
