package delta

import "math/bits"

// numberModel codes numbers from 0 to 2⁶³-1: how many bits there are as a tree of six bits, then the three bits below the highest with what was
// learned, then the rest, of which only the lowest one is worth learning.
type numberModel struct {
	length [64]bit
	head   [64][8]bit
	lowest [64]bit
}

func newNumber() (m numberModel) {
	fill(m.length[:])
	for k := range m.head {
		fill(m.head[k][:])
	}
	fill(m.lowest[:])
	return m
}

func fill(b []bit) {
	for i := range b {
		b[i] = even
	}
}

func (m *numberModel) encode(e *rangeEncoder, v uint64) {
	n := bits.Len64(v)
	encodeTree(e, m.length[:], uint32(n), 6)
	n-- // the highest bit is known
	node := 1
	for i := 0; i < 3 && n > 0; i++ {
		n--
		one := v>>n&1 == 1
		e.encode(&m.head[bits.Len64(v)][node], one)
		node = node << 1
		if one {
			node |= 1
		}
	}
	if n > 0 {
		e.encodeEven(v>>1, n-1)
		e.encode(&m.lowest[bits.Len64(v)], v&1 == 1)
	}
}

func (m *numberModel) decode(d *rangeDecoder) uint64 {
	length := int(decodeTree(d, m.length[:], 6))
	if length == 0 {
		return 0
	}
	n, v, node := length-1, uint64(1), 1
	for i := 0; i < 3 && n > 0; i++ {
		n--
		v, node = v<<1, node<<1
		if d.decode(&m.head[length][node>>1]) {
			v, node = v|1, node|1
		}
	}
	if n > 0 {
		v = v<<(n-1) | d.decodeEven(n-1)
		v <<= 1
		if d.decode(&m.lowest[length]) {
			v |= 1
		}
	}
	return v
}

// encodeTree codes the lowest n bits of v, highest first; each has its own estimate for each of the values before it.
func encodeTree(e *rangeEncoder, nodes []bit, v uint32, n int) {
	node := uint32(1)
	for n--; n >= 0; n-- {
		one := v >> n & 1
		e.encode(&nodes[node], one == 1)
		node = node<<1 | one
	}
}

// decodeTree is what Apply does most of the time: it is decode in a loop, with the state in registers. nodes has 1<<n bits.
func decodeTree(d *rangeDecoder, nodes []bit, n int) uint32 {
	width, code := d.width, d.code
	nodes = nodes[:1<<n]
	node := uint32(1)
	for range n {
		b := &nodes[node]
		bound := width >> chanceBits * b.chance()
		if code < bound {
			width = bound
			b.learnOne()
			node = node<<1 | 1
		} else {
			width -= bound
			code -= bound
			b.learnZero()
			node <<= 1
		}
		if width < leastWidth {
			width <<= 32
			code = code<<32 | d.next()
		}
	}
	d.width, d.code = width, code
	return node - 1<<n
}
