package portmap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// The protocols that a port is mapped for, by their IANA numbers.
const (
	tcp = 6
	udp = 17
)

// request asks for a mapping, or with a zero lifetime for its end.
type request struct {
	Protocol  byte
	Internal  uint16
	External  uint16 // what we would like
	Suggested netip.Addr
	Client    netip.Addr // our address, as the router sees it
	Nonce     [12]byte
	Lifetime  time.Duration
}

// answer is what a router has granted.
type answer struct {
	External netip.AddrPort // NAT-PMP tells the address apart
	Lifetime time.Duration
}

var (
	errOlder   = errors.New("the router speaks NAT-PMP only")
	errForeign = errors.New("an answer to something else")
)

const (
	pcpVersion  = 2
	pcpMap      = 1
	pcpResponse = 0x80
	pcpLen      = 24 + 36
)

// appendPCP adds a MAP request (RFC 6887, 7.1 and 11.1).
func appendPCP(b []byte, r request) []byte {
	b = append(b, pcpVersion, pcpMap, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Lifetime/time.Second))
	b = appendAddr16(b, r.Client)
	b = append(b, r.Nonce[:]...)
	b = append(b, r.Protocol, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, r.Internal)
	b = binary.BigEndian.AppendUint16(b, r.External)
	return appendAddr16(b, r.Suggested)
}

// appendAddr16 adds an address as PCP has it: IPv4 mapped to IPv6, all zero if it is not known.
func appendAddr16(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		a = netip.AddrFrom4([4]byte{})
	}
	x := a.As16()
	return append(b, x[:]...)
}

// parsePCP decodes the answer to r.
func parsePCP(b []byte, r request) (a answer, err error) {
	switch {
	case len(b) >= 2 && b[0] == 0:
		return a, errOlder // RFC 6887, appendix A
	case len(b) < 24 || b[0] != pcpVersion || b[1] != pcpMap|pcpResponse:
		return a, errForeign
	case b[3] != 0:
		return a, fmt.Errorf("the router says no: PCP result %d", b[3])
	case len(b) < pcpLen:
		return a, errForeign
	}
	m := b[24:]
	if [12]byte(m[:12]) != r.Nonce || m[12] != r.Protocol || binary.BigEndian.Uint16(m[16:]) != r.Internal {
		return a, errForeign
	}
	a.External = netip.AddrPortFrom(netip.AddrFrom16([16]byte(m[20:36])).Unmap(), binary.BigEndian.Uint16(m[18:]))
	a.Lifetime = lifetime(binary.BigEndian.Uint32(b[4:]))
	return a, nil
}

// appendNATPMP adds a request for a mapping (RFC 6886, 3.3).
func appendNATPMP(b []byte, r request) []byte {
	b = append(b, 0, natOp(r), 0, 0)
	b = binary.BigEndian.AppendUint16(b, r.Internal)
	b = binary.BigEndian.AppendUint16(b, r.External)
	return binary.BigEndian.AppendUint32(b, uint32(r.Lifetime/time.Second))
}

func natOp(r request) byte {
	if r.Protocol == udp {
		return 1
	}
	return 2
}

// parseNATPMP decodes the answer to r; it has no address.
func parseNATPMP(b []byte, r request) (a answer, err error) {
	switch {
	case len(b) < 4 || b[0] != 0 || b[1] != natOp(r)|0x80:
		return a, errForeign
	case binary.BigEndian.Uint16(b[2:]) != 0:
		return a, fmt.Errorf("the router says no: NAT-PMP result %d", binary.BigEndian.Uint16(b[2:]))
	case len(b) < 16 || binary.BigEndian.Uint16(b[8:]) != r.Internal:
		return a, errForeign
	}
	a.External = netip.AddrPortFrom(netip.Addr{}, binary.BigEndian.Uint16(b[10:]))
	a.Lifetime = lifetime(binary.BigEndian.Uint32(b[12:]))
	return a, nil
}

// natAddress asks for the router's address outside (RFC 6886, 3.2).
var natAddress = [2]byte{0, 0}

// parseNATAddress decodes the answer to natAddress.
func parseNATAddress(b []byte) (netip.Addr, error) {
	if len(b) < 12 || b[0] != 0 || b[1] != 0x80 || binary.BigEndian.Uint16(b[2:]) != 0 {
		return netip.Addr{}, errForeign
	}
	return netip.AddrFrom4([4]byte(b[8:12])), nil
}

// lifetime keeps a router from having us come back at once, or never.
func lifetime(seconds uint32) time.Duration {
	return min(max(time.Duration(seconds)*time.Second, 2*time.Minute), 24*time.Hour)
}
