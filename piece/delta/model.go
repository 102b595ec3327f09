package delta

import "math/bits"

// numberModel codes numbers from 0 to 2⁶³-1: how many bits there are, the three bits below the highest, and the lowest four, each with what was learned; and
// what is between as it is. The zero value has learned nothing.
type numberModel struct {
	length [5]nibble // 15 is: that many and the next
	head   [64]nibble
	low    [64]nibble
}

func (m *numberModel) encode(e *ansEncoder, v uint64) {
	length := bits.Len64(v)
	n := length
	for i := range m.length {
		e.nibble(&m.length[i], uint32(min(n, 15)), quick)
		if n < 15 {
			break
		}
		n -= 15
	}
	n = length - 1 // the highest bit is known
	if n > 0 {
		k := min(n, 3)
		n -= k
		e.nibble(&m.head[length], uint32(v>>n&(1<<k-1)), quick)
	}
	if n > 0 {
		k := min(n, 4)
		e.even(v>>k, n-k)
		e.nibble(&m.low[length], uint32(v&(1<<k-1)), quick)
	}
}

func (m *numberModel) decode(d *ansDecoder) uint64 {
	length := 0
	for i := range m.length {
		n := int(d.nibble(&m.length[i], quick))
		length += n
		if n < 15 {
			break
		}
	}
	if length == 0 {
		return 0
	}
	length = min(length, 63)
	n, v := length-1, uint64(1)
	if n > 0 {
		k := min(n, 3)
		n -= k
		v = v<<k | uint64(d.nibble(&m.head[length], quick))&(1<<k-1)
	}
	if n > 0 {
		k := min(n, 4)
		v = v<<(n-k) | d.even(n-k)
		v = v<<k | uint64(d.nibble(&m.low[length], quick))&(1<<k-1)
	}
	return v
}

// byteModel codes bytes: the upper half, and the lower one by that.
type byteModel struct {
	upper nibble
	lower [16]nibble
}

func (m *byteModel) encode(e *ansEncoder, b byte, p pace) {
	e.nibble(&m.upper, uint32(b>>4), p)
	e.nibble(&m.lower[b>>4], uint32(b&15), p)
}

func (m *byteModel) decode(d *ansDecoder, p pace) byte {
	upper := d.nibble(&m.upper, p) & 15
	return byte(upper<<4 | d.nibble(&m.lower[upper], p))
}
