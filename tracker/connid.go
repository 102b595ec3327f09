package tracker

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"time"
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

// keys are what is made of the secret.
type keys struct {
	secret [32]byte
	id     [8]byte // "tracker id" (BEP 3)
}

func newKeys(secret [32]byte) *keys {
	k := &keys{secret: secret}
	sum := sha256.Sum256(append(secret[:], "tracker id"...))
	hex.Encode(k.id[:], sum[:4])
	return k
}

// tickAt is the number of a moment's tick, the same on all trackers that share a secret.
func tickAt(now time.Time) uint32 { return uint32(now.Unix() / connIDTick) }

// connIDAt makes the connection id for an address.
func (s *Server) connIDAt(from netip.Addr, tick uint32) [8]byte {
	var block [52]byte
	copy(block[:32], s.keys.Load().secret[:])
	addr := from.As16()
	copy(block[32:48], addr[:])
	binary.BigEndian.PutUint32(block[48:], tick)
	sum := sha256.Sum256(block[:])
	id := [8]byte{0, byte(tick)}
	copy(id[2:], sum[:6])
	return id
}

// connIDGood says whether the tracker made id for this address within the last two minutes.
func (s *Server) connIDGood(id []byte, from netip.Addr, tick uint32) bool {
	age := uint32(byte(tick) - id[1])
	if id[0] != 0 || age > connIDTicks {
		return false
	}
	want := s.connIDAt(from, tick-age)
	return subtle.ConstantTimeCompare(id[:8], want[:]) == 1
}
