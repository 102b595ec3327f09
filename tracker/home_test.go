package tracker

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
)

func atHome(r *request) { r.from = netip.MustParseAddr("127.0.0.1") }

// An origin announces over loopback; others must be told of it where they can reach it.
func TestPeersAtHomeAreGivenOutWithAUsableAddress(t *testing.T) {
	lan, public, six := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::2")
	for _, c := range []struct {
		name           string
		home, from     string
		families       bool
		connected, set netip.Addr
		want           netip.Addr
	}{
		{name: "the address connected to", home: "127.0.0.1", from: "192.168.1.9", families: true, connected: lan, want: lan},
		{name: "the address set goes first", home: "127.0.0.1", from: "192.168.1.9", families: true, connected: lan, set: public, want: public},
		{name: "over IPv6", home: "127.0.0.1", from: "2001:db8::9", families: true, connected: six, want: six},
		{name: "UDP, the address set", home: "127.0.0.1", from: "203.0.113.9", set: public, want: public},
		{name: "UDP, the address set is of the other family", home: "127.0.0.1", from: "203.0.113.9", set: six, want: routeTo(netip.MustParseAddr("203.0.113.9"))},
		{name: "announced over ::1", home: "::1", from: "192.168.1.9", families: true, connected: lan, want: lan},
	} {
		s := New(Config{Here: func(netip.Addr) netip.Addr { return c.set }})
		visit(s, 1, func(r *request) { isSeed(r); r.from, r.port = netip.MustParseAddr(c.home), 7070 })
		a := visit(s, 2, func(r *request) { r.from, r.families, r.here = netip.MustParseAddr(c.from), c.families, c.connected })
		var got []netip.AddrPort
		for _, p := range a.v4.peers {
			got = append(got, netip.AddrPortFrom(netip.AddrFrom4(p.addr), p.port))
		}
		for _, p := range a.v6.peers {
			got = append(got, netip.AddrPortFrom(netip.AddrFrom16(p.addr), p.port))
		}
		var want []netip.AddrPort
		if c.want.IsValid() && !c.want.IsLoopback() {
			want = append(want, netip.AddrPortFrom(c.want, 7070))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: told of %v, want %v", c.name, got, want)
		}
	}
}

func TestPeersAtHomeKnowEachOtherByLoopback(t *testing.T) {
	s := New(Config{})
	visit(s, 1, atHome)
	a := visit(s, 3, func(r *request) { atHome(r); r.port = 1001 })
	if len(a.v4.peers) != 1 || a.v4.peers[0].addr != [4]byte{127, 0, 0, 1} || a.v4.peers[0].port != 1000 {
		t.Errorf("told of %+v, want 127.0.0.1:1000", a.v4)
	}
}

func TestPeersAtHomeComeFirstAndWithinBounds(t *testing.T) {
	s := New(Config{Here: func(netip.Addr) netip.Addr { return netip.MustParseAddr("192.168.1.2") }})
	for n := range 100 {
		visit(s, n, nil)
	}
	visit(s, 500, func(r *request) { atHome(r); isSeed(r); r.port = 7070 })
	visit(s, 501, func(r *request) { isSeed(r); r.from, r.port = netip.MustParseAddr("192.168.1.2"), 7071 })
	visit(s, 502, func(r *request) { atHome(r); isSeed(r); r.port = 7071 }) // 501 by another way
	a := visit(s, 1, func(r *request) { r.want = 10 })
	found := map[uint16]int{}
	for _, p := range a.v4.peers {
		if p.addr == [4]byte{192, 168, 1, 2} {
			found[p.port]++
		}
		if p.addr[0] == 127 {
			t.Errorf("told of %v", p.addr)
		}
	}
	if len(a.v4.peers) != 10 || found[7070] != 1 || found[7071] != 1 {
		t.Errorf("%d peers, at home %v; want 10 with one at each port", len(a.v4.peers), found)
	}
	if a := visit(s, 1, func(r *request) { r.want = 0 }); len(a.v4.peers) != 0 {
		t.Errorf("who wants no peers got %+v", a.v4)
	}
	if a := visit(s, 1, isSeed); slices.ContainsFunc(a.v4.peers, func(p spot[[4]byte]) bool { return p.port == 7070 }) {
		t.Errorf("a seed was told of the origin, a seed")
	}
	// What leaves is not at home any more.
	for _, n := range []int{500, 502} {
		visit(s, n, func(r *request) { atHome(r); isStopped(r); r.port = 7070 + uint16(n-500)/2 })
	}
	if sw := s.store.shard(&[20]byte{1}).swarms.get(new(hashNumber(1))); sw.home != nil {
		t.Errorf("home still holds %+v", sw.home)
	}
}

// Over a real connection the door knows the address that was connected to.
func TestReachedAt(t *testing.T) {
	s := New(Config{})
	var got netip.Addr
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = reachedAt(r)
		s.ServeHTTP(w, r)
	}))
	defer web.Close()
	resp, err := http.Get(web.URL + announceURL(1, ""))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := netip.MustParseAddr("127.0.0.1"); got != want {
		t.Errorf("reached at %v, want %v", got, want)
	}
	r := httptest.NewRequest("GET", announceURL(2, ""), nil)
	r.RemoteAddr = "192.168.1.9:1"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(192, 168, 1, 2), Port: 80}))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if got, want := unbencode(t, w.Body.Bytes())["peers"], "\xc0\xa8\x01\x02\x03\xe9"; got != want {
		t.Errorf("peers = %x, want 192.168.1.2:1001", got)
	}
}
