package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"
)

// sample is one message of each kind as it goes over the wire, and what it must be read as.
type sample struct {
	name string
	b    []byte
	want Message
}

func samples() []sample {
	spec := HashSpec{Root: [32]byte{1, 2, 31: 9}, Base: 1, Index: 512, Length: 512, ProofLayers: 7}
	block := bytes.Repeat([]byte("shoal"), 20)
	var l []sample
	add := func(name string, b []byte, want Message) { l = append(l, sample{name, b, want}) }
	add("keep-alive", AppendKeepAlive(nil), Message{Type: KeepAlive})
	for _, t := range []Type{Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone} {
		add("plain", AppendPlain(nil, t), Message{Type: t})
	}
	for _, t := range []Type{Have, Suggest, AllowedFast} {
		add("index", AppendIndex(nil, t, 77), Message{Type: t, Index: 77})
	}
	for _, t := range []Type{Request, Cancel, Reject} {
		add("span", AppendSpan(nil, t, 7, 16384, 32768), Message{Type: t, Index: 7, Begin: 16384, Length: 32768})
	}
	add("bitfield", AppendBitfield(nil, []byte{0xf0, 0x80}), Message{Type: Bitfield, Payload: []byte{0xf0, 0x80}})
	add("piece", append(AppendPieceHeader(nil, 3, 16384, len(block)), block...),
		Message{Type: Piece, Index: 3, Begin: 16384, Length: uint32(len(block)), Payload: block})
	add("extended", AppendExtended(nil, 1, []byte("de")), Message{Type: Extended, ExtID: 1, Payload: []byte("de")})
	add("extended, of nobody's id", AppendExtended(nil, lastID+1, []byte("de")), Message{Type: Extended, ExtID: lastID + 1, Length: 2})
	for _, t := range []Type{HashRequest, HashReject} {
		add("hash", AppendHash(nil, t, spec, nil), Message{Type: t, Hash: spec})
	}
	hashes := bytes.Repeat([]byte{5}, 3*32)
	add("hashes", AppendHash(nil, Hashes, spec, hashes), Message{Type: Hashes, Hash: spec, Payload: hashes})
	add("unknown", []byte{0, 0, 0, 3, 99, 1, 2}, Message{Type: Unknown, Length: 2})
	return l
}

func same(t *testing.T, got, want Message) {
	t.Helper()
	if got.Type != want.Type || got.Index != want.Index || got.Begin != want.Begin || got.Length != want.Length ||
		got.ExtID != want.ExtID || got.Hash != want.Hash || !bytes.Equal(got.Payload, want.Payload) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestEachMessageIsReadAsItWasWritten(t *testing.T) {
	var stream []byte
	for _, s := range samples() {
		stream = append(stream, s.b...)
	}
	for _, chunk := range []int{1, 7, len(stream)} { // however the network cuts it
		r := NewReader(&chunks{stream, chunk})
		var m Message
		for _, s := range samples() {
			if err := r.Next(&m); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			same(t, m, s.want)
			m.Release()
		}
		if err := r.Next(&m); err != io.EOF {
			t.Errorf("at the end = %v, want io.EOF", err)
		}
	}
}

// chunks hands out n bytes at a time.
type chunks struct {
	b []byte
	n int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.b)
	c.b = c.b[n:]
	return n, nil
}

func TestTornMessagesAreErrors(t *testing.T) {
	for _, s := range samples() {
		for cut := 1; cut < len(s.b); cut++ {
			var m Message
			err := NewReader(bytes.NewReader(s.b[:cut])).Next(&m)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut at %d of %d = %v, want unexpected EOF", s.name, cut, len(s.b), err)
			}
			if m.Payload != nil && m.Type == Piece {
				t.Errorf("%s cut at %d keeps a pooled buffer", s.name, cut)
			}
		}
	}
}

func TestBadLengths(t *testing.T) {
	head := func(n uint32, t Type, rest ...byte) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, n), byte(t)), rest...)
	}
	for name, b := range map[string][]byte{
		"choke with a body":      head(2, Choke, 0),
		"have too short":         head(4, Have, 0, 0, 0),
		"have too long":          head(6, Have, 0, 0, 0, 0, 0),
		"request too short":      head(12, Request, make([]byte, 11)...),
		"request too long":       head(14, Request, make([]byte, 13)...),
		"port too long":          head(4, Port, 0, 0, 0),
		"piece without a head":   head(5, Piece, 0, 0, 0, 0),
		"block too long":         head(9+MaxBlock+1, Piece, make([]byte, 8)...),
		"bitfield too long":      head(1+MaxBitfield+1, Bitfield),
		"extended without an id": head(1, Extended),
		"extended too long":      head(2+MaxExtended+1, Extended, 0),
		"hash request too short": head(48, HashRequest, make([]byte, 47)...),
		"half a hash":            head(49+16, Hashes, make([]byte, 64)...),
		"too many hashes":        head(49+32*(MaxHashes+1), Hashes, make([]byte, 48)...),
		"unknown and endless":    head(1<<31, 99),
		"all ones":               {0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var m Message
		if err := NewReader(io.MultiReader(bytes.NewReader(b), zeros{})).Next(&m); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBitfieldsAreAsLongAsTheTorrent(t *testing.T) {
	for n, ok := range map[int]bool{10: true, 11: false} {
		r := NewReader(bytes.NewReader(AppendBitfield(nil, make([]byte, n))))
		r.Bits = 10
		var m Message
		if err := r.Next(&m); (err == nil) != ok {
			t.Errorf("%d bytes where 10 fit: %v", n, err)
		}
	}
}

func TestUnwantedBlocksAreSkipped(t *testing.T) {
	stream := append(AppendPieceHeader(nil, 1, 0, 100), make([]byte, 100)...)
	stream = append(AppendPieceHeader(stream, 2, 0, 3), 'a', 'b', 'c')
	r := NewReader(bytes.NewReader(stream))
	r.Want = func(index, begin, length uint32) bool { return index == 2 && begin == 0 && length == 3 }
	var m Message
	if err := r.Next(&m); err != nil || m.Payload != nil || m.Length != 100 {
		t.Errorf("unwanted block = %d bytes of %d, %v, want none", len(m.Payload), m.Length, err)
	}
	if err := r.Next(&m); err != nil || string(m.Payload) != "abc" {
		t.Errorf("wanted block = %q, %v", m.Payload, err)
	}
	m.Release()
}

// Whatever a stranger sends, the reader never takes more memory than one message's limit, and what
// it accepts is exactly what the Append functions write.
func FuzzReader(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.b)
	}
	f.Add(append(AppendPlain(AppendPlain(nil, Choke), Unchoke), 0, 1, 0, 0, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		var m Message
		used := 0
		for {
			if err := r.Next(&m); err != nil {
				return
			}
			if len(m.Payload) > max(MaxBlock, MaxBitfield, MaxExtended, 32*MaxHashes) {
				t.Fatalf("payload of %d bytes", len(m.Payload))
			}
			n := 4 + int(binary.BigEndian.Uint32(b[used:]))
			if again, ok := encode(&m); ok && !bytes.Equal(again, b[used:used+n]) {
				t.Fatalf("%x was read as %+v, which is written as %x", b[used:used+n], m, again)
			}
			used += n
			m.Release()
		}
	})
}

// encode writes m as the Append functions do; false for types that we only ever read.
func encode(m *Message) ([]byte, bool) {
	switch m.Type {
	case KeepAlive:
		return AppendKeepAlive(nil), true
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
		return AppendPlain(nil, m.Type), true
	case Have, Suggest, AllowedFast:
		return AppendIndex(nil, m.Type, m.Index), true
	case Request, Cancel, Reject:
		return AppendSpan(nil, m.Type, m.Index, m.Begin, m.Length), true
	case Bitfield:
		return AppendBitfield(nil, m.Payload), true
	case Piece:
		return append(AppendPieceHeader(nil, m.Index, m.Begin, len(m.Payload)), m.Payload...), true
	case Extended:
		if m.ExtID > IDShoal {
			return nil, false
		}
		return AppendExtended(nil, m.ExtID, m.Payload), true
	case HashRequest, HashReject, Hashes:
		return AppendHash(nil, m.Type, m.Hash, m.Payload), true
	}
	return nil, false
}

// A length alone must not make the reader allocate: only bytes that fit the type's limit may.
func TestLengthsDoNotAllocate(t *testing.T) {
	var b []byte
	for _, x := range []Type{Bitfield, Piece, Extended, Hashes, 99} {
		b = append(b[:0], 0x7f, 0xff, 0xff, 0xff, byte(x))
		b = append(b, make([]byte, 64)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var m Message
		for range 100 {
			if err := NewReader(bytes.NewReader(b)).Next(&m); err == nil {
				t.Fatalf("type %d with 2 GiB: no error", x)
			}
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / 100; got > 16<<10 {
			t.Errorf("type %d with 2 GiB takes %d bytes, want no more than a reader's own", x, got)
		}
	}
}

func BenchmarkReadBlocks(b *testing.B) {
	one := append(AppendPieceHeader(nil, 1, 0, 16<<10), make([]byte, 16<<10)...)
	r := NewReader(&loop{b: one})
	b.SetBytes(16 << 10)
	b.ReportAllocs()
	var m Message
	for b.Loop() {
		if err := r.Next(&m); err != nil {
			b.Fatal(err)
		}
		m.Release()
	}
}

// loop repeats b without end.
type loop struct {
	b  []byte
	at int
}

func (l *loop) Read(p []byte) (n int, err error) {
	n = copy(p, l.b[l.at:])
	l.at = (l.at + n) % len(l.b)
	return n, nil
}

// Who awaits a block is told of what is still to come, and that all is here; never of more than that, as it would wait
// for what is not sent.
func TestBlocksAreAwaited(t *testing.T) {
	stream := append(AppendPieceHeader(nil, 1, 0, 100_000), make([]byte, 100_000)...)
	stream = AppendIndex(stream, Have, 7)
	r := NewReader(iotest.OneByteReader(bytes.NewReader(stream)))
	var told []int
	r.Await = func(n int) { told = append(told, n) }
	var m Message
	if err := r.Next(&m); err != nil || len(m.Payload) != 100_000 {
		t.Fatalf("a block of %d bytes, %v", len(m.Payload), err)
	}
	m.Release()
	for i, n := range told {
		if n != 100_000-1-i {
			t.Fatalf("after %d bytes %d are awaited", i+1, n)
		}
	}
	if len(told) != 100_000 {
		t.Errorf("told %d times, want for each byte", len(told))
	}
	if err := r.Next(&m); err != nil || m.Type != Have || len(told) != 100_000 {
		t.Errorf("then %+v, %v, told %d times", m, err, len(told))
	}
}
