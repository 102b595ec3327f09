package delta

import (
	"math"
	"math/bits"
)

// codec is what is learned from op to op, in all sections: encoder and decoder change it in the same way. The zero value has learned
// nothing.
type codec struct {
	shape  nibble
	copied numberModel
	fresh  numberModel
	seek   numberModel

	differences
	run     [4 * 8]runModel
	longest numberModel
	values  [4 * 256]byteModel // of the bytes that differ
}

// The shape of an op is where it copies from, and four times that what else makes the file.
const (
	copiesNothing = iota
	fromEnd       // of the last copy
	fromBeside    // that end: new bytes since took the place of as many
	fromElsewhere
)
const (
	andNothing = iota // new
	andNew
	restNew    // all that is left of the file is new
	restCopied // or copied
)

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
func (c *codec) encodeOp(e *ansEncoder, o op, left int64, t track) {
	from, and := uint32(fromElsewhere), uint32(andNothing)
	switch {
	case o.copied == 0:
		from = copiesNothing
	case o.pos == t.end:
		from = fromEnd
	case o.pos == t.end+t.fresh:
		from = fromBeside
	}
	switch {
	case int64(o.copied) == left:
		and = restCopied
	case int64(o.copied)+int64(o.new) == left:
		and = restNew
	case o.new > 0:
		and = andNew
	}
	e.nibble(&c.shape, and<<2|from, quick)
	if from != copiesNothing && and != restCopied {
		c.copied.encode(e, uint64(o.copied-1))
	}
	if from == fromElsewhere {
		c.seek.encode(e, zigzag(o.pos-t.end))
	}
	if and == andNew {
		c.fresh.encode(e, uint64(o.new-1))
	}
}

// decodeOp is the reverse of encodeOp. What it returns makes at least one byte, at most left, and copies within [0, end).
func (c *codec) decodeOp(d *ansDecoder, left int64, t track, end int64) (op, error) {
	shape := d.nibble(&c.shape, quick)
	from, and := shape&3, shape>>2
	var copied, fresh uint64
	if from != copiesNothing {
		copied = uint64(left)
		if and != restCopied {
			copied = c.copied.decode(d) + 1
		}
	}
	if copied > uint64(left) {
		return op{}, badf("a copy of %d bytes where %d are left", copied, left)
	}
	o := op{copied: int(copied)}
	if copied > 0 {
		switch o.pos = t.end; from {
		case fromBeside:
			o.pos += t.fresh
		case fromElsewhere:
			o.pos += unzigzag(c.seek.decode(d))
		}
		if o.pos < 0 || o.pos > end-int64(copied) {
			return op{}, badf("a copy from outside of the old content")
		}
	}
	switch left -= int64(copied); and {
	case restNew:
		fresh = uint64(left)
	case andNew:
		fresh = c.fresh.decode(d) + 1
	}
	if fresh > uint64(left) || fresh+copied == 0 {
		return op{}, badf("%d new bytes where %d are left", fresh, left)
	}
	o.new = int(fresh)
	return o, nil
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// runModel codes what comes next in a copy: so many equal bytes, or none but equal ones. Machine code has most differences few bytes apart, and always the same
// numbers of them.
type runModel struct {
	short nibble
	upper nibble // of a run that is not short, less shortRuns, without the lowest four bits; 15 is: that and more
	lower [16]nibble
}

const (
	shortRuns = 14
	longer    = 14
	noMore    = 15

	longRun = shortRuns + 15<<4
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
func (c *codec) encodeCopy(e *ansEncoder, old, new []byte) {
	c.row = 0
	for len(new) > 0 {
		run := commonPrefix(old, new)
		m := &c.run[c.runContext()]
		if run == len(new) {
			e.nibble(&m.short, noMore, quick)
			return
		}
		m.encode(e, run)
		if run >= longRun {
			c.longest.encode(e, uint64(run-longRun))
		}
		c.equal(run)
		value := new[run] - old[run]
		c.values[c.valueContext()].encode(e, value, quick)
		c.differ(value)
		old, new = old[run+1:], new[run+1:]
	}
}

// encode codes a run up to longRun.
func (m *runModel) encode(e *ansEncoder, run int) {
	if run < shortRuns {
		e.nibble(&m.short, uint32(run), quick)
		return
	}
	e.nibble(&m.short, longer, quick)
	run -= shortRuns
	upper := min(run>>4, 15)
	e.nibble(&m.upper, uint32(upper), quick)
	if upper < 15 {
		e.nibble(&m.lower[upper], uint32(run&15), quick)
	}
}

// decodeDifference is how many equal bytes come next, and by how much the one after them differs. ok is false if there is none before the end.
func (c *codec) decodeDifference(d *ansDecoder) (run int, value byte, ok bool) {
	m := &c.run[c.runContext()]
	run = int(d.nibble(&m.short, quick))
	switch run {
	case noMore:
		return 0, 0, false
	case longer:
		upper := d.nibble(&m.upper, quick) & 15
		run += int(upper << 4)
		if upper < 15 {
			run += int(d.nibble(&m.lower[upper], quick))
		} else {
			run += int(min(c.longest.decode(d), math.MaxInt32))
		}
	}
	c.equal(run)
	value = c.values[c.valueContext()].decode(d, quick)
	c.differ(value)
	return run, value, true
}
