package delta

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

const (
	sectionOutput = 256 << 20 // a section ends when it makes more than this
	sectionFresh  = 64 << 20  // or when its new bytes are more
	sectionCoded  = 4 << 20   // or when its ops take more
	maxCoded      = 24 << 20  // what a decoder accepts of ops in a section
	maxCopied     = 8 << 20   // of one op, so that no op is coded in more than fits in between
	freshWindow   = 16 << 20  // of the new bytes' zstd frame
)

// sectionEncoder collects ops until flush writes them as a section.
type sectionEncoder struct {
	w      io.Writer
	codec  *codec
	ops    *rangeEncoder
	fresh  []byte
	output int64
	zstd   *zstd.Encoder // made when it is needed: it takes tens of MB
}

func newSectionEncoder(w io.Writer) *sectionEncoder {
	return &sectionEncoder{w: w, codec: newCodec(), ops: newRangeEncoder()}
}

// add takes an op of a file of which left bytes are to be made. old are the bytes that it copies, new those that it makes.
func (s *sectionEncoder) add(o op, left int64, t track, old, new []byte) {
	s.codec.encodeOp(s.ops, o, left, t)
	s.codec.encodeCopy(s.ops, old, new[:o.copied])
	s.fresh = append(s.fresh, new[o.copied:]...)
	s.output += int64(len(new))
}

// full says that the section should end.
func (s *sectionEncoder) full() bool {
	return s.output >= sectionOutput || len(s.ops.out) >= sectionCoded || len(s.fresh) >= sectionFresh
}

// flush writes the section, if it is not empty, and begins a new one.
func (s *sectionEncoder) flush() error {
	if s.output == 0 {
		return nil
	}
	ops := s.ops.finish()
	fresh, err := s.compress()
	if err != nil {
		return err
	}
	b := binary.AppendUvarint(nil, uint64(s.output))
	b = binary.AppendUvarint(b, uint64(len(ops)))
	b = binary.AppendUvarint(b, uint64(len(fresh)))
	for _, part := range [][]byte{b, ops, fresh} {
		if _, err := s.w.Write(part); err != nil {
			return err
		}
	}
	s.codec, s.ops, s.fresh, s.output = newCodec(), newRangeEncoder(), s.fresh[:0], 0
	return nil
}

// compress returns the new bytes as one zstd frame; none if there are none.
func (s *sectionEncoder) compress() (frame []byte, err error) {
	if len(s.fresh) == 0 {
		return nil, nil
	}
	if s.zstd == nil {
		s.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(freshWindow), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, err
		}
	}
	return s.zstd.EncodeAll(s.fresh, nil), nil
}

// source is old content.
type source interface {
	read(b []byte, pos int64) error // fills b; the range is within what there is
}

type byteSource []byte

func (s byteSource) read(b []byte, pos int64) error {
	copy(b, s[pos:])
	return nil
}

// sectionDecoder makes the bytes of a section after the other.
type sectionDecoder struct {
	r      *bytesReader
	old    source
	oldEnd int64
	zstd   *zstd.Decoder

	total int64 // bytes that sections to come are to make
	left  int64 // bytes that the present section still makes
	codec *codec
	ops   *rangeDecoder
	fresh io.Reader
	coded *io.LimitedReader // what fresh is decoded from
	buf   []byte
}

type bytesReader struct {
	io.Reader
	one [1]byte
}

func (r *bytesReader) ReadByte() (byte, error) {
	_, err := io.ReadFull(r.Reader, r.one[:])
	return r.one[0], err
}

func newSectionDecoder(r *bytesReader, old source, oldEnd int64) (*sectionDecoder, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(freshWindow), zstd.WithDecoderLowmem(true))
	return &sectionDecoder{r: r, old: old, oldEnd: oldEnd, zstd: z, buf: make([]byte, 64<<10)}, err
}

func (s *sectionDecoder) close() { s.zstd.Close() }

// next reads the head and the ops of a section that makes at most left bytes.
func (s *sectionDecoder) next(left int64) error {
	var head [3]uint64
	for i := range head {
		var err error
		if head[i], err = binary.ReadUvarint(s.r); err != nil {
			return readErr(err)
		}
	}
	if head[0] == 0 || head[0] > uint64(left) || head[1] > maxCoded || head[2] > math.MaxInt64 {
		return badf("a section of %d bytes from %d and %d, where %d are left", head[0], head[1], head[2], left)
	}
	var coded bytes.Buffer
	if _, err := io.CopyN(&coded, s.r, int64(head[1])); err != nil {
		return readErr(err)
	}
	s.left = int64(head[0])
	s.codec, s.ops = newCodec(), newRangeDecoder(coded.Bytes())
	s.coded = &io.LimitedReader{R: s.r, N: int64(head[2])}
	s.fresh = nil
	return nil
}

// op makes the next bytes of a file, of which left are missing, and goes on from t.
func (s *sectionDecoder) op(w io.Writer, left int64, t *track) (n int64, err error) {
	o, err := s.codec.decodeOp(s.ops, min(left, s.left), *t, s.oldEnd)
	if err != nil {
		return 0, err
	}
	if err := s.copy(w, o); err != nil {
		return 0, err
	}
	if err := s.add(w, o.new); err != nil {
		return 0, err
	}
	t.after(o)
	n = int64(o.copied + o.new)
	s.left -= n
	return n, nil
}

// copy writes the old bytes of o, changed where they differ.
func (s *sectionDecoder) copy(w io.Writer, o op) error {
	var (
		state differences
		at    int // of the next difference
		value byte
	)
	find := func(from int) error { // the first difference not before from
		at = o.copied
		if from == o.copied {
			return nil
		}
		run, v, ok := s.codec.decodeDifference(s.ops, &state)
		if ok && run >= o.copied-from {
			return badf("a difference behind the end of its copy")
		}
		if ok {
			at, value = from+run, v
		}
		return nil
	}
	if err := find(0); err != nil {
		return err
	}
	for done := 0; done < o.copied; {
		b := s.buf[:min(o.copied-done, len(s.buf))]
		if err := s.old.read(b, o.pos+int64(done)); err != nil {
			return err
		}
		for at < done+len(b) {
			b[at-done] += value
			if err := find(at + 1); err != nil {
				return err
			}
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		done += len(b)
	}
	return nil
}

// add writes n new bytes.
func (s *sectionDecoder) add(w io.Writer, n int) error {
	if n > 0 && s.fresh == nil {
		if err := s.zstd.Reset(s.coded); err != nil {
			return badf("new bytes: %v", err)
		}
		s.fresh = s.zstd
	}
	for n > 0 {
		b := s.buf[:min(n, len(s.buf))]
		if _, err := io.ReadFull(s.fresh, b); err != nil {
			return badf("new bytes: %v", err)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		n -= len(b)
	}
	return nil
}

// end checks that the section says no more than was made of it.
func (s *sectionDecoder) end() error {
	if s.fresh != nil {
		if n, err := io.ReadFull(s.fresh, s.buf[:1]); n > 0 || err != io.EOF {
			return badf("more new bytes than are used")
		}
	}
	if s.coded != nil && s.coded.N > 0 {
		return badf("%d bytes behind the new ones", s.coded.N)
	}
	return nil
}
