package swarm

import "math/bits"

// bitset is a set of piece indices in the order of a BEP 3 bitfield: the high bit comes first.
type bitset struct {
	b   []byte
	n   int // pieces
	set int // how many are in it
}

func newBitset(n int) bitset { return bitset{b: make([]byte, (n+7)/8), n: n} }

func (s *bitset) has(i int) bool { return s.b[i>>3]&(0x80>>(i&7)) != 0 }

// add puts i in and says whether it was new.
func (s *bitset) add(i int) bool {
	if s.has(i) {
		return false
	}
	s.b[i>>3] |= 0x80 >> (i & 7)
	s.set++
	return true
}

// remove takes i out and says whether it was in.
func (s *bitset) remove(i int) bool {
	if !s.has(i) {
		return false
	}
	s.b[i>>3] &^= 0x80 >> (i & 7)
	s.set--
	return true
}

// covers says whether everything that is in o is in s; both are of as many pieces.
func (s *bitset) covers(o *bitset) bool {
	for i, b := range o.b {
		if b&^s.b[i] != 0 {
			return false
		}
	}
	return true
}

func (s *bitset) full() bool { return s.set == s.n }

func (s *bitset) fill() {
	for i := range s.b {
		s.b[i] = 0xff
	}
	if r := s.n & 7; r != 0 {
		s.b[len(s.b)-1] = 0xff << (8 - r)
	}
	s.set = s.n
}

// load takes a received bitfield. It says no when the length is wrong or a spare bit is set (BEP 3).
func (s *bitset) load(b []byte) bool {
	if len(b) != len(s.b) {
		return false
	}
	if r := s.n & 7; r != 0 && b[len(b)-1]&(0xff>>r) != 0 {
		return false
	}
	copy(s.b, b)
	s.set = 0
	for _, x := range b {
		s.set += bits.OnesCount8(x)
	}
	return true
}

func (s *bitset) clone() bitset {
	return bitset{b: append([]byte(nil), s.b...), n: s.n, set: s.set}
}
