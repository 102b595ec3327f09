package dht

import (
	"crypto/rand"
	"encoding/hex"
	"hash/crc32"
	"math/bits"
	"net/netip"
)

// ID names a node or what is looked for, in the same space: the distance of two is their XOR.
type ID [20]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// closer says whether a is closer to target than b.
func closer(target, a, b ID) bool {
	for i := range target {
		if x, y := a[i]^target[i], b[i]^target[i]; x != y {
			return x < y
		}
	}
	return false
}

// sharedBits is how many leading bits a and b have in common.
func sharedBits(a, b ID) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 160
}

func randomID() (id ID) {
	rand.Read(id[:])
	return id
}

// randomNear is an ID that shares exactly n leading bits with id, n < 160.
func randomNear(id ID, n int) ID {
	r := randomID()
	for i := range n / 8 {
		r[i] = id[i]
	}
	at, bit := n/8, byte(0x80)>>(n%8)
	before := ^(bit<<1 - 1)
	r[at] = id[at]&before | ^id[at]&bit | r[at]&(bit-1)
	return r
}

// BEP 42 ties a node's ID to its address, so that nobody can choose where in the space to sit.

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// prefix42 is what the first 21 bits of an ID must be; r is the ID's last byte.
func prefix42(ip netip.Addr, r byte) uint32 {
	if ip.Is4() {
		b := ip.As4()
		for i, m := range [4]byte{0x03, 0x0f, 0x3f, 0xff} {
			b[i] &= m
		}
		b[0] |= r & 7 << 5
		return crc32.Checksum(b[:], crcTable)
	}
	b := ip.As16()
	for i, m := range [8]byte{0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff} {
		b[i] &= m
	}
	b[0] |= r & 7 << 5
	return crc32.Checksum(b[:8], crcTable)
}

// secureID makes a random ID for a node at ip.
func secureID(ip netip.Addr) ID {
	id := randomID()
	p := prefix42(ip, id[19])
	id[0], id[1], id[2] = byte(p>>24), byte(p>>16), byte(p>>8)&0xf8|id[2]&7
	return id
}

// isSecure says whether a node at ip may have this ID. Those at addresses that are not routed on the Internet may have any.
func isSecure(id ID, ip netip.Addr) bool {
	if !Routable(ip) {
		return true
	}
	p := prefix42(ip, id[19])
	return id[0] == byte(p>>24) && id[1] == byte(p>>16) && id[2]&0xf8 == byte(p>>8)&0xf8
}

// special lists what looks like an ordinary address and is not routed on the Internet (RFC 6890 and its registry).
var special = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
}

var unicast6 = netip.MustParsePrefix("2000::/3")

// Routable says whether an address is one of the public Internet.
func Routable(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Is6() && !unicast6.Contains(ip) {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
