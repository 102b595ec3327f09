package wire

import (
	"errors"
	"fmt"
	"io"
)

// Protocol opens every BitTorrent connection (BEP 3).
const Protocol = "\x13BitTorrent protocol"

// HandshakeLen is the length of a handshake in bytes.
const HandshakeLen = len(Protocol) + 8 + 20 + 20

// ErrNotBitTorrent says that a connection did not open with [Protocol].
var ErrNotBitTorrent = errors.New("not a BitTorrent handshake")

// Handshake is what both sides send first (BEP 3).
type Handshake struct {
	// Fast is BEP 6, Extended BEP 10, V2 the upgrade bit of BEP 52; DHT says that the sender is a node of it (BEP 5).
	Fast, Extended, V2, DHT bool
	// InfoHash is the SHA-1 info hash, or the first 20 bytes of the SHA-256 one.
	InfoHash [20]byte
	PeerID   [20]byte
}

// Append adds the encoded handshake to b.
func (h Handshake) Append(b []byte) []byte {
	b = append(b, Protocol...)
	var reserved [8]byte
	if h.Extended {
		reserved[5] |= 0x10
	}
	if h.Fast {
		reserved[7] |= 0x04
	}
	if h.V2 {
		reserved[7] |= 0x10
	}
	if h.DHT {
		reserved[7] |= 0x01
	}
	b = append(b, reserved[:]...)
	b = append(b, h.InfoHash[:]...)
	return append(b, h.PeerID[:]...)
}

// ReadHandshake reads exactly one handshake.
func ReadHandshake(r io.Reader) (Handshake, error) {
	var b [HandshakeLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Handshake{}, fmt.Errorf("reading handshake: %w", err)
	}
	return ParseHandshake(b)
}

// ParseHandshake decodes a handshake.
func ParseHandshake(b [HandshakeLen]byte) (h Handshake, err error) {
	if string(b[:len(Protocol)]) != Protocol {
		return h, ErrNotBitTorrent
	}
	reserved := b[len(Protocol) : len(Protocol)+8]
	h.Extended = reserved[5]&0x10 != 0
	h.Fast = reserved[7]&0x04 != 0
	h.V2 = reserved[7]&0x10 != 0
	h.DHT = reserved[7]&0x01 != 0
	copy(h.InfoHash[:], b[len(Protocol)+8:])
	copy(h.PeerID[:], b[len(Protocol)+28:])
	return h, nil
}
