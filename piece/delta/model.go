package delta

import "math/bits"

// numberModel codes numbers from 0 to 2⁶³-1: how many bits there are as a tree of six bits, then the three bits below the highest with what was
// learned, then the rest, of which only the lowest one is worth learning. The zero value has learned nothing.
type numberModel struct {
	length [64]bit
	head   [64][8]bit
	lowest [64]bit
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

// decodeTree is what Apply does most of the time. Which bit comes is hardly to be foretold, so nothing branches on it; and what is known of either bit
// after this one is loaded before this one is known. nodes has 1<<n bits, n is at least 1.
func decodeTree(d *rangeDecoder, nodes []bit, n int) uint32 {
	width, code := d.width, d.code
	nodes = nodes[:1<<n]
	node := uint32(1)
	b := nodes[1]
	chance := b.chance()
	for {
		var zero, one bit // what follows
		if n > 1 {
			zero, one = nodes[node<<1], nodes[node<<1|1]
		}
		chanceZero, chanceOne := zero.chance(), one.chance()

		bound := width >> chanceBits * chance
		rest, is := bits.Sub64(code, bound, 0) // 1 if code < bound
		mask := -is
		code = rest + bound&mask
		width -= bound
		width += (bound - width) & mask
		nodes[node] = b.learned(uint32(mask))
		node = node<<1 | uint32(is)
		if width < leastWidth {
			width <<= 32
			code = code<<32 | d.next()
		}
		if n--; n == 0 {
			break
		}
		b = zero ^ (zero^one)&bit(mask)
		chance = chanceZero ^ (chanceZero^chanceOne)&mask
	}
	d.width, d.code = width, code
	return node - uint32(len(nodes))
}
