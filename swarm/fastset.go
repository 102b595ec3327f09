package swarm

import (
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"slices"

	"shoal/swarm/wire"
)

// A peer that has nothing has nothing to give, and waits for its turn: it is allowed to ask for a
// few pieces while it is choked (BEP 6, "allowed fast").

const (
	// fastPieces is how many pieces a peer may ask for while choked, and how many it may have
	// itself for that.
	fastPieces = 10
	// maxAllowed bounds the pieces that we remember to be allowed to ask for.
	maxAllowed = 64
)

// fastSet is the set of pieces that BEP 6 computes for a peer, so that it gets no others by coming
// back: of its address only the network counts. IPv6 has none.
func fastSet(ip netip.Addr, infoHash [20]byte, pieces, k int) (set []int) {
	ip = ip.Unmap()
	if !ip.Is4() || pieces <= 0 {
		return nil
	}
	net := ip.As4()
	net[3] = 0
	x := append(net[:], infoHash[:]...)
	for range 64 * k { // with k = pieces the last ones take long to be hit
		if len(set) >= min(k, pieces) {
			return set
		}
		h := sha1.Sum(x)
		x = h[:]
		for i := 0; i < 20 && len(set) < min(k, pieces); i += 4 {
			if p := int(binary.BigEndian.Uint32(x[i:]) % uint32(pieces)); !slices.Contains(set, p) {
				set = append(set, p)
			}
		}
	}
	return set
}

// grantFast allows a peer that is choked its pieces, those that it was told we have.
func (s *session) grantFast(c *conn) {
	if !c.fast || !c.foreign() || !c.choking || s.reveal != nil && s.reveal.exclusive {
		return
	}
	hash := s.t.hashes()[0]
	if id := s.t.id.Load(); c.v2 && id.hasV2 {
		copy(hash[:], id.v2[:])
	}
	for _, p := range fastSet(c.addr.Addr(), hash, s.have.n, fastPieces) {
		if c.revealed.has(p) && !c.have.has(p) {
			if c.granted == nil {
				c.granted = make(map[int]int64)
			}
			c.granted[p] = 2 * s.torrent.PieceLen(p) // and not again and again
			c.out.put(func(b []byte) []byte { return wire.AppendIndex(b, wire.AllowedFast, uint32(p)) })
		}
	}
}

// mayAskChoked says whether a peer may have this block though it is choked, and counts it.
func (c *conn) mayAskChoked(p int, length int64) bool {
	left, ok := c.granted[p]
	if !ok || left < length || c.have.set >= fastPieces {
		return false
	}
	c.granted[p] = left - length
	return true
}

// allowed takes note that we may ask for a piece while choked.
func (s *session) allowed(c *conn, p uint32) {
	if !c.fast || len(c.allowed) >= maxAllowed {
		return
	}
	if c.allowed == nil {
		c.allowed = make(map[int]bool)
	}
	c.allowed[int(p)] = true
	c.dry = false
	s.fill(c)
}
