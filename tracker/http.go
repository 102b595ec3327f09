package tracker

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP answers GET /announce and GET /scrape, below /TOKEN where the tracker asks for tokens. A peer that cannot be served reads why in a
// bencoded failure reason, with status 200: clients show that and nothing else (BEP 3).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Serves(r.URL.Path) {
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
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil {
		sc.body = appendFailure(sc.body[:0], "your address is not known")
	} else {
		from := s.client(source(from.Addr()), strings.Join(r.Header["X-Forwarded-For"], ","))
		sc.body = s.answerHTTP(sc.body[:0], r.URL.Path, r.URL.RawQuery, from, reachedAt(r), sc)
	}
	h := w.Header()
	h["Content-Type"] = plainText
	h["Content-Length"] = []string{strconv.Itoa(len(sc.body))}
	w.Write(sc.body)
}

// Serves says whether a path is the tracker's.
func (s *Server) Serves(path string) bool {
	token, _, ok := splitPath(path)
	return ok && (token == "" || s.config.Token != nil)
}

// splitPath takes /announce, /scrape, /TOKEN/announce and /TOKEN/scrape apart.
func splitPath(path string) (token string, announce, ok bool) {
	rest, announce := strings.CutSuffix(path, "/announce")
	if !announce {
		if rest, ok = strings.CutSuffix(path, "/scrape"); !ok {
			return "", false, false
		}
	}
	if rest == "" {
		return "", announce, true
	}
	token, ok = strings.CutPrefix(rest, "/")
	return token, announce, ok && ValidToken(token)
}

// ValidToken says whether a text can be a token: up to 64 letters, digits, - and _.
func ValidToken(token string) bool {
	for i := range len(token) {
		if !tokenByte(token[i]) {
			return false
		}
	}
	return 0 < len(token) && len(token) <= maxToken
}

// answerHTTP appends the body of the answer to a request for a path that the tracker serves. from is the client, here our address that it
// connected to, which may be unknown.
func (s *Server) answerHTTP(b []byte, path, query string, from, here netip.Addr, sc *scratch) []byte {
	now := time.Now()
	if !s.limit.allow(from, now) {
		s.limited.Add(1)
		return appendRetry(b, failLimited)
	}
	token, announce, _ := splitPath(path)
	if s.config.Token != nil && !s.config.Token(token) {
		s.refused.Add(1)
		return appendFailure(b, string(failToken))
	}
	if announce {
		return s.announceHTTP(b, query, from, source(here), sc, now)
	}
	return s.scrapeHTTP(b, query)
}

const contentType = "text/plain; charset=iso-8859-1"

var plainText = []string{contentType}

// reachedAt is the address that a client connected to.
func reachedAt(r *http.Request) netip.Addr {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return source(a.AddrPort().Addr())
	}
	return netip.Addr{}
}

// announceHTTP appends the answer to an announce from an address to one of ours, which may be unknown.
func (s *Server) announceHTTP(b []byte, query string, from, here netip.Addr, sc *scratch, now time.Time) []byte {
	dictionary, withoutIDs, err := parseAnnounce(query, &sc.request)
	if err != nil {
		s.malformed.Add(1)
		return appendFailure(b, err.Error())
	}
	sc.request.from, sc.request.here, sc.request.ids = from, here, dictionary && !withoutIDs
	if err := s.announce(doorHTTP, &sc.request, &sc.answer, now); err != nil {
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
		b = appendDictionaries(b, &a.v4, withoutIDs)
		b = appendDictionaries(b, &a.v6, withoutIDs)
		b = append(b, 'e')
	} else {
		b = strconv.AppendInt(b, int64(6*len(a.v4.peers)), 10)
		b = append(b, ':')
		b = appendCompact4(b, a.v4.peers)
		if len(a.v6.peers) > 0 || from.Is6() {
			b = append(b, "6:peers6"...) // BEP 7
			b = strconv.AppendInt(b, int64(18*len(a.v6.peers)), 10)
			b = append(b, ':')
			b = appendCompact6(b, a.v6.peers)
		}
	}
	if a.site != "" {
		b = append(b, "4:site"...)
		b = appendBytes(b, a.site)
	}
	b = append(b, "10:tracker id"...)
	b = appendBytes(b, s.keys.Load().id[:])
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

// appendRetry appends a failure that passes by itself (BEP 31; in minutes).
func appendRetry(b []byte, reason failure) []byte {
	b = append(b, "d14:failure reason"...)
	b = appendBytes(b, string(reason))
	return append(b, "8:retry in1:1e"...)
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
func appendDictionaries[A address](b []byte, c *choice[A], withoutIDs bool) []byte {
	var text [46]byte
	for i := range c.peers {
		p := &c.peers[i]
		b = append(b, "d2:ip"...)
		b = appendBytes(b, netAddr(p.addr).AppendTo(text[:0]))
		if !withoutIDs {
			b = append(b, "7:peer id20:"...)
			b = append(b, c.ids[i][:]...)
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
func appendCompact4(b []byte, peers []spot[[4]byte]) []byte {
	for i := range peers {
		p := &peers[i]
		b = append(b, p.addr[0], p.addr[1], p.addr[2], p.addr[3], byte(p.port>>8), byte(p.port))
	}
	return b
}

// appendCompact6 appends peers in eighteen bytes each (BEP 7, BEP 15).
func appendCompact6(b []byte, peers []spot[[16]byte]) []byte {
	for i := range peers {
		p := &peers[i]
		b = append(b, p.addr[:]...)
		b = append(b, byte(p.port>>8), byte(p.port))
	}
	return b
}
