package dht

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// contact is a node, as far as we know: its ID may be a claim, and is zero while there is none.
type contact struct {
	id   ID
	addr netip.AddrPort
}

// The queries of BEP 5 and BEP 44.
const (
	qPing     = "ping"
	qFind     = "find_node"
	qGetPeers = "get_peers"
	qAnnounce = "announce_peer"
	qGet      = "get"
	qPut      = "put"
)

// message is one KRPC message. A parsed one aliases the datagram. Of the fields that are optional on the wire, slices are nil when they are
// absent, and pointers too.
type message struct {
	kind     byte   // 'q', 'r' or 'e'
	tid      []byte // echoed by answers
	method   string // of a query
	readOnly bool   // BEP 43
	client   []byte
	ip       netip.AddrPort // how the sender sees us (BEP 42)

	// What follows stands in the dictionary of a query's arguments or of an answer.
	id            *ID
	infoHash      *ID
	target        *ID
	token         []byte
	port          int
	impliedPort   bool
	want4, want6  bool
	values        []netip.AddrPort // peers
	nodes, nodes6 []contact
	seq, cas      *int64
	key, salt     []byte
	sig           []byte
	v             []byte // as it is spelt

	errCode int
	errText []byte
}

const (
	// maxPacket bounds datagrams that are read; longer ones come from nobody who means well.
	maxPacket = 2048
	// maxTID bounds transaction IDs, which we must echo.
	maxTID = 32
	// maxNodes and maxValues bound what an answer may name; a datagram holds little more.
	maxNodes  = 64
	maxValues = 256
)

var errNotKRPC = errors.New("not a message of the DHT")

// parse reads a datagram.
func parse(b []byte) (*message, error) {
	if len(b) > maxPacket {
		return nil, errNotKRPC
	}
	m := new(message)
	s := scanner{b: b}
	err := s.dict(func(key string) (err error) {
		switch key {
		case "a", "r":
			return m.body(&s)
		case "e":
			return m.parseError(&s)
		case "t":
			m.tid, err = s.str()
			if len(m.tid) > maxTID {
				return errNotKRPC
			}
		case "y":
			var y []byte
			if y, err = s.str(); len(y) == 1 {
				m.kind = y[0]
			}
		case "q":
			var q []byte
			if q, err = s.str(); len(q) > 32 {
				return errNotKRPC
			}
			m.method = string(q)
		case "v":
			if s.peek() == 'i' { // seen from some
				_, err = s.skip()
				return err
			}
			m.client, err = s.str()
		case "ip":
			var ip []byte
			if ip, err = s.str(); err == nil {
				m.ip, _ = parseAddr(ip)
			}
		case "ro":
			var n int64
			n, err = s.integer()
			m.readOnly = n == 1
		default:
			_, err = s.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if m.tid == nil || m.kind != 'q' && m.kind != 'r' && m.kind != 'e' || m.kind == 'q' && m.method == "" {
		return nil, errNotKRPC
	}
	return m, nil
}

// body reads the arguments of a query, or an answer. What must have a length and has another is refused with the whole message.
func (m *message) body(s *scanner) error {
	fixed := func(n int) ([]byte, error) {
		b, err := s.str()
		if err == nil && len(b) != n {
			err = fmt.Errorf("%d bytes, want %d", len(b), n)
		}
		return b, err
	}
	number := func() (*int64, error) {
		n, err := s.integer()
		return &n, err
	}
	name := func() (*ID, error) {
		b, err := fixed(20)
		if err != nil {
			return nil, err
		}
		return (*ID)(b), nil
	}
	return s.dict(func(key string) (err error) {
		switch key {
		case "id":
			m.id, err = name()
		case "info_hash":
			m.infoHash, err = name()
		case "target":
			m.target, err = name()
		case "token":
			if m.token, err = s.str(); len(m.token) > 128 {
				return errNotKRPC
			}
		case "port":
			var n int64
			n, err = s.integer()
			m.port = int(max(0, min(n, 1<<16)))
		case "implied_port":
			var n int64
			n, err = s.integer()
			m.impliedPort = n == 1
		case "want":
			return s.each('l', func() error {
				w, err := s.str()
				m.want4, m.want6 = m.want4 || string(w) == "n4", m.want6 || string(w) == "n6"
				return err
			})
		case "values":
			if s.peek() != 'l' { // libtorrent's answers about "want" once had a string here
				_, err = s.skip()
				return err
			}
			return s.each('l', func() error {
				b, err := s.str()
				if a, ok := parseAddr(b); ok && len(m.values) < maxValues {
					m.values = append(m.values, a)
				}
				return err
			})
		case "nodes":
			m.nodes, err = s.contacts(26)
		case "nodes6":
			m.nodes6, err = s.contacts(38)
		case "seq":
			m.seq, err = number()
		case "cas":
			m.cas, err = number()
		case "k":
			m.key, err = fixed(32)
		case "sig":
			m.sig, err = fixed(64)
		case "salt":
			m.salt, err = s.str()
		case "v":
			m.v, err = s.skip()
		default:
			_, err = s.skip()
		}
		return err
	})
}

// parseError reads a code and a text; some send only the text, or nothing of the kind.
func (m *message) parseError(s *scanner) error {
	if s.peek() != 'l' {
		_, err := s.skip()
		return err
	}
	return s.each('l', func() (err error) {
		switch c := s.peek(); {
		case c == 'i':
			var n int64
			n, err = s.integer()
			m.errCode = int(max(0, min(n, 999)))
		case c >= '0' && c <= '9':
			m.errText, err = s.str()
		default:
			_, err = s.skip()
		}
		return err
	})
}

func (s *scanner) contacts(each int) (list []contact, err error) {
	b, err := s.str()
	if err != nil {
		return nil, err
	}
	if len(b)%each != 0 {
		return nil, fmt.Errorf("%d bytes of nodes", len(b))
	}
	for ; len(b) > 0 && len(list) < maxNodes; b = b[each:] {
		if a, ok := parseAddr(b[20:each]); ok {
			list = append(list, contact{ID(b[:20]), a})
		}
	}
	return list, nil
}

// parseAddr reads a compact address, 6 or 18 bytes, and says whether anybody can be reached there.
func parseAddr(b []byte) (netip.AddrPort, bool) {
	if len(b) != 6 && len(b) != 18 {
		return netip.AddrPort{}, false
	}
	ip, _ := netip.AddrFromSlice(b[:len(b)-2])
	a := netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(b[len(b)-2:]))
	return a, reachable(a)
}

// reachable leaves out what no node or peer has for an address.
func reachable(a netip.AddrPort) bool {
	ip := a.Addr()
	return ip.IsValid() && a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() && ip.Zone() == "" &&
		!(ip.Is4() && (ip.As4()[0] == 0 || ip.As4()[0] >= 240))
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint16(append(b, a.Addr().AsSlice()...), a.Port())
}

// append adds the encoded message to b. Keys are sorted, as BEP 3 demands.
func (m *message) append(b []byte) []byte {
	b = append(b, 'd')
	if m.kind == 'q' {
		b = m.appendBody(append(b, "1:a"...))
	}
	if m.kind == 'e' {
		b = appendInt(append(b, "1:el"...), int64(m.errCode))
		b = append(appendStr(b, m.errText), 'e')
	}
	if m.ip.IsValid() {
		b = append(b, "2:ip"...)
		b = appendStr(b, appendAddr(nil, m.ip))
	}
	if m.kind == 'q' {
		b = appendStr(append(b, "1:q"...), m.method)
	}
	if m.kind == 'r' {
		b = m.appendBody(append(b, "1:r"...))
	}
	if m.readOnly {
		b = append(b, "2:roi1e"...)
	}
	b = appendStr(append(b, "1:t"...), m.tid)
	if m.client != nil {
		b = appendStr(append(b, "1:v"...), m.client)
	}
	return append(b, '1', ':', 'y', '1', ':', m.kind, 'e')
}

func (m *message) appendBody(b []byte) []byte {
	b = append(b, 'd')
	number := func(key string, n *int64) {
		if n != nil {
			b = appendInt(appendStr(b, key), *n)
		}
	}
	text := func(key string, s []byte) {
		if s != nil {
			b = appendStr(appendStr(b, key), s)
		}
	}
	name := func(key string, id *ID) {
		if id != nil {
			text(key, id[:])
		}
	}
	contacts := func(key string, list []contact) {
		if list == nil {
			return
		}
		packed := make([]byte, 0, 38*len(list))
		for _, c := range list {
			packed = appendAddr(append(packed, c.id[:]...), c.addr)
		}
		text(key, packed)
	}
	number("cas", m.cas)
	name("id", m.id)
	if m.impliedPort {
		b = append(b, "12:implied_porti1e"...)
	}
	name("info_hash", m.infoHash)
	text("k", m.key)
	contacts("nodes", m.nodes)
	contacts("nodes6", m.nodes6)
	if m.port != 0 {
		b = appendInt(append(b, "4:port"...), int64(m.port))
	}
	text("salt", m.salt)
	number("seq", m.seq)
	text("sig", m.sig)
	name("target", m.target)
	text("token", m.token)
	if m.v != nil {
		b = append(append(b, "1:v"...), m.v...)
	}
	if m.values != nil {
		b = append(b, "6:valuesl"...)
		for _, a := range m.values {
			b = appendStr(b, appendAddr(nil, a))
		}
		b = append(b, 'e')
	}
	if m.want4 || m.want6 {
		b = append(b, "4:wantl"...)
		if m.want4 {
			b = append(b, "2:n4"...)
		}
		if m.want6 {
			b = append(b, "2:n6"...)
		}
		b = append(b, 'e')
	}
	return append(b, 'e')
}
