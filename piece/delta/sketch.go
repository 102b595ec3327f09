package delta

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
	"slices"
)

// A sketch knows windows of old content, about one of sketchEvery, by a hash, in the order of the hashes. Which ones they are says their own beginning, so
// that the same bytes are chosen in new content, wherever they lie. It tells new content that has little in common with the old one (what is encrypted, or was
// compressed again), and finds what long stretches there are in it; sorting the suffixes takes some twenty times as long.
type sketch []sketched

type sketched struct {
	hash uint32
	pos  int32
}

const (
	sketchEvery  = 128
	sketchWindow = 16
	sketchLeast  = 64 // windows that tell something
	sketchAlike  = 16 // one window in so many that is known makes it worth to sort; of what was compiled again hardly less than one in ten is

	sketchNearly  = 256  // one window in so many may be unknown of what is nearly the same
	nearlyChanged = 4096 // and one byte in so many differ from the stretch it is in, or be in none: else sorting is worth its time
)

func newSketch(old []byte) sketch {
	var s sketch
	for i, hash := range windows(old) {
		s = append(s, sketched{hash, int32(i)})
	}
	slices.SortFunc(s, func(a, b sketched) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.pos, b.pos)) })
	return slices.CompactFunc(s, func(a, b sketched) bool { return a.hash == b.hash })
}

// windows are the places in b that are chosen, with their hashes. They do not overlap: a pattern may be chosen again and again.
func windows(b []byte) iter.Seq2[int, uint32] {
	return func(yield func(int, uint32) bool) {
		for i := 0; i+sketchWindow <= len(b); i++ {
			hash, chosen := sample(b[i:])
			if !chosen {
				continue
			}
			if !yield(i, hash) {
				return
			}
			i += sketchWindow - 1
		}
	}
}

// sample is the hash of the window that b, which is as long, begins with, if it is chosen. A single byte again and again never is: padding is everywhere.
func sample(b []byte) (hash uint32, chosen bool) {
	x := binary.LittleEndian.Uint64(b)
	h := x * 0x9E3779B97F4A7C15
	if h >= 1<<64/sketchEvery || x == bits.RotateLeft64(x, 8) {
		return 0, false
	}
	return uint32((h<<7 ^ binary.LittleEndian.Uint64(b[8:])) * 0xD6E8FEB86659FD93 >> 32), true
}

func (s sketch) find(hash uint32) (pos int, ok bool) {
	i, ok := slices.BinarySearchFunc(s, hash, func(e sketched, h uint32) int { return cmp.Compare(e.hash, h) })
	if !ok {
		return 0, false
	}
	return int(s[i].pos), true
}

// known counts the windows of b, and those of them that are known.
func (s sketch) known(b []byte) (known, all int) {
	for _, hash := range windows(b) {
		if _, ok := s.find(hash); ok {
			known++
		}
		all++
	}
	return known, all
}

// alike is false for what has little in common with old content.
func alike(known, all int) bool { return all < sketchLeast || known*sketchAlike >= all }

// nearly says that next to nothing is new: long stretches are then worth a try alone.
func nearly(known, all int) bool { return all >= sketchLeast && (all-known)*sketchNearly <= all }

// longest is a place in old, which this is the sketch of, that has the beginning of b in common with it, if that is a window that is known.
func (s sketch) longest(old, b []byte) (pos, n int) {
	if len(b) < sketchWindow {
		return 0, 0
	}
	hash, chosen := sample(b)
	if !chosen {
		return 0, 0
	}
	pos, ok := s.find(hash)
	if !ok {
		return 0, 0
	}
	return pos, commonPrefix(old[pos:], b)
}
