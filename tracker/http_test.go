package tracker

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
)

const oneHash = "%01%02abcdefghijklmnopq%ff"

// get asks the HTTP door as if from an address, and returns the body of an answer with status 200.
func get(t testing.TB, s *Server, from, target string) []byte {
	t.Helper()
	r := httptest.NewRequest("GET", target, nil)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: status %d", target, w.Code)
	}
	if got, want := w.Header().Get("Content-Length"), fmt.Sprint(w.Body.Len()); got != want {
		t.Errorf("GET %s: Content-Length %s, body %s", target, got, want)
	}
	return w.Body.Bytes()
}

func announceURL(n int, more string) string {
	return fmt.Sprintf("/announce?info_hash=%s&peer_id=-XX0000-%012d&port=%d&uploaded=0&downloaded=0&left=1%s", oneHash, n, 1000+n, more)
}

// unbencode reads an answer with another implementation, which also insists that keys are sorted and nothing follows.
func unbencode(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var out map[string]any
	if err := bencode.Unmarshal(body, &out); err != nil {
		t.Fatalf("answer %q: %v", body, err)
	}
	again, err := bencode.Marshal(out)
	if err != nil || !bytes.Equal(again, body) {
		t.Fatalf("answer is not canonical:\n%q\n%q", body, again)
	}
	return out
}

func TestAnswersToTheByte(t *testing.T) {
	s := New(Config{})
	s.keys.Store(newKeys([32]byte{}))
	fixed := func(body []byte) string { // the interval is spread by chance
		b := string(body)
		i := strings.Index(b, "8:intervali") + len("8:intervali")
		return b[:i] + "X" + b[i+strings.IndexByte(b[i:], 'e'):]
	}
	for _, c := range []struct{ name, from, more, want string }{
		{"alone", "10.0.0.1:50000", "", "d8:completei0e10:downloadedi0e11:external ip4:\x0a\x00\x00\x0110:incompletei1e8:intervaliXe12:min intervali5e5:peers0:10:tracker id8:12628355e"},
		{"compact", "10.0.0.2:50000", "&compact=1", "d8:completei0e10:downloadedi0e11:external ip4:\x0a\x00\x00\x0210:incompletei2e8:intervaliXe12:min intervali5e" +
			"5:peers6:\x0a\x00\x00\x01\x03\xe910:tracker id8:12628355e"},
		{"dictionary", "10.0.0.2:50000", "&compact=0", "d8:completei0e10:downloadedi0e11:external ip4:\x0a\x00\x00\x0210:incompletei2e8:intervaliXe12:min intervali5e" +
			"5:peersld2:ip8:10.0.0.17:peer id20:-XX0000-0000000000014:porti1001eee10:tracker id8:12628355e"},
		{"dictionary without ids", "10.0.0.2:50000", "&compact=0&no_peer_id=1", "d8:completei0e10:downloadedi0e11:external ip4:\x0a\x00\x00\x0210:incompletei2e8:intervaliXe12:min intervali5e" +
			"5:peersld2:ip8:10.0.0.14:porti1001eee10:tracker id8:12628355e"},
		{"no peers wanted", "10.0.0.2:50000", "&numwant=0", "d8:completei0e10:downloadedi0e11:external ip4:\x0a\x00\x00\x0210:incompletei2e8:intervaliXe12:min intervali5e5:peers0:10:tracker id8:12628355e"},
		{"IPv6", "[2001:db8::3]:50000", "&compact=1&numwant=1", "d8:completei0e10:downloadedi0e11:external ip16:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0310:incompletei3e8:intervaliXe12:min intervali5e" +
			"5:peers6:\x0a\x00\x00\x01\x03\xe96:peers60:10:tracker id8:12628355e"},
		{"mapped IPv4, stopped", "[::ffff:10.0.0.2]:50000", "&event=stopped", "d8:completei0e10:downloadedi0e11:external ip4:\x0a\x00\x00\x0210:incompletei2e8:intervaliXe12:min intervali300e5:peers0:10:tracker id8:12628355e"},
	} {
		n := int(netip.MustParseAddrPort(c.from).Addr().AsSlice()[len(netip.MustParseAddrPort(c.from).Addr().AsSlice())-1])
		body := get(t, s, c.from, announceURL(n, c.more))
		unbencode(t, body)
		if c.name == "IPv6" { // which of the two IPv4 peers it gets is chance
			body = bytes.Replace(body, []byte("\x0a\x00\x00\x02\x03\xea"), []byte("\x0a\x00\x00\x01\x03\xe9"), 1)
		}
		if got := fixed(body); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
	got := string(get(t, s, "10.0.0.9:1", "/scrape?info_hash="+oneHash+"&info_hash=bbbbbbbbbbbbbbbbbbbb&info_hash="+oneHash))
	want := "d5:filesd20:\x01\x02abcdefghijklmnopq\xffd8:completei0e10:downloadedi0e11:downloadersi2e10:incompletei2eeee"
	if got != want {
		t.Errorf("scrape:\n got %q\nwant %q", got, want)
	}
}

func TestRefusalsAreBencodedWithStatus200(t *testing.T) {
	s := New(Config{Allow: func(h [20]byte) bool { return h[0] == 1 }})
	many := "/scrape?info_hash=" + oneHash + strings.Repeat("&info_hash="+oneHash, maxScrapeHashes)
	for _, c := range []struct{ name, target, want string }{
		{"nothing", "/announce", "info_hash is missing"},
		{"short hash", "/announce?info_hash=abc&peer_id=aaaaaaaaaaaaaaaaaaaa&port=1", "info_hash is not 20 bytes"},
		{"long hash", "/announce?info_hash=aaaaaaaaaaaaaaaaaaaab&peer_id=aaaaaaaaaaaaaaaaaaaa&port=1", "info_hash is not 20 bytes"},
		{"hex hash", "/announce?info_hash=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "info_hash is not 20 bytes"},
		{"bad escape", "/announce?info_hash=%zzaaaaaaaaaaaaaaaaaaa", "info_hash is not 20 bytes"},
		{"cut escape", "/announce?info_hash=aaaaaaaaaaaaaaaaaaa%1", "info_hash is not 20 bytes"},
		{"no id", "/announce?port=1&info_hash=" + oneHash, "peer_id is missing"},
		{"no port", "/announce?peer_id=aaaaaaaaaaaaaaaaaaaa&info_hash=" + oneHash, "port is missing"},
		{"port too large", announceURL(1, "&port=65536"), "port is not a port"},
		{"negative port", announceURL(1, "&port=-1"), "port is not a port"},
		{"not allowed", "/announce?peer_id=aaaaaaaaaaaaaaaaaaaa&port=1&info_hash=aaaaaaaaaaaaaaaaaaaa", "this tracker does not serve this info hash"},
		{"too long", announceURL(1, "&x="+strings.Repeat("x", maxQuery)), "query too long"},
		{"full scrape", "/scrape", "info_hash is missing: this tracker does not list all swarms"},
		{"scrape too long", "/scrape?info_hash=" + oneHash + "&x=" + strings.Repeat("x", maxScrapeQuery), "query too long"},
		{"scrape of many", many, "too many info hashes"},
	} {
		out := unbencode(t, get(t, s, "10.0.0.1:1", c.target))
		if out["failure reason"] != c.want || len(out) != 1 {
			t.Errorf("%s: %q, want failure reason %q", c.name, out, c.want)
		}
	}
	if got := string(get(t, s, "10.0.0.1:1", "/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa")); got != "d5:filesdee" {
		t.Errorf("scrape of a swarm that is not served: %q", got)
	}
	for _, c := range []struct {
		method, path string
		want         int
	}{{"GET", "/", 404}, {"GET", "/announce/x", 404}, {"POST", "/announce", 405}, {"HEAD", "/announce", 200}} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.want {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
}

func TestNobodyAnnouncesAnother(t *testing.T) {
	s := New(Config{})
	for i, from := range []string{"10.0.0.1:1", "127.0.0.1:1", "[::1]:1"} {
		get(t, s, from, announceURL(i, "&ip=9.9.9.9&ipv4=9.9.9.9&ipv6=2001:db8::9&compact=1"))
	}
	sw := s.store.shard(&[20]byte{1}).swarms.get(new([20]byte([]byte("\x01\x02abcdefghijklmnopq\xff"))))
	for _, p := range sw.v4.spots {
		if p.addr == [4]byte{9, 9, 9, 9} {
			t.Errorf("the tracker listed the address that a peer named: %+v", p)
		}
	}
	if sw.v4.len() != 2 || sw.v6.len() != 1 || sw.v6.spots[0].addr != netip.IPv6Loopback().As16() {
		t.Errorf("listed %+v and %+v, want the three sources", sw.v4.spots, sw.v6.spots)
	}
}

func TestNumWant(t *testing.T) {
	s := New(Config{})
	for n := range 300 {
		get(t, s, fmt.Sprintf("10.1.%d.%d:1", n/256, n%256), announceURL(n, ""))
	}
	for more, want := range map[string]int{"": 50, "&numwant=10": 10, "&numwant=0": 0, "&numwant=1000": 200, "&numwant=-1": 50,
		"&numwant=x": 50, "&numwant=99999999999999999999": 50} {
		out := unbencode(t, get(t, s, "10.0.0.1:1", announceURL(999, more)))
		if got := len(out["peers"].(string)) / 6; got != want {
			t.Errorf("%q: %d peers, want %d", more, got, want)
		}
	}
}

func TestFormEncodedHash(t *testing.T) {
	s := New(Config{})
	hash := "a b+c%d&e=f?g/\x00\xff\x80\x2012"
	q := url.Values{"info_hash": {hash}, "peer_id": {strings.Repeat("x", 20)}, "port": {"1"}}
	get(t, s, "10.0.0.1:1", "/announce?"+q.Encode())
	if _, known := s.store.counts([20]byte([]byte(hash))); !known {
		t.Errorf("the swarm of a form-encoded info hash is not known")
	}
}

// Whatever the query, the answer is one canonical dictionary of bounded size, and holds either a failure or all that BEP 3 asks for.
func FuzzHTTP(f *testing.F) {
	for _, q := range []string{announceURL(1, "&compact=0&numwant=5&event=started&site=a%20b"), announceURL(2, "&event=stopped"),
		"/scrape?info_hash=" + oneHash, "/announce?info_hash=%", "/announce?&&==&left=&port",
		"/announce?info_hash=00000000000000000000&peer_id=00000000000000000000&port=00"} {
		path, query, _ := strings.Cut(q, "?")
		f.Add(path == "/announce", query)
	}
	s := New(Config{MaxPeers: 500, MaxSwarms: 50})
	from := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, announce bool, query string) {
		var body []byte
		if announce {
			body = s.announceHTTP(nil, query, from, netip.Addr{}, new(scratch), time.Now())
		} else {
			body = s.scrapeHTTP(nil, query)
		}
		if len(body) > 32<<10 {
			t.Fatalf("an answer of %d bytes", len(body))
		}
		out := unbencode(t, body)
		if _, failed := out["failure reason"]; failed {
			return
		}
		if !announce {
			if _, ok := out["files"].(map[string]any); !ok {
				t.Fatalf("scrape answered %q", body)
			}
			return
		}
		interval, ok := out["interval"].(int64)
		if !ok || interval < 1 || interval > 1800 {
			t.Fatalf("interval of %q", body)
		}
		// What was understood of the query agrees with what net/url makes of it, where that can read it.
		if v, err := url.ParseQuery(query); err == nil && len(v["info_hash"]) == 1 {
			if _, known := s.store.counts([20]byte([]byte(v.Get("info_hash")))); !known && strings.Trim(v.Get("port"), "0") != "" &&
				v.Get("event") != "stopped" && out["warning message"] == nil && len(v["port"]) == 1 && len(v["event"]) < 2 {
				t.Fatalf("answered %q, but the swarm of %q is not known", body, v.Get("info_hash"))
			}
		}
		if st := s.Stats(); st.Peers > 500 || st.Swarms > 50 {
			t.Fatalf("beyond the bounds: %+v", st)
		}
	})
}
