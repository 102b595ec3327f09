package tracker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"net"
	"net/netip"
	"time"
)

// BEP 15. Numbers are big-endian.
const (
	protocolID = 0x41727101980 // connect requests begin with it

	actionConnect  = 0
	actionAnnounce = 1
	actionScrape   = 2
	actionError    = 3

	connectLen  = 16
	announceLen = 98 // without BEP 41's options
	scrapeLen   = 36 // of one info hash

	maxScrapeUDP = 74 // BEP 15: "up to about 74 torrents"
	maxURLData   = 512

	// maxPeers4 and maxPeers6 keep an answer below 1,232 bytes, what each IPv6 path carries whole and nearly each IPv4 path.
	maxPeers4 = (1232 - 20) / 6
	maxPeers6 = (1232 - 20) / 18
)

// IsUDP says whether a datagram on a shared port is for a tracker: it begins with BEP 15's constant or a connection id of ours, both with
// a zero byte, which neither a DHT message nor a uTP packet does.
func IsUDP(pkt []byte) bool { return len(pkt) >= connectLen && pkt[0] == 0 }

// HandleUDP appends the answer to a datagram to dst; it appends nothing if there is none to give. It keeps neither slice.
func (s *Server) HandleUDP(dst, pkt []byte, from netip.AddrPort) []byte {
	if !IsUDP(pkt) || from.Port() == 0 {
		return dst
	}
	addr, now := source(from.Addr()), time.Now()
	action, transaction := binary.BigEndian.Uint32(pkt[8:]), pkt[12:16]
	if binary.BigEndian.Uint64(pkt) == protocolID {
		if action != actionConnect {
			return dst
		}
		s.connects.Add(1)
		dst = appendHeader(dst, actionConnect, transaction)
		id := s.connIDAt(addr, tickAt(now))
		return append(dst, id[:]...)
	}
	if !s.connIDGood(pkt, addr, tickAt(now)) {
		s.malformed.Add(1)
		return appendStale(dst, pkt, action)
	}
	if !s.limit.allow(addr, now) { // from here on the source is who it says it is, so nobody can use up another's share
		s.limited.Add(1)
		return appendError(dst, transaction, failLimited)
	}
	switch action {
	case actionAnnounce:
		return s.announceUDP(dst, pkt, addr, now)
	case actionScrape:
		return s.scrapeUDP(dst, pkt)
	}
	s.malformed.Add(1)
	return appendError(dst, transaction, failMalformed)
}

// WarmUDP looks at what the answers to some datagrams will need first, so that the processor waits for all of it together; the value means
// nothing. One swarm after the other the tracker waited for a twentieth of its time.
func (s *Server) WarmUDP(pkts iter.Seq[[]byte]) (x byte) {
	for pkt := range pkts {
		if len(pkt) >= announceLen && pkt[11] == actionAnnounce {
			hash := (*[20]byte)(pkt[16:])
			x += s.store.shard(hash).swarms.peek(hash)
		}
	}
	return x
}

// appendStale tells the sender of a request with a bad connection id to connect again; without it a client of a restarted tracker waits
// in vain for 15 s or more. The sender's address may be forged, so only what looks like a real announce or scrape is answered, with fewer
// bytes than the shortest of these has: it is no lever against a third party, and two trackers cannot be made to answer each other.
func appendStale(dst, pkt []byte, action uint32) []byte {
	if action == actionAnnounce && len(pkt) >= announceLen || action == actionScrape && len(pkt) >= scrapeLen {
		return appendError(dst, pkt[12:16], failConnID)
	}
	return dst
}

func (s *Server) announceUDP(dst, pkt []byte, from netip.Addr, now time.Time) []byte {
	transaction := pkt[12:16]
	sc := s.scratch.Get().(*scratch)
	defer s.scratch.Put(sc)
	r := &sc.request
	if !parseAnnounceUDP(pkt, r) {
		s.malformed.Add(1)
		return appendError(dst, transaction, failMalformed)
	}
	if s.config.Token != nil && !s.config.Token(text(r.token[:r.tokenLen])) {
		s.refused.Add(1)
		return appendError(dst, transaction, failToken)
	}
	r.from = from
	most := maxPeers4
	if from.Is6() {
		most = maxPeers6
	}
	if r.want < 0 {
		r.want = s.config.NumWant
	}
	r.want = min(r.want, most)
	a := &sc.answer
	if err := s.announce(doorUDP, r, a, now); err != nil {
		return appendError(dst, transaction, failure(err.Error()))
	}
	dst = appendHeader(dst, actionAnnounce, transaction)
	dst = binary.BigEndian.AppendUint32(dst, a.interval)
	dst = binary.BigEndian.AppendUint32(dst, uint32(a.counts.incomplete))
	dst = binary.BigEndian.AppendUint32(dst, uint32(a.counts.complete))
	if from.Is4() {
		return appendCompact4(dst, a.v4.peers)
	}
	return appendCompact6(dst, a.v6.peers)
}

// parseAnnounceUDP reads an announce, all but its source. The IP address field is ignored: a peer has the address that it sends from.
func parseAnnounceUDP(pkt []byte, r *request) bool {
	if len(pkt) < announceLen {
		return false
	}
	*r = request{
		left: binary.BigEndian.Uint64(pkt[64:]) != 0,
		idle: binary.BigEndian.Uint64(pkt[56:])|binary.BigEndian.Uint64(pkt[72:]) == 0,
		want: int(int32(binary.BigEndian.Uint32(pkt[92:]))),
		port: binary.BigEndian.Uint16(pkt[96:]),
	}
	copy(r.hash[:], pkt[16:])
	copy(r.id[:], pkt[36:])
	switch binary.BigEndian.Uint32(pkt[80:]) {
	case 1:
		r.event = eventCompleted
	case 2:
		r.event = eventStarted
	case 3:
		r.event = eventStopped
	case 4: // not in BEP 15, but what libtorrent sends for BEP 21's paused
		r.event = eventPaused
	}
	if len(pkt) > announceLen {
		var data [maxURLData]byte
		r.readURLData(urlData(data[:0], pkt[announceLen:]))
	}
	return true
}

// urlData appends what BEP 41's options say of the announce URL's path and query, as far as it fits.
func urlData(data, options []byte) []byte {
	for len(options) > 0 {
		kind := options[0]
		options = options[1:]
		switch {
		case kind == 0: // end of options
			return data
		case kind == 1: // no operation
			continue
		case len(options) == 0 || len(options) <= int(options[0]):
			return data
		}
		value := options[1 : 1+int(options[0])]
		options = options[1+len(value):]
		if kind == 2 && len(data)+len(value) <= cap(data) {
			data = append(data, value...)
		}
	}
	return data
}

// readURLData takes from a URL's path and query what a UDP packet has no field for.
func (r *request) readURLData(data []byte) {
	path, query := data, ""
	if i := bytes.IndexByte(data, '?'); i >= 0 {
		path, query = data[:i], string(data[i+1:])
	}
	if token, _, ok := splitPath(string(path)); ok {
		r.tokenLen = copy(r.token[:], token)
	}
	for query != "" {
		var key, value string
		key, value, query = nextPair(query)
		if key == "site" {
			r.site = parseSite(value)
		}
	}
}

func (s *Server) scrapeUDP(dst, pkt []byte) []byte {
	hashes := pkt[16:]
	if len(pkt) < scrapeLen {
		s.malformed.Add(1)
		return appendError(dst, pkt[12:16], failMalformed)
	}
	if s.config.Token != nil { // BEP 41 has options for announces alone
		s.refused.Add(1)
		return appendError(dst, pkt[12:16], failToken)
	}
	s.scrapes.Add(1)
	dst = appendHeader(dst, actionScrape, pkt[12:16])
	for n := 0; n < maxScrapeUDP && len(hashes) >= 20; n++ {
		c, _ := s.scrape([20]byte(hashes))
		hashes = hashes[20:]
		dst = binary.BigEndian.AppendUint32(dst, uint32(c.complete))
		dst = binary.BigEndian.AppendUint32(dst, c.downloaded)
		dst = binary.BigEndian.AppendUint32(dst, uint32(c.incomplete))
	}
	return dst
}

func appendHeader(dst []byte, action uint32, transaction []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, action)
	return append(dst, transaction...)
}

func appendError(dst, transaction []byte, why failure) []byte {
	return append(appendHeader(dst, actionError, transaction), why...)
}

// ServeUDP answers datagrams on pc until ctx is done or pc is closed. It does not close pc. Several may serve one socket, or several.
func (s *Server) ServeUDP(ctx context.Context, pc net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { pc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	udp, _ := pc.(*net.UDPConn)
	in, out := make([]byte, 2048), make([]byte, 0, 2048)
	for {
		var n int
		var from netip.AddrPort
		var to net.Addr
		var err error
		if udp != nil {
			n, from, err = udp.ReadFromUDPAddrPort(in)
		} else if n, to, err = pc.ReadFrom(in); err == nil {
			from, _ = netip.ParseAddrPort(to.String())
		}
		switch {
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return nil
		case err != nil: // an ICMP error that some systems report here: about one peer, not about us
			s.config.Log.Debug("reading a datagram", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		out = s.HandleUDP(out[:0], in[:n], from)
		if len(out) == 0 {
			continue
		}
		if udp != nil {
			_, err = udp.WriteToUDPAddrPort(out, from)
		} else {
			_, err = pc.WriteTo(out, to)
		}
		if err != nil {
			s.config.Log.Debug("answering a datagram", "peer", from, "err", err)
		}
	}
}
