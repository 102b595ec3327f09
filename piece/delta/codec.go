package delta

import "math"

// codec is what is learned within a section: encoder and decoder change it in the same way.
type codec struct {
	rest   [2]bit // does the copy, do the new bytes, take all that is left of the file?
	copied []numberModel
	fresh  []numberModel
	place  [2]bit // where a copy begins: behind the last one? beside the new bytes after it?
	seek   []numberModel

	ends   [3]bit // no difference in the rest of this copy; by how many there were
	run    []numberModel
	values [4 * 256][256]bit // of the bytes that differ
}

func newCodec() *codec {
	c := &codec{copied: newNumbers(2), fresh: newNumbers(2), seek: newNumbers(1), run: newNumbers(runContexts)}
	fill(c.rest[:])
	fill(c.place[:])
	fill(c.ends[:])
	for i := range c.values {
		fill(c.values[i][:])
	}
	return c
}

// track is where the ops of a file have led to.
type track struct {
	end   int64 // of the last copy, in the old space
	fresh int64 // bytes since
}

func (t *track) after(o op) {
	if o.copied > 0 {
		t.end, t.fresh = o.pos+int64(o.copied), 0
	}
	t.fresh += int64(o.new)
}

// encodeOp codes an op, of which left bytes may be made. It does not change t.
func (c *codec) encodeOp(e *rangeEncoder, o op, left int64, t track) {
	whole := int64(o.copied) == left
	e.encode(&c.rest[0], whole)
	if !whole {
		c.copied[0].encode(e, uint64(o.copied))
	}
	if o.copied > 0 {
		e.encode(&c.place[0], o.pos == t.end)
		if o.pos != t.end {
			e.encode(&c.place[1], o.pos == t.end+t.fresh)
			if o.pos != t.end+t.fresh {
				c.seek[0].encode(e, zigzag(o.pos-t.end))
			}
		}
	}
	if left -= int64(o.copied); left > 0 {
		whole := int64(o.new) == left
		e.encode(&c.rest[1], whole)
		if !whole {
			c.fresh[0].encode(e, uint64(o.new))
		}
	}
}

// decodeOp is the reverse of encodeOp. What it returns makes at least one byte, at most left, and copies within [0, end).
func (c *codec) decodeOp(d *rangeDecoder, left int64, t track, end int64) (op, error) {
	copied := uint64(left)
	if !d.decode(&c.rest[0]) {
		copied = c.copied[0].decode(d)
	}
	if copied > uint64(left) {
		return op{}, badf("a copy of %d bytes where %d are left", copied, left)
	}
	o := op{copied: int(copied)}
	if copied > 0 {
		switch {
		case d.decode(&c.place[0]):
			o.pos = t.end
		case d.decode(&c.place[1]):
			o.pos = t.end + t.fresh
		default:
			o.pos = t.end + unzigzag(c.seek[0].decode(d))
		}
		if o.pos < 0 || o.pos > end-int64(copied) {
			return op{}, badf("a copy from outside of the old content")
		}
	}
	if left -= int64(copied); left > 0 {
		fresh := uint64(left)
		if !d.decode(&c.rest[1]) {
			fresh = c.fresh[0].decode(d)
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

const runContexts = 4 * 8

// differences is the state within the bytes of one copy that differ.
type differences struct {
	n       int // so far
	row     int // differing bytes without equal ones between them
	lastRun int
	last    byte
}

func (s *differences) runContext() int {
	b := 0
	for v := s.lastRun; v > 0 && b < 7; v >>= 1 {
		b++
	}
	return min(s.row, 3)*8 + b
}

func (s *differences) valueContext() int { return min(s.row, 3)*256 + int(s.last) }

func (s *differences) after(run int, value byte) {
	if run > 0 {
		s.row = 0
		s.lastRun = run
	}
	s.row++
	s.n++
	s.last = value
}

// encodeCopy codes how new differs from old, which is as long.
func (c *codec) encodeCopy(e *rangeEncoder, old, new []byte) {
	var s differences
	for len(new) > 0 {
		run := commonPrefix(old, new)
		ends := run == len(new)
		e.encode(&c.ends[min(s.n, 2)], ends)
		if ends {
			return
		}
		c.run[s.runContext()].encode(e, uint64(run))
		if run > 0 {
			s.row = 0
		}
		value := new[run] - old[run]
		encodeTree(e, c.values[s.valueContext()][:], uint32(value-1), 8)
		s.after(run, value)
		old, new = old[run+1:], new[run+1:]
	}
}

// decodeDifference is how many equal bytes come next, and by how much the one after them differs. ok is false if there is none before the end.
func (c *codec) decodeDifference(d *rangeDecoder, s *differences) (run int, value byte, ok bool) {
	if d.decode(&c.ends[min(s.n, 2)]) {
		return 0, 0, false
	}
	n := c.run[s.runContext()].decode(d)
	run = int(min(n, math.MaxInt))
	if run > 0 {
		s.row = 0
	}
	value = byte(decodeTree(d, c.values[s.valueContext()][:], 8)) + 1
	s.after(run, value)
	return run, value, true
}
