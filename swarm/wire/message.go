package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Type is a message's type byte.
type Type byte

// The message types of BEP 3, 5, 6, 10 and 52.
const (
	Choke         Type = 0
	Unchoke       Type = 1
	Interested    Type = 2
	NotInterested Type = 3
	Have          Type = 4
	Bitfield      Type = 5
	Request       Type = 6
	Piece         Type = 7
	Cancel        Type = 8
	Port          Type = 9
	Suggest       Type = 13
	HaveAll       Type = 14
	HaveNone      Type = 15
	Reject        Type = 16
	AllowedFast   Type = 17
	Extended      Type = 20
	HashRequest   Type = 21
	Hashes        Type = 22
	HashReject    Type = 23
	// KeepAlive is the message without a type; Unknown one with a type that is not above.
	KeepAlive Type = 254
	Unknown   Type = 255
)

// Limits on what is read from a stranger, in bytes of payload.
const (
	// MaxBlock is the longest block that is asked for or accepted. libtorrent and Shoal serve
	// up to 128 KiB; others 16 KiB.
	MaxBlock = 128 << 10
	// MaxBitfield holds 4 Mi pieces.
	MaxBitfield = 512 << 10
	// MaxExtended holds a metadata piece (16 KiB) or a generous extended handshake.
	MaxExtended = 32 << 10
	// MaxHashes is the most hashes that one message may carry: 1024 and their proof.
	MaxHashes  = 1024 + 64
	maxUnknown = 128 << 10
)

// Message is one decoded message; which fields mean something depends on Type.
type Message struct {
	Type                 Type
	Index, Begin, Length uint32 // Port's number is the Index; of what was skipped, Length is how many bytes that were
	// Payload is a block, a bitfield, an extended payload (of our own ids), or concatenated
	// 32-byte hashes.
	// A block's is pooled: see [Message.Release].
	Payload []byte
	ExtID   byte
	Hash    HashSpec
	pooled  *buffer
}

// HashSpec names hashes of a file's merkle tree (BEP 52, "hash request").
type HashSpec struct {
	Root                             [32]byte
	Base, Index, Length, ProofLayers uint32
}

// Release gives a block's buffer back. The payload must not be used after it.
func (m *Message) Release() {
	if m.pooled != nil {
		m.pooled.release()
	}
	m.pooled, m.Payload = nil, nil
}

var errTooLong = errors.New("message too long")

// Reader decodes messages from a connection. Not safe for concurrent use.
type Reader struct {
	// Want, if set, says whether a block is to be read into memory. One that nobody asked for
	// is skipped: its message comes with Length and without Payload.
	Want func(index, begin, length uint32) bool
	// Bits, if set, is the longest bitfield to take, in bytes.
	Bits int64
	// Await, if set, is told how many bytes of a block are still to come before each wait for them, and 0 once all
	// are here: who waits for them need not be woken for each packet.
	Await func(n int)

	br   *bufio.Reader
	head [48]byte
}

// NewReader reads from r, which it buffers lightly: blocks go straight to their own buffer.
func NewReader(r io.Reader) *Reader { return &Reader{br: bufio.NewReaderSize(r, 4<<10)} }

// Buffered is how many bytes were read from the connection and not decoded.
func (r *Reader) Buffered() int { return r.br.Buffered() }

// Next reads one message into m, whose former content is dropped (but not released).
// A message of an unknown type is skipped and reported as [Unknown].
func (r *Reader) Next(m *Message) error {
	*m = Message{}
	if _, err := io.ReadFull(r.br, r.head[:4]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(r.head[:4]))
	if n == 0 {
		m.Type = KeepAlive
		return nil
	}
	t, err := r.br.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	m.Type = Type(t)
	if err := r.body(m, n-1); err != nil {
		return fmt.Errorf("message of type %d: %w", t, unexpected(err))
	}
	return nil
}

// block reads a block.
func (r *Reader) block(b []byte) error {
	if r.Await == nil {
		_, err := io.ReadFull(r.br, b)
		return err
	}
	for len(b) > 0 {
		n, err := r.br.Read(b)
		if b = b[n:]; err != nil && len(b) > 0 {
			return err
		}
		r.Await(len(b))
	}
	return nil
}

func (r *Reader) body(m *Message, n int64) error {
	switch m.Type {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
		return r.fixed(n, 0)
	case Have, Suggest, AllowedFast:
		if err := r.fixed(n, 4); err != nil {
			return err
		}
		m.Index = r.word(0)
	case Port:
		if err := r.fixed(n, 2); err != nil {
			return err
		}
		m.Index = uint32(binary.BigEndian.Uint16(r.head[:2]))
	case Request, Cancel, Reject:
		if err := r.fixed(n, 12); err != nil {
			return err
		}
		m.Index, m.Begin, m.Length = r.word(0), r.word(1), r.word(2)
	case Bitfield:
		most := int64(MaxBitfield)
		if r.Bits > 0 {
			most = min(most, r.Bits)
		}
		return r.payload(m, n, most)
	case Piece:
		if n < 8 || n-8 > MaxBlock {
			return errTooLong
		}
		if err := r.fixed(8, 8); err != nil {
			return err
		}
		m.Index, m.Begin, m.Length = r.word(0), r.word(1), uint32(n-8)
		if r.Want != nil && !r.Want(m.Index, m.Begin, m.Length) {
			_, err := r.br.Discard(int(m.Length))
			return err
		}
		m.pooled = newBuffer(int(n - 8))
		m.Payload = m.pooled.b[:n-8]
		if err := r.block(m.Payload); err != nil {
			m.Release()
			return err
		}
	case Extended:
		if n < 1 {
			return io.ErrUnexpectedEOF
		}
		id, err := r.br.ReadByte()
		if err != nil {
			return err
		}
		m.ExtID = id
		if id > lastID && n-1 <= MaxExtended { // an extension that we have not offered
			m.Length = uint32(n - 1)
			_, err := r.br.Discard(int(n - 1))
			return err
		}
		return r.payload(m, n-1, MaxExtended)
	case HashRequest, HashReject:
		if err := r.fixed(n, 48); err != nil {
			return err
		}
		m.Hash = r.hashSpec()
	case Hashes:
		if n < 48 || (n-48)%32 != 0 {
			return fmt.Errorf("%d bytes of hashes", n)
		}
		if n-48 > MaxHashes*32 {
			return errTooLong
		}
		if err := r.fixed(48, 48); err != nil {
			return err
		}
		m.Hash = r.hashSpec()
		return r.payload(m, n-48, MaxHashes*32)
	default:
		if n > maxUnknown {
			return errTooLong
		}
		m.Type, m.Length = Unknown, uint32(n)
		_, err := r.br.Discard(int(n))
		return err
	}
	return nil
}

// fixed reads a body that must have exactly want bytes into r.head.
func (r *Reader) fixed(n, want int64) error {
	if n != want {
		return fmt.Errorf("length %d, want %d", n, want)
	}
	_, err := io.ReadFull(r.br, r.head[:want])
	return err
}

func (r *Reader) payload(m *Message, n, most int64) error {
	if n > most {
		return errTooLong
	}
	for int64(len(m.Payload)) < n { // memory is taken as bytes come, not as they are promised
		k := min(n-int64(len(m.Payload)), max(int64(len(m.Payload)), 16<<10))
		had := len(m.Payload)
		m.Payload = slices.Grow(m.Payload, int(k))[:had+int(k)]
		if _, err := io.ReadFull(r.br, m.Payload[had:]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) word(i int) uint32 { return binary.BigEndian.Uint32(r.head[4*i:]) }

func (r *Reader) hashSpec() (h HashSpec) {
	copy(h.Root[:], r.head[:32])
	h.Base, h.Index, h.Length, h.ProofLayers = r.word(8), r.word(9), r.word(10), r.word(11)
	return h
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendKeepAlive adds the empty message.
func AppendKeepAlive(b []byte) []byte { return append(b, 0, 0, 0, 0) }

// AppendPlain adds a message without a body, such as [Choke] or [HaveAll].
func AppendPlain(b []byte, t Type) []byte { return append(b, 0, 0, 0, 1, byte(t)) }

// AppendIndex adds [Have], [Suggest] or [AllowedFast].
func AppendIndex(b []byte, t Type, index uint32) []byte {
	b = append(b, 0, 0, 0, 5, byte(t))
	return binary.BigEndian.AppendUint32(b, index)
}

// AppendPort adds [Port]: the UDP port of the sender's DHT node (BEP 5).
func AppendPort(b []byte, port uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, 0, 0, 0, 3, byte(Port)), port)
}

// AppendSpan adds [Request], [Cancel] or [Reject].
func AppendSpan(b []byte, t Type, index, begin, length uint32) []byte {
	b = append(b, 0, 0, 0, 13, byte(t))
	b = binary.BigEndian.AppendUint32(b, index)
	b = binary.BigEndian.AppendUint32(b, begin)
	return binary.BigEndian.AppendUint32(b, length)
}

// AppendPieceHeader adds the head of a [Piece] message; length bytes of the block must follow.
func AppendPieceHeader(b []byte, index, begin uint32, length int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(9+length))
	b = append(b, byte(Piece))
	b = binary.BigEndian.AppendUint32(b, index)
	return binary.BigEndian.AppendUint32(b, begin)
}

// AppendBitfield adds a [Bitfield] message.
func AppendBitfield(b, bits []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(bits)))
	b = append(b, byte(Bitfield))
	return append(b, bits...)
}

// AppendExtended adds an [Extended] message (BEP 10).
func AppendExtended(b []byte, id byte, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(2+len(payload)))
	b = append(b, byte(Extended), id)
	return append(b, payload...)
}

// AppendHash adds [HashRequest], [HashReject] or, with concatenated hashes, [Hashes].
func AppendHash(b []byte, t Type, h HashSpec, hashes []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(49+len(hashes)))
	b = append(b, byte(t))
	b = append(b, h.Root[:]...)
	b = binary.BigEndian.AppendUint32(b, h.Base)
	b = binary.BigEndian.AppendUint32(b, h.Index)
	b = binary.BigEndian.AppendUint32(b, h.Length)
	b = binary.BigEndian.AppendUint32(b, h.ProofLayers)
	return append(b, hashes...)
}
