package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/anacrolix/torrent/bencode"
)

// Flags of a peer that others are told of (BEP 11).
const (
	PexEncrypts  byte = 0x01 // prefers encryption
	PexSeed      byte = 0x02 // wants nothing
	PexReachable byte = 0x10 // was dialled by who tells of it
)

// PexPeer is a peer that another tells of.
type PexPeer struct {
	Addr  netip.AddrPort
	Flags byte
}

// Pex is a ut_pex message (BEP 11): who has joined and who has left the sender since its last.
type Pex struct {
	Added   []PexPeer
	Dropped []netip.AddrPort
}

// MaxPex is how many peers a message tells of, each way (BEP 11). Of a longer one the rest is not read.
const MaxPex = 50

// pexDict is the message as it is encoded.
type pexDict struct {
	Added    []byte `bencode:"added"`
	AddedF   []byte `bencode:"added.f"`
	Added6   []byte `bencode:"added6,omitempty"`
	Added6F  []byte `bencode:"added6.f,omitempty"`
	Dropped  []byte `bencode:"dropped"`
	Dropped6 []byte `bencode:"dropped6,omitempty"`
}

// Append adds the message under the other side's id for ut_pex.
func (p Pex) Append(b []byte, id byte) []byte {
	d := pexDict{Added: []byte{}, AddedF: []byte{}, Dropped: []byte{}}
	for _, a := range p.Added {
		if a.Addr.Addr().Unmap().Is4() {
			d.Added, d.AddedF = appendAddr(d.Added, a.Addr), append(d.AddedF, a.Flags)
		} else {
			d.Added6, d.Added6F = appendAddr(d.Added6, a.Addr), append(d.Added6F, a.Flags)
		}
	}
	for _, a := range p.Dropped {
		if a.Addr().Unmap().Is4() {
			d.Dropped = appendAddr(d.Dropped, a)
		} else {
			d.Dropped6 = appendAddr(d.Dropped6, a)
		}
	}
	payload, err := bencode.Marshal(d)
	if err != nil {
		panic(err) // strings always encode
	}
	return AppendExtended(b, id, payload)
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	b = append(b, a.Addr().Unmap().WithZone("").AsSlice()...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

// ParsePex decodes the payload of a ut_pex message. Addresses that cannot be dialled are left out.
func ParsePex(p []byte) (x Pex, err error) {
	// Key by key: one key of an odd type must not hide the others.
	var d map[string]bencode.Bytes
	if err := bencode.Unmarshal(p, &d); err != nil {
		if _, trailing := err.(bencode.ErrUnusedTrailingBytes); !trailing {
			return x, fmt.Errorf("peer exchange: %w", err)
		}
	}
	text := func(key string) (s string) {
		if bencode.Unmarshal(d[key], &s) != nil {
			return ""
		}
		return s
	}
	for _, family := range []struct {
		suffix string
		size   int
	}{{"", 4}, {"6", 16}} {
		flags := text("added" + family.suffix + ".f")
		eachAddr(text("added"+family.suffix), family.size, MaxPex-len(x.Added), func(i int, a netip.AddrPort) {
			q := PexPeer{Addr: a}
			if i < len(flags) {
				q.Flags = flags[i]
			}
			x.Added = append(x.Added, q)
		})
		eachAddr(text("dropped"+family.suffix), family.size, MaxPex-len(x.Dropped), func(_ int, a netip.AddrPort) { x.Dropped = append(x.Dropped, a) })
	}
	return x, nil
}

// eachAddr calls f for at most most addresses of size bytes with their ports, and which of all they are.
func eachAddr(s string, size, most int, f func(i int, a netip.AddrPort)) {
	for i := 0; len(s) >= size+2 && i < most; i++ {
		ip, _ := netip.AddrFromSlice([]byte(s[:size]))
		port := uint16(s[size])<<8 | uint16(s[size+1])
		s = s[size+2:]
		if port != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.Is4In6() {
			f(i, netip.AddrPortFrom(ip, port))
		}
	}
}
