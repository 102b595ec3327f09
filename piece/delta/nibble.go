package delta

// A nibble is what is known of a symbol of four bits: for each of its values how likely a smaller one is, as 16 lanes of 16 bits, which are looked at and
// changed four at a time. No value is smaller than 0: that lane counts symbols instead. The zero value has learned nothing; no memory is touched for what is
// never coded. Bits with estimates of their own, in trees, cost Apply two to three times as much (and text 2 % fewer bytes, machine code 5 % more).
type nibble [4]uint64

const (
	each = 1<<48 | 1<<32 | 1<<16 | 1 // times something: that in all four lanes of a word

	least = 8                        // of 1<<chanceBits, that every value has always
	whole = 1<<chanceBits - 16*least // is what is learned

	least0 = (3<<48 | 2<<32 | 1<<16) * least
	least1 = least0 + 4*least*each
	least2 = least0 + 8*least*each
	least3 = least0 + 12*least*each

	even0 = (3<<48 | 2<<32 | 1<<16) * (whole / 16)
	even1 = even0 + whole/4*each
	even2 = even0 + whole/2*each
	even3 = even0 + whole/4*3*each
)

// A pace is how many symbols are remembered, about: after few, estimates follow what changes; after many, they are exact.
type pace uint64

const (
	quick pace = 31
	slow  pace = 127
)

// rates are by how many symbols there were: estimates come closer to what is by a part of the distance, as a power of two.
var rates = func() (table [slow + 1]uint8) {
	for i := range table {
		switch {
		case i < 2:
			table[i] = 2
		case i < 6:
			table[i] = 3
		case i < 24:
			table[i] = 4
		case i < 64:
			table[i] = 5
		default:
			table[i] = 6
		}
	}
	return table
}()

// find is the value in whose interval a slot is, and where that begins and ends; and learns that it came.
func (n *nibble) find(slot uint32, p pace) (v, start, end uint32) {
	if n[0] == 0 {
		*n = nibble{even0, even1, even2, even3}
	}
	w0, w1, w2, w3 := n[0]&^0xFFFF, n[1], n[2], n[3]

	// Which values have intervals that begin behind the slot.
	at := (1<<chanceBits - 1 - uint64(slot)) * each
	b0, b1, b2, b3 := (w0+least0+at)>>15&each, (w1+least1+at)>>15&each, (w2+least2+at)>>15&each, (w3+least3+at)>>15&each
	v = uint32(15 - (b0+b1+b2+b3)*each>>48)
	start, end = n.lane(v)+v*least, n.lane(v+1)+v*least+least
	if v == 0 {
		start = 0
	}
	if v == 15 {
		end = 1 << chanceBits
	}

	count := n[0] & 0xFFFF
	rate := rates[count&uint64(slow)] & 15
	part, gain := (0xFFFF>>rate)*uint64(each), uint64(whole>>rate)
	n[0] = w0 + b0*gain - w0>>rate&part | min(count+1, uint64(p))
	n[1] = w1 + b1*gain - w1>>rate&part
	n[2] = w2 + b2*gain - w2>>rate&part
	n[3] = w3 + b3*gain - w3>>rate&part
	return v, start, end
}

// start is where the interval of a value begins.
func (n *nibble) start(v uint32) uint32 {
	switch {
	case v == 0:
		return 0
	case n[0] == 0:
		return v * (whole/16 + least)
	}
	return n.lane(v) + v*least
}

func (n *nibble) lane(i uint32) uint32 { return uint32(n[i>>2&3] >> (i & 3 * 16) & 0xFFFF) }
