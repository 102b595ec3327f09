package delta

import (
	"encoding/binary"
	"io"
)

// limits are when a section ends, by what it has so far. Decoders hold its codes in memory.
type limits struct {
	output int64 // bytes that it makes
	ops    int   // steps of its code
	fresh  int   // new bytes, before they are coded: also in what portions they are stored as they are if they do not become shorter
}

var sectionLimits = limits{output: 256 << 20, ops: 1 << 20, fresh: 256 << 10}

const (
	maxCopied = 1 << 20   // of one op
	maxNew    = 256 << 10 // of one op
	firstRead = 1 << 20   // of the codes, before any of them has come
	maxCode   = 20 << 20  // what a decoder accepts of either code: a section may exceed its limits by an op
)

// sectionEncoder collects ops until flush writes them as a section.
type sectionEncoder struct {
	w      io.Writer
	limits limits
	codec  *codec
	refs   references
	ops    *ansEncoder
	fresh  freshEncoder
	output int64
	old    []byte // scratch
}

func newSectionEncoder(w io.Writer, l limits) *sectionEncoder {
	return &sectionEncoder{w: w, limits: l, codec: new(codec), ops: new(ansEncoder)}
}

// add takes an op of a file of which left bytes are to be made. old are the bytes that it copies, from p, and new those that it makes.
func (s *sectionEncoder) add(o op, left int64, t track, p place, old, new []byte) {
	s.codec.encodeOp(s.ops, o, left, t)
	s.old = append(s.old[:0], old...)
	s.refs.correctCopy(p, s.old, new[:o.copied])
	s.codec.encodeCopy(s.ops, s.old, new[:o.copied])
	s.fresh.add(new[o.copied:])
	s.output += int64(len(new))
}

// full says that the section should end.
func (s *sectionEncoder) full() bool {
	return s.output >= s.limits.output || len(s.ops.steps) >= s.limits.ops || s.fresh.pending() >= s.limits.fresh
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

// fill reads n bytes into b, which is used again. Its memory grows with what comes, not with what is said.
func (r *byteReader) fill(b *[]byte, n int) error {
	s := (*b)[:0]
	for n > 0 {
		if len(s) == cap(s) {
			more := min(n, max(len(s), firstRead))
			s = append(make([]byte, 0, len(s)+more), s...)
		}
		at := len(s)
		m := min(n, cap(s)-at)
		s = s[:at+m]
		if _, err := io.ReadFull(r, s[at:]); err != nil {
			return readErr(err)
		}
		n -= m
	}
	*b = s
	return nil
}

// end checks that there is nothing more.
func (r *byteReader) end() error {
	if _, err := r.ReadByte(); err == nil {
		return badf("bytes behind its end")
	} else if err != io.EOF {
		return readErr(err)
	}
	return nil
}
