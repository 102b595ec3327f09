package tracker

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

const quickQuery = "?info_hash=" + oneHash + "&peer_id=-XX0000-000000000001&port=1001&left=1&numwant=0&event=stopped"

// Requests as clients send them are quick, whatever else they say.
func TestClientsAreQuick(t *testing.T) {
	s := New(Config{})
	for name, c := range map[string]struct {
		request string
		keep    bool
	}{
		"libtorrent":   {"GET /announce" + quickQuery + " HTTP/1.1\r\nHost: tracker.example:6969\r\nUser-Agent: libtorrent/2.0.8.0\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n", false},
		"Transmission": {"GET /announce" + quickQuery + " HTTP/1.1\r\nHost: 10.0.0.1:6969\r\nUser-Agent: Transmission/3.00\r\nAccept: */*\r\nAccept-Encoding: deflate, gzip\r\n\r\n", true},
		"aria2":        {"GET /announce" + quickQuery + " HTTP/1.1\r\nUser-Agent: aria2/1.36.0\r\nAccept: */*,application/metalink4+xml,application/metalink+xml\r\nHost: [::1]:6969\r\nCache-Control: no-cache\r\nConnection: close\r\nWant-Digest: SHA-512;q=1, SHA-256;q=1, SHA;q=0.1\r\n\r\n", false},
		"HTTP/1.0":     {"GET /scrape?info_hash=" + oneHash + " HTTP/1.0\r\n\r\n", false},
		"1.0 and kept": {"GET /scrape?info_hash=" + oneHash + " HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
		"shoal":        {"GET /announce" + quickQuery + " HTTP/1.1\r\nHost: a\r\nUser-Agent: Shoal/1\r\nAccept-Encoding: gzip\r\n\r\n", true},
	} {
		out, used, keep := s.HandleHTTP(nil, []byte(c.request+"more"), peerA, netip.AddrPort{})
		if used != len(c.request) || keep != c.keep {
			t.Errorf("%s: used %d of %d bytes, keep %v, want %v", name, used, len(c.request), keep, c.keep)
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 || body[0] != 'd' || resp.Header.Get("Date") == "" || !strings.HasPrefix(c.request, "GET /announce?") && resp.Close == c.keep {
			t.Errorf("%s: %v %q, %v", name, resp, body, err)
		}
	}
}

// What is not simple is net/http's.
func TestTheRestIsNotQuick(t *testing.T) {
	s := New(Config{})
	get := "GET /announce" + quickQuery
	for _, request := range []string{
		"", "GET", get, get + " HTTP/1.1\r\nHost: a\r\n", // not whole
		"HEAD /announce" + quickQuery + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /announce HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
		get + " HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
		get + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		get + " HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
		get + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
		get + " HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
		get + " HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		get + " HTTP/1.1\r\n\r\n",
		get + " HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
		get + " HTTP/1.1\r\nHost : a\r\n\r\n",
		get + " HTTP/1.1\nHost: a\n\n",
		get + " HTTP/2.0\r\nHost: a\r\n\r\n",
		get + "  HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a/announce" + quickQuery + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET //announce" + quickQuery + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /%61nnounce" + quickQuery + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /token/announce" + quickQuery + " HTTP/1.1\r\nHost: a\r\n\r\n", // this tracker has no tokens
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		if out, used, _ := s.HandleHTTP(nil, []byte(request), peerA, netip.AddrPort{}); used != 0 || len(out) != 0 {
			t.Errorf("%q was answered: %q", request, out)
		}
	}
	if got := s.Stats(); got.AnnouncesHTTP != 0 {
		t.Errorf("something was announced: %+v", got)
	}
}

// Both ways lead to the same: what the quick one answers, net/http would have read as the same one request without a body, and answered with
// the same body.
func FuzzQuick(f *testing.F) {
	f.Add([]byte("GET /announce"+quickQuery+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET"), true)
	f.Add([]byte("GET /scrape?info_hash="+oneHash+" HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), false)
	f.Add([]byte("GET /tok-en/announce"+quickQuery+" HTTP/1.1\r\nHost: a\r\nx-forwarded-for: 9.9.9.9, 10.0.0.7\r\n\r\n"), true)
	f.Add([]byte("GET /announce?a b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"), true)
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, in []byte, tokens bool) {
		config := Config{TrustedProxies: proxies}
		if tokens {
			config.Token = func(token string) bool { return token == "tok-en" }
		}
		quick, slow := New(config), New(config)
		slow.keys.Store(quick.keys.Load())
		out, used, keep := quick.HandleHTTP(nil, in, peerA, netip.AddrPort{})
		if used == 0 {
			if len(out) != 0 {
				t.Fatalf("not used, but answered: %q", out)
			}
			return
		}
		rest := bufio.NewReader(bytes.NewReader(in))
		r, err := http.ReadRequest(rest)
		if err != nil {
			t.Fatalf("net/http does not read it: %v", err)
		}
		if left, _ := io.ReadAll(rest); len(in)-len(left) != used || r.ContentLength != 0 || len(r.TransferEncoding) != 0 {
			t.Fatalf("net/http reads %d bytes and a body of %d (%v), quick %d", len(in)-len(left), r.ContentLength, r.TransferEncoding, used)
		}
		if r.Close == keep {
			t.Fatalf("net/http closes: %v, quick keeps: %v", r.Close, keep)
		}
		r.RemoteAddr = peerA.String()
		w := httptest.NewRecorder()
		slow.ServeHTTP(w, r)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), r)
		if err != nil {
			t.Fatalf("net/http does not read the answer: %v", err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != w.Code || withoutInterval(body) != withoutInterval(w.Body.Bytes()) || resp.Header.Get("Content-Type") != w.Header().Get("Content-Type") {
			t.Fatalf("quick: %d %q %v\nnet/http: %d %q", resp.StatusCode, body, err, w.Code, w.Body)
		}
		if quick.Stats().Peers != slow.Stats().Peers {
			t.Fatalf("quick lists %d peers, net/http %d", quick.Stats().Peers, slow.Stats().Peers)
		}
	})
}

// withoutInterval cuts out what is spread by chance.
func withoutInterval(body []byte) string {
	before, after, found := bytes.Cut(body, []byte("8:intervali"))
	if !found {
		return string(body)
	}
	_, after, _ = bytes.Cut(after, []byte("e"))
	return string(before) + string(after)
}
