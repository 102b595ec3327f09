package delta

import (
	"encoding/binary"
	"math/bits"
)

// A binary range coder (as in LZMA, I. Pavlov, but of 64 bits): [low, low+width) is the interval that is left. Each bit is coded with a probability that both
// sides learn from the bits before it. Four bytes come or go at a time: that is a branch in some thirty bits, where one in eight was the dearest part of Apply.

// A bit holds the two estimates that a 1 comes next, in 1/65536: a quick one in the lower half and a slow one in the upper, whose mean is used. The mean of
// two costs about 3 % fewer bytes than either alone. The zero value says that both are as likely: no memory is touched for what is never coded.
type bit uint32

const (
	quickShift = 4
	slowShift  = 7

	evenChance = 1<<15 | 1<<31 // is kept as zero
)

// chance is the probability of a 1 in 1/65536; it is never 0 nor 1.
func (b bit) chance() uint64 {
	v := uint64(b ^ evenChance)
	return (v&0xFFFF+v>>16)>>1 | 1
}

// Of a 1 and of a 0.
const (
	learnOne  = 1<<32 - 1
	learnZero = 0
)

// learned is what is known after a 1 or a 0: both estimates come closer to it, each by a part of its distance.
func (b bit) learned(of uint32) bit {
	flip := evenChance ^ of
	distance := uint32(b) ^ flip
	distance -= distance>>quickShift&(0xFFFF>>quickShift) + distance>>slowShift&(0xFFFF>>slowShift<<16)
	return bit(distance ^ flip)
}

const (
	chanceBits = 16
	leastWidth = 1 << 32
	evenBits   = 16 // that are coded at a time if there is nothing to learn about them
)

// rangeEncoder appends to out.
type rangeEncoder struct {
	low, width uint64
	out        []byte
}

func newRangeEncoder() *rangeEncoder { return &rangeEncoder{width: 1<<64 - 1} }

// reset begins another code.
func (e *rangeEncoder) reset() { *e = rangeEncoder{width: 1<<64 - 1, out: e.out[:0]} }

func (e *rangeEncoder) encode(b *bit, one bool) {
	bound := e.width >> chanceBits * b.chance()
	if one {
		e.width = bound
		*b = b.learned(learnOne)
	} else {
		e.add(bound)
		e.width -= bound
		*b = b.learned(learnZero)
	}
	e.shift()
}

// encodeEven codes the lowest n bits of v as they are.
func (e *rangeEncoder) encodeEven(v uint64, n int) {
	for n > 0 {
		k := min(n, evenBits)
		n -= k
		e.width >>= k
		e.add(v >> n & (1<<k - 1) * e.width)
		e.shift()
	}
}

// add raises the interval, and what was written of it if that overflows.
func (e *rangeEncoder) add(n uint64) {
	var carry uint64
	e.low, carry = bits.Add64(e.low, n, 0)
	for i := len(e.out) - 1; carry > 0 && i >= 0; i-- {
		if e.out[i]++; e.out[i] != 0 {
			break
		}
	}
}

func (e *rangeEncoder) shift() {
	if e.width < leastWidth {
		e.out = binary.BigEndian.AppendUint32(e.out, uint32(e.low>>32))
		e.low <<= 32
		e.width <<= 32
	}
}

// finish returns the code: the shortest that lies in the interval. Behind its end a decoder reads zeros.
func (e *rangeEncoder) finish() []byte {
	for n := 56; ; n -= 8 {
		rest := uint64(1)<<n - 1
		if rest >= e.width {
			continue
		}
		e.add(rest)
		e.low &^= rest
		for ; n < 64; n += 8 {
			e.out = append(e.out, byte(e.low>>56))
			e.low <<= 8
		}
		return e.out
	}
}

// rangeDecoder reads what a rangeEncoder wrote. Any bytes decode to something.
type rangeDecoder struct {
	width, code uint64 // of the interval, and of the code from its low end on
	in          []byte
}

func newRangeDecoder(in []byte) *rangeDecoder {
	d := &rangeDecoder{width: 1<<64 - 1, in: in}
	d.code = d.next()<<32 | d.next()
	return d
}

// next is the next four bytes.
func (d *rangeDecoder) next() uint64 {
	if len(d.in) < 4 {
		var b [4]byte
		copy(b[:], d.in)
		d.in = nil
		return uint64(binary.BigEndian.Uint32(b[:]))
	}
	v := binary.BigEndian.Uint32(d.in)
	d.in = d.in[4:]
	return uint64(v)
}

func (d *rangeDecoder) decode(b *bit) bool {
	bound := d.width >> chanceBits * b.chance()
	one := d.code < bound
	if one {
		d.width = bound
		*b = b.learned(learnOne)
	} else {
		d.width -= bound
		d.code -= bound
		*b = b.learned(learnZero)
	}
	if d.width < leastWidth {
		d.shift()
	}
	return one
}

func (d *rangeDecoder) decodeEven(n int) (v uint64) {
	for n > 0 {
		k := min(n, evenBits)
		n -= k
		d.width >>= k
		part := min(d.code/d.width, 1<<k-1)
		d.code -= part * d.width
		v = v<<k | part
		if d.width < leastWidth {
			d.shift()
		}
	}
	return v
}

func (d *rangeDecoder) shift() {
	d.width <<= 32
	d.code = d.code<<32 | d.next()
}
