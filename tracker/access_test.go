package tracker

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimitPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(2)
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		allowed := func(from netip.Addr, n int) (k int) {
			for range n {
				if l.allow(from, time.Now()) {
					k++
				}
			}
			return k
		}
		if got := allowed(a, 100); got != 20 {
			t.Errorf("at once %d of 100 were allowed, want 20: ten seconds' worth", got)
		}
		if got := allowed(b, 1); got != 1 {
			t.Error("another source is limited with the first")
		}
		time.Sleep(3 * time.Second)
		if got := allowed(a, 100); got != 6 {
			t.Errorf("after 3 s %d were allowed, want 6", got)
		}
		time.Sleep(time.Hour)
		if got := allowed(a, 100); got != 20 {
			t.Errorf("after an hour %d were allowed, want 20 again", got)
		}
		six, neighbour := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1")
		if got := allowed(six, 15) + allowed(neighbour, 15); got != 20 {
			t.Errorf("two addresses of one /64 were allowed %d, want 20 together", got)
		}
		if got := allowed(netip.MustParseAddr("127.0.0.1"), 100); got != 100 {
			t.Errorf("over loopback %d of 100 were allowed, want all", got)
		}
		l = newLimiter(0)
		if got := allowed(a, 100); got != 100 {
			t.Errorf("without a limit %d of 100 were allowed", got)
		}
	})
}

func TestWhoAsksTooOftenIsTold(t *testing.T) {
	s := New(Config{RequestsPerSec: 1})
	for n := range 10 {
		if out := unbencode(t, get(t, s, "10.0.0.1:1", announceURL(n, ""))); out["failure reason"] != nil {
			t.Fatalf("announce %d: %q", n, out)
		}
	}
	if out := unbencode(t, get(t, s, "10.0.0.1:1", announceURL(1, ""))); out["failure reason"] != string(failLimited) || out["retry in"] != "1" {
		t.Errorf("the eleventh: %q, want a refusal and when to try again (BEP 31)", out)
	}
	if out := unbencode(t, get(t, s, "10.0.0.2:1", announceURL(1, ""))); out["failure reason"] != nil {
		t.Errorf("another source: %q", out)
	}
	id := connect(t, s, peerB) // connecting is free: its sender may be anybody
	for range 20 {
		connect(t, s, peerB)
	}
	var last []byte
	for range 12 {
		last = s.HandleUDP(nil, announcePkt(id, hashNumber(1), 1, 0, 7001, 5, ""), peerB)
	}
	if string(last[8:]) != string(failLimited) {
		t.Errorf("over UDP: %q", last)
	}
	spoofed := announcePkt(make([]byte, 8), hashNumber(1), 1, 0, 7001, 5, "")
	for range 100 {
		s.HandleUDP(nil, spoofed, netip.MustParseAddrPort("10.9.9.9:1"))
	}
	if out := unbencode(t, get(t, s, "10.9.9.9:1", announceURL(1, ""))); out["failure reason"] != nil {
		t.Errorf("packets in another's name used up its share: %q", out)
	}
	if st := s.Stats(); st.Limited != 4 {
		t.Errorf("limited = %d, want 4", st.Limited)
	}
}

func TestTokens(t *testing.T) {
	s := New(Config{Token: func(token string) bool { return token == "let-me_in7" }})
	if !s.Serves("/x/announce") || !s.Serves("/announce") || s.Serves("/a/b/announce") || s.Serves("/a.b/scrape") || s.Serves("/"+strings.Repeat("x", 65)+"/announce") {
		t.Error("it serves the wrong paths")
	}
	for path, good := range map[string]bool{"/announce": false, "/wrong/announce": false, "/let-me_in7/announce": true} {
		out := unbencode(t, get(t, s, "10.0.0.1:1", path+strings.TrimPrefix(announceURL(1, ""), "/announce")))
		if (out["failure reason"] == nil) != good || !good && out["failure reason"] != string(failToken) {
			t.Errorf("%s: %q, want served %v", path, out, good)
		}
	}
	if out := unbencode(t, get(t, s, "10.0.0.1:1", "/scrape?info_hash="+oneHash)); out["failure reason"] != string(failToken) {
		t.Errorf("a scrape without token: %q", out)
	}
	if out := unbencode(t, get(t, s, "10.0.0.1:1", "/let-me_in7/scrape?info_hash="+oneHash)); len(out["files"].(map[string]any)) != 1 {
		t.Errorf("a scrape with a token: %q", out)
	}
	url := func(path string) string { return "\x02" + string(rune(len(path))) + path }
	for options, good := range map[string]bool{"": false, url("/announce"): false, url("/wrong/announce"): false, url("/let-me_in7/announce"): true,
		url("/let-me_in7/announce?site=a"): true, url("/let-me") + url("_in7/announce"): true} {
		out := s.HandleUDP(nil, announcePkt(connect(t, s, peerA), hashNumber(2), 1, 0, 7001, 5, options), peerA)
		if served := out[3] == actionAnnounce; served != good || !good && string(out[8:]) != string(failToken) {
			t.Errorf("UDP with %q: %q, want served %v", options, out, good)
		}
	}
	scrape := append(append(append([]byte(nil), connect(t, s, peerA)...), 0, 0, 0, 2, 1, 2, 3, 4), make([]byte, 20)...)
	if out := s.HandleUDP(nil, scrape, peerA); string(out[8:]) != string(failToken) {
		t.Errorf("a scrape over UDP, which has no token: %q", out)
	}
}

func TestForwardedForIsBelievedOfProxiesAlone(t *testing.T) {
	s := New(Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for _, c := range []struct{ name, from, header, want string }{
		{"no proxy", "192.0.2.1", "198.51.100.1", "192.0.2.1"},
		{"a proxy that says nothing", "10.0.0.1", "", "10.0.0.1"},
		{"a proxy", "10.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"a client that lies through a proxy", "10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"},
		{"two proxies", "10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"proxies alone", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"IPv6", "fd00::1", "2001:db8::5", "2001:db8::5"},
		{"with port", "fd00::1", "[2001:db8::5]:1234", "2001:db8::5"},
		{"with brackets", "fd00::1", "[2001:db8::5]", "2001:db8::5"},
		{"IPv4 with port", "10.0.0.1", "198.51.100.1:99", "198.51.100.1"},
		{"mapped", "10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"},
		{"nonsense", "10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"},
		{"empty element", "10.0.0.1", "198.51.100.1,", "10.0.0.1"},
	} {
		if got := s.client(netip.MustParseAddr(c.from), c.header).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	r := httptest.NewRequest("GET", announceURL(1, ""), nil)
	r.RemoteAddr = "10.0.0.1:5"
	r.Header["X-Forwarded-For"] = []string{"6.6.6.6", "198.51.100.9"}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if ip := unbencode(t, w.Body.Bytes())["external ip"]; ip != "\xc6\x33\x64\x09" {
		t.Errorf("two headers: external ip %x, want the last", ip)
	}
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("10.0.0.1, [::1]:5,,x")
	s := New(Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	f.Fuzz(func(t *testing.T, header string) {
		proxy := netip.MustParseAddr("10.0.0.1")
		if got := s.client(proxy, header); !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Errorf("%q: %v is no source", header, got)
		}
		stranger := netip.MustParseAddr("192.0.2.1")
		if got := s.client(stranger, header); got != stranger {
			t.Errorf("%q of a stranger made it %v", header, got)
		}
	})
}

func parseSites(t *testing.T, text string) *Sites {
	t.Helper()
	m, err := ParseSites(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSiteMap(t *testing.T) {
	m := parseSites(t, `
		10.0.0.0/8        everywhere
		10.20.0.0/16      berlin   # the house
		10.20.30.0/24     lab
		2001:db8:20::/48  berlin
		0.0.0.0/0         outside
	`)
	for addr, want := range map[string]string{"10.1.1.1": "everywhere", "10.20.1.1": "berlin", "10.20.30.1": "lab", "192.0.2.1": "outside",
		"2001:db8:20::1": "berlin", "2001:db8:21::1": ""} {
		if got := m.at(netip.MustParseAddr(addr)); got.name != want || (got.number == 0) != (want == "") || want != "" && got.number != siteOf([]byte(want)) {
			t.Errorf("%s is at %+v, want %q", addr, got, want)
		}
	}
	for text, want := range map[string]string{"10.0.0.0/8": "line 1", "\n10.0.0.1/8 a": "10.0.0.0/8 is meant", "x a": "line 1", "10.0.0.0/8 a\n10.0.0.0/8 b": "line 2",
		"::ffff:10.0.0.0/104 a": "as IPv4", "10.0.0.0/8 " + strings.Repeat("x", maxSite+1): "64 bytes", "10.0.0.0/8 a b": "line 1"} {
		if _, err := ParseSites(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzSiteMap(f *testing.F) {
	f.Add("10.0.0.0/8 a # x\n::/0 b", []byte{10, 1, 2, 3})
	f.Fuzz(func(t *testing.T, text string, b []byte) {
		m, err := ParseSites(strings.NewReader(text))
		addr, ok := netip.AddrFromSlice(b)
		if err != nil || !ok {
			return
		}
		want, bits := site{}, -1 // the longest prefix that holds it, the slow way
		for p, s := range m.sites {
			if p.Contains(source(addr)) && p.Bits() > bits {
				want, bits = s, p.Bits()
			}
		}
		if got := m.at(source(addr)); got != want {
			t.Errorf("%v in %q is at %+v, want %+v", addr, text, got, want)
		}
	})
}

// A site map makes neighbours of peers that say nothing, the answer names the site, and what a peer says itself goes first.
func TestSiteMapLeadsToNeighbours(t *testing.T) {
	m := parseSites(t, "10.1.0.0/16 berlin\n10.2.0.0/16 oslo")
	s := New(Config{Sites: func() *Sites { return m }})
	for n := range 200 {
		get(t, s, fmt.Sprintf("10.%d.0.%d:1", 1+n%2, n), announceURL(n, ""))
	}
	out := unbencode(t, get(t, s, "10.1.9.9:1", announceURL(900, "&numwant=40")))
	if out["site"] != "berlin" {
		t.Errorf("the answer says site %q, want berlin", out["site"])
	}
	if near := countPrefix(out["peers"].(string), 10, 1); near != 35 {
		t.Errorf("%d of 40 peers are neighbours, want all but an eighth", near)
	}
	out = unbencode(t, get(t, s, "10.1.9.9:1", announceURL(901, "&numwant=40&site=oslo")))
	if near := countPrefix(out["peers"].(string), 10, 2); near != 35 || out["site"] != nil {
		t.Errorf("%d of 40 peers are in oslo and the site is %v, want 35, nothing new", near, out["site"])
	}
}

// A /24 is no site.
func TestNearbyAddressesAreNoSite(t *testing.T) {
	s := New(Config{})
	for n := range 200 {
		get(t, s, fmt.Sprintf("10.%d.0.%d:1", 1+n%2, n), announceURL(n, ""))
	}
	near := 0
	for n := range 50 {
		near += countPrefix(unbencode(t, get(t, s, "10.1.0.250:1", announceURL(900, "&numwant=20&n="+fmt.Sprint(n))))["peers"].(string), 10, 1)
	}
	if near < 350 || near > 650 {
		t.Errorf("%d of 1000 peers have an address like the asker's, want about half, as in the swarm", near)
	}
}

func countPrefix(compact string, a, b byte) (n int) {
	for p := range slices.Chunk([]byte(compact), 6) {
		if bytes.HasPrefix(p, []byte{a, b}) {
			n++
		}
	}
	return n
}
