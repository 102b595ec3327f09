package delta

import (
	"encoding/binary"
	"math/bits"
)

// Most bytes that differ in a recompiled program are addresses: what they point at moved. x86 code has them as 32-bit distances from the next
// instruction. A copy is therefore corrected before its differences are coded: where an instruction seems to begin such a distance, and its
// target was pointed at before, the distance is set to what it will be if the target moved as it did then. If the guess is wrong, it is corrected by
// differences like any byte. Of the differences of a new release of bun (107 MB) this leaves a third.

const (
	fieldBytes = 4
	exactBits  = 18
	nearBits   = 14
	nearShift  = 8 // targets closer than 1<<nearShift probably moved together
	trustMost  = 16
)

// references remembers by how much targets moved. The zero value remembers none.
type references struct {
	exact, near []moved // nil until the first target: a text has none
	// trust is how many more guesses were right than wrong. While it is negative none is used: this is no x86 code.
	trust int
}

type moved struct {
	target uint32
	by     int32
}

func slot(target uint32, log int) uint32 { return target * 2654435761 >> (32 - log) }

// guess is by how much a target moved.
func (r *references) guess(target uint32) (by int32, ok bool) {
	if r.exact == nil {
		return 0, false
	}
	if m := r.exact[slot(target, exactBits)]; m.target == target {
		return m.by, true
	}
	m := r.near[slot(target>>nearShift, nearBits)]
	return m.by, m.target == target>>nearShift
}

func (r *references) learn(target uint32, by int32) {
	if r.exact == nil {
		r.exact, r.near = make([]moved, 1<<exactBits), make([]moved, 1<<nearBits)
	}
	r.exact[slot(target, exactBits)] = moved{target, by}
	r.near[slot(target>>nearShift, nearBits)] = moved{target >> nearShift, by}
}

// opcodes says in its lower half what a byte may end: 1 an instruction's part before a distance (call, jmp, or a ModRM byte that means "relative to the
// next instruction"), 2 the same if the byte before is 0x0F (a conditional jump). The upper half is which of these the next byte may end.
var opcodes = func() (table [256]byte) {
	for b := range table {
		switch {
		case b == 0xE8 || b == 0xE9 || b&0xC7 == 0x05:
			table[b] = 1
		case b&0xF0 == 0x80:
			table[b] = 2
		}
		table[b] |= 1 << 4
	}
	table[0x0F] |= 2 << 4
	return table
}()

// nextField is the first place from i to last, i at least 2, where by the two bytes before it a distance may begin; last+1 if there is none.
func nextField(b []byte, i, last int) int {
	before := opcodes[b[i-2]]
	for ; i+3 <= last; i += 4 { // Nearly all of the time goes by here.
		next := b[i-1 : i+3 : i+3]
		o, p, q, r := opcodes[next[0]], opcodes[next[1]], opcodes[next[2]], opcodes[next[3]]
		fields := uint32(before>>4&o) | uint32(o>>4&p)<<8 | uint32(p>>4&q)<<16 | uint32(q>>4&r)<<24
		if fields != 0 {
			return i + bits.TrailingZeros32(fields)/8
		}
		before = r
	}
	for ; i <= last; i++ {
		o := opcodes[b[i-1]]
		if before>>4&o != 0 {
			break
		}
		before = o
	}
	return i
}

// place is where the bytes of a copy come from and go to.
type place struct {
	pos         int64 // of the first byte, in the old space
	start, stop int64 // of the old file, there
	offset      int64 // of the first byte, in the new file
}

// shift is how far a byte moves within its file.
func (p place) shift() int64 { return p.offset - (p.pos - p.start) }

func (p place) advance(n int) place {
	p.pos, p.offset = p.pos+int64(n), p.offset+int64(n)
	return p
}

// target is where the distance in field points to, i bytes into the copy. ok is false if it is hardly a distance.
func (p place) target(field []byte, i int) (target int64, ok bool) {
	target = p.pos + int64(i+fieldBytes) + distance(field)
	return target, target >= p.start && target < p.stop
}

func distance(field []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(field))) }

// A guess is what a distance was corrected to.
type guess struct {
	target uint32
	old    int64
	shift  int64
	value  uint32
	ok     bool
}

// correct sets the distance in field, whose instruction moves by shift, to what is guessed.
func (r *references) correct(field []byte, target, shift int64) guess {
	g := guess{target: uint32(target), old: distance(field), shift: shift}
	by, ok := r.guess(g.target)
	g.value, g.ok = uint32(g.old+int64(by)-shift), ok
	if ok && r.trust >= 0 {
		binary.LittleEndian.PutUint32(field, g.value)
	}
	return g
}

// settle learns from what field is in the new file.
func (r *references) settle(g guess, field []byte) {
	r.learn(g.target, int32(distance(field)-g.old+g.shift))
	switch {
	case !g.ok || g.value == uint32(g.old):
	case binary.LittleEndian.Uint32(field) == g.value:
		r.trust = min(r.trust+1, trustMost)
	default:
		r.trust = max(r.trust-1, -trustMost)
	}
}
