package tracker

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
)

// ServeHTTP answers GET /announce and GET /scrape. A peer that cannot be served reads why in a bencoded failure reason, with status 200:
// clients show that and nothing else (BEP 3).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	announce := r.URL.Path == "/announce"
	if !announce && r.URL.Path != "/scrape" {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	sc := s.scratch.Get().(*scratch)
	defer s.scratch.Put(sc)
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	switch {
	case err != nil:
		sc.body = appendFailure(sc.body[:0], "your address is not known")
	case announce:
		sc.body = s.announceHTTP(sc.body[:0], r.URL.RawQuery, source(from.Addr()), reachedAt(r), sc)
	default:
		sc.body = s.scrapeHTTP(sc.body[:0], r.URL.RawQuery)
	}
	h := w.Header()
	h["Content-Type"] = plainText
	h["Content-Length"] = []string{strconv.Itoa(len(sc.body))}
	w.Write(sc.body)
}

var plainText = []string{"text/plain; charset=iso-8859-1"}

// reachedAt is the address that a client connected to.
func reachedAt(r *http.Request) netip.Addr {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return source(a.AddrPort().Addr())
	}
	return netip.Addr{}
}

// announceHTTP appends the answer to an announce from an address to one of ours, which may be unknown.
func (s *Server) announceHTTP(b []byte, query string, from, here netip.Addr, sc *scratch) []byte {
	dictionary, withoutIDs, err := parseAnnounce(query, &sc.request)
	if err != nil {
		s.malformed.Add(1)
		return appendFailure(b, err.Error())
	}
	sc.request.from, sc.request.here = from, here
	if err := s.announce(doorHTTP, &sc.request, &sc.answer); err != nil {
		return appendFailure(b, err.Error())
	}
	a := &sc.answer
	b = append(b, "d8:complete"...)
	b = appendInt(b, int64(a.counts.complete))
	b = append(b, "10:downloaded"...)
	b = appendInt(b, int64(a.counts.downloaded))
	b = append(b, "11:external ip"...) // BEP 24
	b = appendBytes(b, from.AsSlice())
	b = append(b, "10:incomplete"...)
	b = appendInt(b, int64(a.counts.incomplete))
	b = append(b, "8:interval"...)
	b = appendInt(b, int64(a.interval))
	b = append(b, "12:min interval"...)
	b = appendInt(b, int64(a.minInterval))
	b = append(b, "5:peers"...)
	if dictionary {
		b = append(b, 'l')
		b = appendDictionaries(b, a.v4, withoutIDs)
		b = appendDictionaries(b, a.v6, withoutIDs)
		b = append(b, 'e')
	} else {
		b = strconv.AppendInt(b, int64(6*len(a.v4)), 10)
		b = append(b, ':')
		b = appendCompact4(b, a.v4)
		if len(a.v6) > 0 || from.Is6() {
			b = append(b, "6:peers6"...) // BEP 7
			b = strconv.AppendInt(b, int64(18*len(a.v6)), 10)
			b = append(b, ':')
			b = appendCompact6(b, a.v6)
		}
	}
	if a.warning != "" {
		b = append(b, "15:warning message"...)
		b = appendBytes(b, a.warning)
	}
	return append(b, 'e')
}

// scrapeHTTP appends the answer to a scrape: a dictionary of those of the named swarms that exist (BEP 48, BEP 21's downloaders).
func (s *Server) scrapeHTTP(b []byte, query string) []byte {
	hashes, err := parseScrape(query, nil)
	if err != nil {
		s.malformed.Add(1)
		return appendFailure(b, err.Error())
	}
	s.scrapes.Add(1)
	slices.SortFunc(hashes, func(a, b [20]byte) int { return bytes.Compare(a[:], b[:]) })
	b = append(b, "d5:filesd"...)
	for _, hash := range slices.Compact(hashes) {
		c, known := s.scrape(hash)
		if !known {
			continue
		}
		b = appendBytes(b, hash[:])
		b = append(b, "d8:complete"...)
		b = appendInt(b, int64(c.complete))
		b = append(b, "10:downloaded"...)
		b = appendInt(b, int64(c.downloaded))
		b = append(b, "11:downloaders"...)
		b = appendInt(b, int64(c.downloaders))
		b = append(b, "10:incomplete"...)
		b = appendInt(b, int64(c.incomplete))
		b = append(b, 'e')
	}
	return append(b, "ee"...)
}

func appendFailure(b []byte, reason string) []byte {
	b = append(b, "d14:failure reason"...)
	b = appendBytes(b, reason)
	return append(b, 'e')
}

func appendInt(b []byte, n int64) []byte {
	b = append(b, 'i')
	b = strconv.AppendInt(b, n, 10)
	return append(b, 'e')
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	return append(b, s...)
}

// appendDictionaries appends peers as BEP 3 has them.
func appendDictionaries[A address](b []byte, peers []peer[A], withoutIDs bool) []byte {
	var text [46]byte
	for i := range peers {
		p := &peers[i]
		b = append(b, "d2:ip"...)
		b = appendBytes(b, netAddr(p.addr).AppendTo(text[:0]))
		if !withoutIDs {
			b = append(b, "7:peer id20:"...)
			b = append(b, p.id[:]...)
		}
		b = append(b, "4:port"...)
		b = appendInt(b, int64(p.port))
		b = append(b, 'e')
	}
	return b
}

func netAddr[A address](a A) netip.Addr {
	if v4, ok := any(a).([4]byte); ok {
		return netip.AddrFrom4(v4)
	}
	return netip.AddrFrom16(any(a).([16]byte))
}

// appendCompact4 appends peers in six bytes each (BEP 23, BEP 15).
func appendCompact4(b []byte, peers []peer[[4]byte]) []byte {
	for i := range peers {
		p := &peers[i]
		b = append(b, p.addr[0], p.addr[1], p.addr[2], p.addr[3], byte(p.port>>8), byte(p.port))
	}
	return b
}

// appendCompact6 appends peers in eighteen bytes each (BEP 7, BEP 15).
func appendCompact6(b []byte, peers []peer[[16]byte]) []byte {
	for i := range peers {
		p := &peers[i]
		b = append(b, p.addr[:]...)
		b = append(b, byte(p.port>>8), byte(p.port))
	}
	return b
}
