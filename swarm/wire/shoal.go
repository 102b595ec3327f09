package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// A message of our own extension ([NameShoal]) is a kind and what belongs to it:
//
//	1 piece(uint32)                the sender fetches this piece from outside its site
//	2 proof(32 bytes)              the sender knows the key of its site; see [Proof]
//	3 queued(uint32) rate(uint32)  how much the sender was asked for; see [Load]
//	4 note(bytes)                  what the sender has seen, such as a checkpoint of a log; at most [MaxNote] bytes
//	5                              what the sender, an origin, shows from now on is for anybody: it leases no more
//
// Kinds that are not known, and bytes behind what is, are a later version's and left alone.
const (
	kindFetching = 1 + iota
	kindProof
	kindLoad
	kindNote
	kindOpen
)

// AppendOpen tells a peer that leasing is over; id is the peer's for [NameShoal].
func AppendOpen(b []byte, id byte) []byte { return AppendExtended(b, id, []byte{kindOpen}) }

// IsOpen says whether the payload of a message of our extension says that leasing is over.
func IsOpen(p []byte) bool { return len(p) > 0 && p[0] == kindOpen }

// AppendFetching tells a peer that we fetch a piece; id is the peer's for [NameShoal].
func AppendFetching(b []byte, id byte, piece uint32) []byte {
	return AppendExtended(b, id, binary.BigEndian.AppendUint32([]byte{kindFetching}, piece))
}

// ParseShoal decodes the payload of a message of our extension. ok says that it is of a known kind.
func ParseShoal(p []byte) (piece uint32, ok bool, err error) {
	if len(p) == 0 {
		return 0, false, errors.New("empty shoal message")
	}
	if p[0] != kindFetching {
		return 0, false, nil
	}
	if len(p) < 5 {
		return 0, false, errors.New("short shoal message")
	}
	return binary.BigEndian.Uint32(p[1:]), true, nil
}

// Proof shows that a node knows the key that the machines of a site share, to one other node, once.
type Proof [sha256.Size]byte

// NonceLen is the length in bytes of a nonce, which each node makes anew for each connection.
const NonceLen = 16

// NewProof makes the proof that the node of id prover, which gave nonce, owes to the node of id
// verifier, which gave challenge. It holds for this connection only: both ids and both nonces are
// in it, in an order that tells the two ends apart.
func NewProof(key []byte, site string, prover, verifier [20]byte, nonce, challenge [NonceLen]byte) (p Proof) {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("shoal site proof 1\x00"))
	h.Write(prover[:])
	h.Write(verifier[:])
	h.Write(nonce[:])
	h.Write(challenge[:])
	h.Write([]byte(site)) // the only part of variable length comes last
	h.Sum(p[:0])
	return p
}

// Equal compares in constant time.
func (p Proof) Equal(q Proof) bool { return hmac.Equal(p[:], q[:]) }

// AppendProof sends a proof; id is the peer's for [NameShoal].
func AppendProof(b []byte, id byte, p Proof) []byte {
	return AppendExtended(b, id, append([]byte{kindProof}, p[:]...))
}

// ParseProof decodes the payload of a message of our extension that is a proof.
func ParseProof(p []byte) (proof Proof, ok bool) {
	if len(p) < 1+len(proof) || p[0] != kindProof {
		return proof, false
	}
	copy(proof[:], p[1:])
	return proof, true
}
