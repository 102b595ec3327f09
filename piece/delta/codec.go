package delta

import (
	"math"
	"math/bits"
)

// codec is what is learned from op to op, in all sections: encoder and decoder change it in the same way. The zero value has learned
// nothing.
type codec struct {
	rest   [2]bit // does the copy, do the new bytes, take all that is left of the file?
	copied numberModel
	fresh  numberModel
	where  [2]bit // where a copy begins: behind the last one? beside the new bytes after it?
	seek   numberModel

	differences
	rowGoes [4]bit // the byte after one that differs differs as well; by how many did
	run     [4 * 8][64]bit
	long    numberModel
	values  [4 * 256][256]bit // of the bytes that differ
}

// track is where the ops of a file have led to.
type track struct {
	end   int64 // of the last copy, in the old space
	fresh int64 // bytes since
	made  int64 // bytes of the new file
}

func (t *track) after(o op) {
	if o.copied > 0 {
		t.end, t.fresh = o.pos+int64(o.copied), 0
	}
	t.fresh += int64(o.new)
	t.made += int64(o.copied + o.new)
}

// encodeOp codes an op, of which left bytes may be made. It does not change t.
func (c *codec) encodeOp(e *rangeEncoder, o op, left int64, t track) {
	whole := int64(o.copied) == left
	e.encode(&c.rest[0], whole)
	if !whole {
		c.copied.encode(e, uint64(o.copied))
	}
	if o.copied > 0 {
		e.encode(&c.where[0], o.pos == t.end)
		if o.pos != t.end {
			e.encode(&c.where[1], o.pos == t.end+t.fresh)
			if o.pos != t.end+t.fresh {
				c.seek.encode(e, zigzag(o.pos-t.end))
			}
		}
	}
	if left -= int64(o.copied); left > 0 {
		whole := int64(o.new) == left
		e.encode(&c.rest[1], whole)
		if !whole {
			c.fresh.encode(e, uint64(o.new))
		}
	}
}

// decodeOp is the reverse of encodeOp. What it returns makes at least one byte, at most left, and copies within [0, end).
func (c *codec) decodeOp(d *rangeDecoder, left int64, t track, end int64) (op, error) {
	copied := uint64(left)
	if !d.decode(&c.rest[0]) {
		copied = c.copied.decode(d)
	}
	if copied > uint64(left) {
		return op{}, badf("a copy of %d bytes where %d are left", copied, left)
	}
	o := op{copied: int(copied)}
	if copied > 0 {
		switch {
		case d.decode(&c.where[0]):
			o.pos = t.end
		case d.decode(&c.where[1]):
			o.pos = t.end + t.fresh
		default:
			o.pos = t.end + unzigzag(c.seek.decode(d))
		}
		if o.pos < 0 || o.pos > end-int64(copied) {
			return op{}, badf("a copy from outside of the old content")
		}
	}
	if left -= int64(copied); left > 0 {
		fresh := uint64(left)
		if !d.decode(&c.rest[1]) {
			fresh = c.fresh.decode(d)
		}
		if fresh > uint64(left) || fresh+copied == 0 {
			return op{}, badf("%d new bytes where %d are left", fresh, left)
		}
		o.new = int(fresh)
	}
	return o, nil
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// What comes next in a copy, as a symbol of six bits: so many equal bytes, more than that, or none but equal ones.
const (
	longRun = 62
	noMore  = 63
)

// differences is the state between the bytes of a copy that differ.
type differences struct {
	row     int  // differing bytes without equal ones between them
	first   byte // by how much the first one in this row differed, or in the last row if there is none yet
	last    byte // by how much the last one differed
	lastRun int  // equal bytes before this row
}

func (s *differences) equal(run int) {
	if run > 0 {
		s.row, s.lastRun = 0, run
	}
}

func (s *differences) differ(value byte) {
	if s.row == 0 {
		s.first = value
	}
	s.row++
	s.last = value
}

func (s *differences) runContext() int { return min(s.row, 3)*8 + min(bits.Len(uint(s.lastRun)), 7) }

// valueContext: rows begin alike, and go on as they began.
func (s *differences) valueContext() int {
	if s.row == 0 {
		return int(s.first)
	}
	return min(s.row, 3)*256 + int(s.last)
}

// encodeCopy codes how new differs from old, which is as long.
func (c *codec) encodeCopy(e *rangeEncoder, old, new []byte) {
	c.row = 0
	for len(new) > 0 {
		run := commonPrefix(old, new)
		if run == len(new) {
			c.encodeRun(e, noMore, 0)
			return
		}
		c.encodeRun(e, min(run, longRun), run)
		c.equal(run)
		value := new[run] - old[run]
		encodeTree(e, c.values[c.valueContext()][:], uint32(value), 8)
		c.differ(value)
		old, new = old[run+1:], new[run+1:]
	}
}

func (c *codec) encodeRun(e *rangeEncoder, symbol, run int) {
	if c.row > 0 {
		e.encode(&c.rowGoes[min(c.row, 3)], symbol == 0)
		if symbol == 0 {
			return
		}
	}
	encodeTree(e, c.run[c.runContext()][:], uint32(symbol), 6)
	if symbol == longRun {
		c.long.encode(e, uint64(run-longRun))
	}
}

// decodeDifference is how many equal bytes come next, and by how much the one after them differs. ok is false if there is none before the end.
func (c *codec) decodeDifference(d *rangeDecoder) (run int, value byte, ok bool) {
	if c.row == 0 || !d.decode(&c.rowGoes[min(c.row, 3)]) {
		run = int(decodeTree(d, c.run[c.runContext()][:], 6))
	}
	switch run {
	case noMore:
		return 0, 0, false
	case longRun:
		run += int(min(c.long.decode(d), math.MaxInt32))
	}
	c.equal(run)
	value = byte(decodeTree(d, c.values[c.valueContext()][:], 8))
	c.differ(value)
	return run, value, true
}
