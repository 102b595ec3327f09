package delta

import (
	"encoding/binary"
	"io"
)

// limits are when a section ends, by what it has so far. Decoders hold its codes in memory.
type limits struct {
	output int64 // bytes that it makes
	ops    int   // bytes of code
	fresh  int   // new bytes, before they are coded: also in what portions they are stored as they are if they do not become shorter
}

var sectionLimits = limits{output: 256 << 20, ops: 1 << 20, fresh: 1 << 20}

const (
	maxCopied = 4 << 20  // of one op
	maxNew    = 1 << 20  // of one op
	firstRead = 1 << 20  // of the codes, before any of them has come
	maxCode   = 20 << 20 // what a decoder accepts of either code: a section may exceed its limits by an op
)

// sectionEncoder collects ops until flush writes them as a section.
type sectionEncoder struct {
	w      io.Writer
	limits limits
	codec  *codec
	ops    *rangeEncoder
	fresh  freshEncoder
	output int64
	old    []byte // scratch
}

func newSectionEncoder(w io.Writer, l limits) *sectionEncoder {
	return &sectionEncoder{w: w, limits: l, codec: newCodec(), ops: newRangeEncoder()}
}

// add takes an op of a file of which left bytes are to be made. old are the bytes that it copies, from p, and new those that it makes.
func (s *sectionEncoder) add(o op, left int64, t track, p place, old, new []byte) {
	s.codec.encodeOp(s.ops, o, left, t)
	s.old = append(s.old[:0], old...)
	s.codec.encodeCopy(s.ops, p, s.old, new[:o.copied])
	s.fresh.add(new[o.copied:])
	s.output += int64(len(new))
}

// full says that the section should end.
func (s *sectionEncoder) full() bool {
	return s.output >= s.limits.output || len(s.ops.out) >= s.limits.ops || s.fresh.pending() >= s.limits.fresh
}

// flush writes the section, if it is not empty, and begins a new one.
func (s *sectionEncoder) flush() error {
	if s.output == 0 {
		return nil
	}
	ops := s.ops.finish()
	made := s.fresh.pending()
	fresh, stored := s.fresh.flush()
	b := binary.AppendUvarint(nil, uint64(s.output))
	b = binary.AppendUvarint(b, uint64(len(ops)))
	b = binary.AppendUvarint(b, uint64(len(fresh))<<1|bit64(stored))
	b = binary.AppendUvarint(b, uint64(made))
	for _, part := range [][]byte{b, ops, fresh} {
		if _, err := s.w.Write(part); err != nil {
			return err
		}
	}
	s.ops.reset()
	s.output = 0
	return nil
}

func bit64(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

// source is old content.
type source interface {
	read(b []byte, pos int64) error      // fills b; the range is within what there is
	bounds(pos int64) (start, end int64) // of the file that pos is in
	end() int64
}

type byteSource []byte

func (s byteSource) read(b []byte, pos int64) error {
	copy(b, s[pos:])
	return nil
}

func (s byteSource) bounds(int64) (start, end int64) { return 0, s.end() }
func (s byteSource) end() int64                      { return int64(len(s)) }

// sectionDecoder makes the bytes of a section after the other.
type sectionDecoder struct {
	r   *byteReader
	old source

	total  int64 // bytes that sections to come are to make
	left   int64 // bytes that the present section still makes
	codec  *codec
	ops    *rangeDecoder
	packed []byte        // both codes
	fresh  *freshDecoder // nil before there are new bytes
	made   freshBytes    // of the present section
	buf    []byte
}

// byteReader reads single bytes and no more than is asked for.
type byteReader struct {
	io.Reader
	one [1]byte
}

func (r *byteReader) ReadByte() (byte, error) {
	_, err := io.ReadFull(r.Reader, r.one[:])
	return r.one[0], err
}

// uvarint reads a number. That it is none is the patch's fault, which encoding/binary's own reader does not tell apart from an error of the source.
func (r *byteReader) uvarint() (uint64, error) {
	var b [binary.MaxVarintLen64]byte
	for i := range b {
		c, err := r.ReadByte()
		if err != nil {
			return 0, readErr(err)
		}
		if b[i] = c; c >= 0x80 {
			continue
		}
		if v, n := binary.Uvarint(b[:i+1]); n > 0 {
			return v, nil
		}
		break
	}
	return 0, badf("a number of more than 64 bits")
}

func newSectionDecoder(r *byteReader, old source) *sectionDecoder {
	return &sectionDecoder{r: r, old: old, buf: make([]byte, copyBytes)}
}

// next reads a section.
func (s *sectionDecoder) next() error {
	if err := s.made.end(); err != nil {
		return err
	}
	var head [4]uint64
	for i := range head {
		var err error
		if head[i], err = s.r.uvarint(); err != nil {
			return err
		}
	}
	fresh, stored, made := head[2]>>1, head[2]&1 == 1, head[3]
	if head[0] == 0 || head[0] > uint64(s.total) || max(head[1], fresh, made) > maxCode || made > head[0] {
		return badf("a section of %d bytes, %d of them new, from %d and %d, where %d are left", head[0], made, head[1], fresh, s.total)
	}
	if err := s.read(int(head[1] + fresh)); err != nil {
		return err
	}
	if s.codec == nil {
		s.codec = newCodec()
	}
	s.ops = newRangeDecoder(s.packed[:head[1]])
	if fresh > 0 && s.fresh == nil {
		s.fresh = newFreshDecoder(s.total)
	}
	if made > 0 && s.fresh == nil {
		return badf("new bytes that are nowhere")
	}
	if made > 0 {
		s.fresh.section(s.packed[head[1]:], stored)
		s.made.decode(s.fresh, int(made))
	}
	s.left = int64(head[0])
	s.total -= s.left
	return nil
}

// read reads the n bytes of a section's codes. Its memory grows with what comes, not with what is said, and is used again.
func (s *sectionDecoder) read(n int) error {
	s.packed = s.packed[:0]
	for n > 0 {
		if len(s.packed) == cap(s.packed) {
			more := min(n, max(len(s.packed), firstRead))
			s.packed = append(make([]byte, 0, len(s.packed)+more), s.packed...)
		}
		at := len(s.packed)
		m := min(n, cap(s.packed)-at)
		s.packed = s.packed[:at+m]
		if _, err := io.ReadFull(s.r, s.packed[at:]); err != nil {
			return readErr(err)
		}
		n -= m
	}
	return nil
}

// op makes the next bytes of a file, of which left are missing, and goes on from t.
func (s *sectionDecoder) op(w io.Writer, left int64, t *track) (n int64, err error) {
	o, err := s.codec.decodeOp(s.ops, left, *t, s.old.end())
	if err != nil {
		return 0, err
	}
	n = int64(o.copied) + int64(o.new)
	if n > s.left {
		return 0, badf("%d bytes where the section has %d left", n, s.left)
	}
	if o.copied > 0 {
		if err := s.copy(w, o, t.made); err != nil {
			return 0, err
		}
	}
	for left := o.new; left > 0; {
		b, err := s.made.next(left)
		if err != nil {
			return 0, err
		}
		if _, err := w.Write(b); err != nil {
			return 0, err
		}
		left -= len(b)
	}
	t.after(o)
	s.left -= n
	return n, nil
}

// copy writes the old bytes of o, changed where they differ, from offset on in the new file.
func (s *sectionDecoder) copy(w io.Writer, o op, offset int64) error {
	c := copier{codec: s.codec, ops: s.ops, end: o.copied}
	c.codec.row = 0
	if err := c.find(0); err != nil {
		return err
	}
	p := place{pos: o.pos, offset: offset}
	p.start, p.stop = s.old.bounds(o.pos)
	for done := 0; done < o.copied; {
		b := s.buf[:min(o.copied-done, copyBytes)]
		if err := s.old.read(b, p.pos); err != nil {
			return err
		}
		if err := c.change(b, done, p); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		done, p = done+len(b), p.advance(len(b))
	}
	return nil
}

// A copier is in the middle of a copy.
type copier struct {
	codec *codec
	ops   *rangeDecoder
	end   int  // of the copy
	at    int  // of the next byte that differs, or end
	value byte // by how much
}

// find looks for the first byte that differs and is not before from.
func (c *copier) find(from int) error {
	c.at = c.end
	if from == c.end {
		return nil
	}
	run, value, ok := c.codec.decodeDifference(c.ops)
	if !ok {
		return nil
	}
	if run >= c.end-from {
		return badf("a difference behind the end of its copy")
	}
	c.at, c.value = from+run, value
	return nil
}

// change makes b new, which are old bytes from p, and done bytes into the copy.
func (c *copier) change(b []byte, done int, p place) error {
	shift := p.shift()
	for i := 2; ; {
		// Nearly all of the time goes by here.
		for stop := min(len(b)-fieldBytes, c.at-done); i <= stop && endsOpcode[b[i-1]] == 0; {
			i++
		}
		if i+fieldBytes > len(b) {
			break
		}
		if c.at < done+i {
			if err := c.differ(b, done, i); err != nil {
				return err
			}
			continue
		}
		field := b[i : i+fieldBytes]
		target, ok := p.target(b[i-2:i], field, i)
		if !ok {
			i++
			continue
		}
		g := c.codec.refs.correct(field, target, shift)
		i += fieldBytes
		if err := c.differ(b, done, i); err != nil {
			return err
		}
		c.codec.refs.settle(g, field)
	}
	return c.differ(b, done, len(b))
}

// differ changes the bytes of b before i that differ.
func (c *copier) differ(b []byte, done, i int) error {
	for c.at < done+i {
		b[c.at-done] += c.value
		if err := c.find(c.at + 1); err != nil {
			return err
		}
	}
	return nil
}

// end checks that the section says no more than was made of it.
func (s *sectionDecoder) end() error {
	if s.left > 0 {
		return badf("%d bytes of a section are left", s.left)
	}
	return s.made.end()
}

// close waits until nothing is decoded any more.
func (s *sectionDecoder) close() { s.made.drain() }
