package swarm

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// priority is the canonical peer priority of BEP 40: both ends of a connection compute the same
// number, so that they agree on which connections to keep, and nobody can choose his own. Higher
// is kept.
func priority(a, b netip.AddrPort) uint32 {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	if x == y {
		p := binary.BigEndian.AppendUint16(nil, min(a.Port(), b.Port()))
		return crc32.Checksum(binary.BigEndian.AppendUint16(p, max(a.Port(), b.Port())), castagnoli)
	}
	m, n := x.AsSlice(), y.AsSlice()
	if len(m) != len(n) {
		return 0 // one known by IPv4 and one by IPv6: nothing both ends would agree on
	}
	// The first bytes count in full and the rest by every second bit. The nearer the two are, the
	// more bytes count: one more within a /16 or /48, two more within a /24 or /56.
	whole := 2
	if len(m) == 16 {
		whole = 6
	}
	switch {
	case bytes.Equal(m[:whole+1], n[:whole+1]):
		whole += 2
	case bytes.Equal(m[:whole], n[:whole]):
		whole++
	}
	for i := whole; i < len(m); i++ {
		m[i] &= 0x55
		n[i] &= 0x55
	}
	if bytes.Compare(m, n) > 0 {
		m, n = n, m
	}
	return crc32.Checksum(append(m, n...), castagnoli)
}
