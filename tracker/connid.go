package tracker

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
)

// A connection id shows that its bearer has received a packet at its address (BEP 15). The tracker keeps none; it recognises its own:
//
//	byte 0     0x00
//	byte 1     the low byte of the tick of 30 seconds in which it was made
//	bytes 2–7  the first six bytes of SHA-256(secret, address, tick)
//
// Byte 0 is fixed so that one UDP port can tell the tracker's packets from those of the DHT, which begin with 'd'. The port is not
// hashed: some clients announce from another socket than they connected from, and whoever can receive at one port of an address
// usually can at others.
//
// The hash is a message authentication code as good as HMAC here, at a quarter of its price: its input has a fixed length, is a single
// SHA-256 block, and of the output less than half is shown, so there is nothing to extend.
const (
	connIDTick  = 30 // seconds
	connIDTicks = 4  // an id is good for this tick and as many after it: 120 to 150 seconds
)

// connID makes the connection id for an address at a second of the store's clock.
func (s *Server) connID(from netip.Addr, now uint32) [8]byte { return s.connIDAt(from, now/connIDTick) }

func (s *Server) connIDAt(from netip.Addr, tick uint32) [8]byte {
	var block [52]byte
	copy(block[:32], s.secret[:])
	addr := from.As16()
	copy(block[32:48], addr[:])
	binary.BigEndian.PutUint32(block[48:], tick)
	sum := sha256.Sum256(block[:])
	id := [8]byte{0, byte(tick)}
	copy(id[2:], sum[:6])
	return id
}

// connIDGood says whether the tracker made id for this address within the last two minutes.
func (s *Server) connIDGood(id []byte, from netip.Addr, now uint32) bool {
	tick := now / connIDTick
	age := uint32(byte(tick) - id[1])
	if id[0] != 0 || age > connIDTicks || age > tick {
		return false
	}
	want := s.connIDAt(from, tick-age)
	return subtle.ConstantTimeCompare(id[:8], want[:]) == 1
}
