package tracker

import (
	"bytes"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"
)

// HandleHTTP answers the HTTP request that in begins with, if it is a plain announce or scrape, and says how many bytes it had and whether the
// client keeps the connection (see port.QuickHandler). Used is 0 for everything that is not as simple as what clients send: another path or
// method, a body, a header that changes what is meant, a line that is not strictly by RFC 9112. All that is net/http's, and then
// [Server.ServeHTTP]'s, which gives the same body for the same request; a fuzz test holds the two together.
func (s *Server) HandleHTTP(dst, in []byte, from, to netip.AddrPort) (answer []byte, used int, keep bool) {
	head, ok := parseHead(in)
	if !ok {
		return dst, 0, false
	}
	path := text(in[4:head.query])
	if !s.Serves(path) {
		return dst, 0, false
	}
	source := s.client(source(from.Addr()), text(head.forwarded))
	query := ""
	if head.query < head.target {
		query = text(in[head.query+1 : head.target])
	}
	sc := s.scratch.Get().(*scratch)
	sc.body = s.answerHTTP(sc.body[:0], path, query, source, to.Addr(), sc)
	dst = append(dst, "HTTP/1.1 200 OK\r\nContent-Type: "+contentType+"\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(sc.body)), 10)
	dst = append(dst, "\r\nDate: "...)
	dst = s.date.append(dst)
	switch {
	case !head.keep:
		dst = append(dst, "\r\nConnection: close"...)
	case head.old:
		dst = append(dst, "\r\nConnection: keep-alive"...)
	}
	dst = append(dst, "\r\n\r\n"...)
	dst = append(dst, sc.body...)
	s.scratch.Put(sc)
	return dst, head.end, head.keep
}

// text looks at bytes as a string without copying them: nothing that a request says is kept as a string.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// head is what a request's head says. Positions are of its first bytes' end.
type head struct {
	query     int // of the path: there the '?' is, or the space
	target    int // of the request target
	end       int // of the head
	old       bool
	keep      bool
	forwarded []byte // X-Forwarded-For
}

// parseHead reads a head that is whole and simple.
func parseHead(in []byte) (h head, ok bool) {
	if !bytes.HasPrefix(in, []byte("GET /")) {
		return h, false
	}
	i := 5
	for ; ; i++ {
		if i == len(in) || in[i] < ' ' || in[i] == 0x7f {
			return h, false
		}
		if in[i] == '?' && h.query == 0 {
			h.query = i
		}
		if in[i] == ' ' {
			break
		}
	}
	h.target = i
	if h.query == 0 {
		h.query = i
	}
	switch {
	case bytes.HasPrefix(in[i:], []byte(" HTTP/1.1\r\n")):
		h.keep = true
	case bytes.HasPrefix(in[i:], []byte(" HTTP/1.0\r\n")):
		h.old = true
	default:
		return h, false
	}
	i += len(" HTTP/1.1\r\n")
	var hosts, connections int
	for {
		line := in[i:]
		end := bytes.IndexByte(line, '\n')
		if end < 1 || line[end-1] != '\r' {
			return h, false
		}
		i += end + 1
		if end == 1 {
			break
		}
		name, value, ok := splitField(line[:end-1])
		if !ok {
			return h, false
		}
		switch {
		case is(name, "host"):
			hosts++
			if !plainHost(value) {
				return h, false
			}
		case is(name, "connection"):
			connections++
			switch {
			case is(value, "close"):
				h.keep = false
			case is(value, "keep-alive"):
				h.keep = true
			default:
				return h, false
			}
		case is(name, "x-forwarded-for"):
			if h.forwarded != nil {
				return h, false
			}
			h.forwarded = value
		case is(name, "content-length"), is(name, "transfer-encoding"), is(name, "expect"), is(name, "upgrade"), is(name, "trailer"),
			is(name, "pragma"): // net/http makes another header of it
			return h, false
		}
	}
	h.end = i
	return h, connections <= 1 && (hosts == 1 || hosts == 0 && h.old)
}

// splitField splits a header line without its end.
func splitField(line []byte) (name, value []byte, ok bool) {
	i := 0
	for i < len(line) && tokenByte(line[i]) {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return nil, nil, false
	}
	name, value = line[:i], line[i+1:]
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for len(value) > 0 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return nil, nil, false
		}
	}
	return name, value, true
}

// tokenByte says whether a byte may be in a header's name; those that may and nobody uses are left to net/http.
func tokenByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func plainHost(b []byte) bool {
	for _, c := range b {
		if !tokenByte(c) && c != '.' && c != ':' && c != '[' && c != ']' {
			return false
		}
	}
	return true
}

// is says whether b is word, which is in lower case, in any case.
func is(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// dateLine is the Date of this second, as RFC 9110 wants it in each answer.
type dateLine struct{ now atomic.Pointer[datedSecond] }

type datedSecond struct {
	second int64
	text   string
}

func (d *dateLine) append(b []byte) []byte {
	now := time.Now()
	line := d.now.Load()
	if line == nil || line.second != now.Unix() {
		line = &datedSecond{now.Unix(), now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		d.now.Store(line)
	}
	return append(b, line.text...)
}
