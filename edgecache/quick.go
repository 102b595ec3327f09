package edgecache

import (
	"bytes"
	"maps"
	"net/http"
	"net/netip"
	"strings"

	"shoal/internal/deliver"
	"shoal/internal/webseed"
)

// Quick answers what is asked for again and again from memory: it is a port.QuickHandler, which the daemon joins to its port. All that is not a plain GET
// over HTTP/1.1 for all of such a file, by somebody who is no edge and whom no limit holds back, is left to ServeHTTP.
func (e *Edge) Quick(dst, in []byte, from, _ netip.AddrPort) (answer []byte, used int, keep bool) {
	path, used := plainGet(in)
	if used == 0 {
		return dst, 0, false
	}
	x := e.smalls.get(path)
	if x == nil || e.cfg.Node.UploadPace(from.Addr()).Rate() > 0 {
		return dst, 0, false
	}
	e.hit(x)
	return x.at(e.cfg.Now()), used, true
}

// hit counts an answer from memory.
func (e *Edge) hit(x *small) {
	e.count.hits.Add(1)
	e.count.hitBytes.Add(x.bytes)
	e.shelf.touch(x.known.key, float64(x.bytes)/float64(max(x.known.bytes, 1)), e.cfg.Now())
}

// serveSmall is Quick for connections that net/http has: over TLS, and those that have asked for other things. False: it has not answered.
func (e *Edge) serveSmall(w http.ResponseWriter, r *http.Request) bool {
	x := e.smalls.get([]byte(r.RequestURI))
	if x == nil || r.Method != http.MethodGet || isEdge(r) || e.cfg.Node.UploadPace(webseed.Remote(r)).Rate() > 0 {
		return false
	}
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if r.Header[name] != nil {
			return false
		}
	}
	maps.Copy(w.Header(), x.head) // whose values nobody changes
	e.hit(x)
	w.Write(x.body())
	return true
}

// plainGet is what a request asks for that is whole, and as simple as most are: used is its length, and 0 for all others. Only headers that change nothing are known to it.
func plainGet(in []byte) (path []byte, used int) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 || !bytes.HasPrefix(in, []byte("GET /")) {
		return nil, 0
	}
	line, fields, _ := bytes.Cut(in[:end], []byte("\r\n"))
	path, ok := bytes.CutSuffix(line[len("GET "):], []byte(" HTTP/1.1"))
	if !ok || bytes.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return nil, 0
	}
	hosts := 0
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, colon := bytes.Cut(field, []byte(":"))
		if !colon || bytes.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			return nil, 0
		}
		switch value = bytes.TrimSpace(value); {
		case is(name, "host"):
			hosts++
		case is(name, "accept"), is(name, "accept-encoding"), is(name, "accept-language"):
		case is(name, "user-agent") && !bytes.HasSuffix(value, []byte(deliver.EdgeServer)):
		case is(name, "connection") && is(value, "keep-alive"):
		default:
			return nil, 0
		}
	}
	if hosts != 1 {
		return nil, 0
	}
	return path, end + len("\r\n\r\n")
}

func is(b []byte, word string) bool { return len(b) == len(word) && strings.EqualFold(string(b), word) }
