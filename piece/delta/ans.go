package delta

import "encoding/binary"

// A coder of symbols after their probability: range asymmetric numeral systems (J. Duda, "Asymmetric numeral systems", 2014). Two states take turns, so that
// a processor can be at two symbols at a time (F. Giesen, "Interleaved entropy coders", 2014): where binary decisions followed from each other, they were
// half of what Apply did. A decoder goes backwards through what an encoder did, so that one keeps all steps and makes the code of them in the end.

const (
	chanceBits = 15
	leastState = 1 << 24 // a state is below 1<<56
	evenBits   = 15      // that are coded at a time if there is nothing to learn about them
)

// ansEncoder keeps steps: where an interval of 1<<chanceBits begins, and how long it is.
type ansEncoder struct {
	steps []uint32
	words []uint32 // scratch
}

// reset begins another code.
func (e *ansEncoder) reset() { e.steps = e.steps[:0] }

func (e *ansEncoder) add(start, length uint32) { e.steps = append(e.steps, start<<16|length) }

func (e *ansEncoder) nibble(n *nibble, v uint32, p pace) {
	start := n.start(v)
	_, _, end := n.find(start, p)
	e.add(start, end-start)
}

// even codes the lowest n bits of v as they are.
func (e *ansEncoder) even(v uint64, n int) {
	for n > 0 {
		k := min(n, evenBits)
		n -= k
		e.add(uint32(v>>n&(1<<k-1))<<(chanceBits-k), 1<<(chanceBits-k))
	}
}

// finish returns the code. Behind its end a decoder reads zeros.
func (e *ansEncoder) finish() []byte {
	words := e.words[:0] // in the reverse order
	state := [2]uint64{leastState, leastState}
	for i := len(e.steps) - 1; i >= 0; i-- {
		start, length := uint64(e.steps[i]>>16), uint64(e.steps[i]&0xFFFF)
		x := state[i&1]
		if x >= leastState<<(32-chanceBits)*length {
			words = append(words, uint32(x))
			x >>= 32
		}
		state[i&1] = x/length<<chanceBits + x%length + start
	}
	for i := range state {
		x := state[1-i]
		words = append(words, uint32(x))
		if x >>= 32; x > 0 {
			words = append(words, uint32(x))
		}
	}
	e.words = words
	b := make([]byte, 0, 4*len(words))
	for i := range words {
		b = binary.BigEndian.AppendUint32(b, words[len(words)-1-i])
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// ansDecoder reads what an ansEncoder wrote. Any bytes decode to something.
type ansDecoder struct {
	state, other uint64 // other is for the symbol after the next
	in           []byte
}

func newANSDecoder(in []byte) *ansDecoder {
	d := &ansDecoder{in: in}
	for range 2 {
		d.turn(d.filled(0))
	}
	return d
}

// filled is a state that had become too small.
func (d *ansDecoder) filled(x uint64) uint64 {
	if len(d.in) < 4 {
		var b [4]byte
		copy(b[:], d.in)
		d.in = nil
		return x<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	x = x<<32 | uint64(binary.BigEndian.Uint32(d.in))
	d.in = d.in[4:]
	return x
}

func (d *ansDecoder) nibble(n *nibble, p pace) uint32 {
	x := d.state
	slot := uint32(x & (1<<chanceBits - 1))
	v, start, end := n.find(slot, p)
	d.turn(uint64(end-start)*(x>>chanceBits) + uint64(slot-start))
	return v
}

// turn goes on with the other state.
func (d *ansDecoder) turn(x uint64) {
	if x < leastState {
		x = d.filled(x)
	}
	d.state, d.other = d.other, x
}

func (d *ansDecoder) even(n int) (v uint64) {
	for n > 0 {
		k := min(n, evenBits)
		n -= k
		x := d.state
		v = v<<k | x&(1<<chanceBits-1)>>(chanceBits-k)
		x = x>>chanceBits<<(chanceBits-k) | x&(1<<(chanceBits-k)-1)
		d.turn(x)
	}
	return v
}
