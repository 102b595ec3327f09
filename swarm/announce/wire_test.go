package announce

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/tracker"
)

func TestScrape(t *testing.T) {
	_, urls := meet(t)
	for i, url := range urls {
		hash, other := [20]byte{1, byte(i), 0xff, '&', ' '}, [20]byte{2, byte(i)}
		for port, left := range []int64{0, 0, 5} {
			if _, err := Once(t.Context(), nil, url, Request{InfoHash: hash, PeerID: [20]byte{byte(port)}, Port: 1000 + port, Left: left}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Scrape(t.Context(), nil, url, other, hash)
		if want := (Counts{Seeders: 2, Leechers: 1}); err != nil || got[hash] != want || got[other] != (Counts{}) {
			t.Errorf("%s: %+v, %v, want %+v", url, got, err, want)
		}
		if _, err := Scrape(t.Context(), nil, url); err == nil {
			t.Errorf("%s: a scrape of nothing is no error", url)
		}
	}
	for _, url := range []string{"http://127.0.0.1:1/ann", "wss://127.0.0.1:1/announce", "udp://127.0.0.1/announce", "udp://127.0.0.1:1/announce"} {
		if got, err := Scrape(t.Context(), nil, url, [20]byte{1}); err == nil {
			t.Errorf("%s: %+v, want an error", url, got)
		}
	}
}

// What we say of ourselves arrives, over both doors.
func TestSiteAndPauseAreTold(t *testing.T) {
	srv, urls := meet(t)
	for i, url := range urls {
		hash := [20]byte{1, byte(i)}
		for n := range 100 {
			site := "berlin 1"
			if n%10 == 0 {
				site = "oslo & co"
			}
			_, err := Once(t.Context(), nil, url, Request{InfoHash: hash, PeerID: [20]byte{1, byte(n)}, Port: 1000 + n, Left: 1, NumWant: 1, Site: site})
			if err != nil {
				t.Fatal(err)
			}
		}
		rep, err := Once(t.Context(), nil, url, Request{InfoHash: hash, PeerID: [20]byte{2}, Port: 2000, Left: 1, NumWant: 16, Site: "oslo & co"})
		near := 0
		for _, p := range rep.Peers {
			if p.Addr.Port()%10 == 0 {
				near++
			}
		}
		if err != nil || near < 10 || len(rep.Peers) != 16 {
			t.Errorf("%s: %d peers of the site among %d (%v), want all 10 of 16", url, near, len(rep.Peers), err)
		}
		before := srv.Stats().Partial
		if _, err := Once(t.Context(), nil, url, Request{InfoHash: hash, PeerID: [20]byte{3}, Port: 2001, Left: 1, Event: Paused}); err != nil {
			t.Fatal(err)
		}
		if got := srv.Stats().Partial; got != before+1 {
			t.Errorf("%s: partial seeds = %d, want %d", url, got, before+1)
		}
	}
}

func TestParseHTTP(t *testing.T) {
	addr := func(s string) Peer { return Peer{Addr: netip.MustParseAddrPort(s)} }
	named := addr("10.0.0.3:3")
	copy(named.ID[:], "-XX0000-000000000003")
	for _, c := range []struct {
		name, body string
		want       []Peer
		fails      bool
	}{
		{name: "compact", body: "d5:peers12:\x0a\x00\x00\x01\x00\x01\x0a\x00\x00\x02\x00\x02e", want: []Peer{addr("10.0.0.1:1"), addr("10.0.0.2:2")}},
		{name: "IPv6 too", body: "d5:peers0:6:peers618:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x05e", want: []Peer{addr("[2001:db8::5]:5")}},
		{name: "mapped", body: "d6:peers618:\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01\x00\x01e", want: []Peer{addr("10.0.0.1:1")}},
		{name: "dictionaries", body: "d5:peersld2:ip8:10.0.0.37:peer id20:-XX0000-0000000000034:porti3eed2:ip11:2001:db8::54:porti5eeee", want: []Peer{named, addr("[2001:db8::5]:5")}},
		{name: "port 0", body: "d5:peers6:\x0a\x00\x00\x01\x00\x00e"},
		{name: "no address", body: "d5:peers6:\x00\x00\x00\x00\x00\x01e"},
		{name: "a name", body: "d5:peersld2:ip11:example.com4:porti1eeee"},
		{name: "port too large", body: "d5:peersld2:ip8:10.0.0.34:porti65536eeee"},
		{name: "negative port", body: "d5:peersld2:ip8:10.0.0.34:porti-1eeee"},
		{name: "newline at the end", body: "d5:peers6:\x0a\x00\x00\x01\x00\x01e\n", want: []Peer{addr("10.0.0.1:1")}},
		{name: "peers cut", body: "d5:peers5:\x0a\x00\x00\x01\x00e", fails: true},
		{name: "peers a number", body: "d5:peersi5ee", fails: true},
		{name: "not a dictionary", body: "li1ee", fails: true},
		{name: "empty", body: "", fails: true},
		{name: "deep", body: "d5:peers" + strings.Repeat("l", 1<<20), fails: true},
		{name: "long string", body: "d5:peers99999999999:x", fails: true},
	} {
		rep, err := parseHTTP([]byte(c.body))
		if (err != nil) != c.fails || !slices.Equal(rep.Peers, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, rep.Peers, err, c.want)
		}
	}
	many := "d5:peers" + "60000:" + strings.Repeat("\x0a\x00\x00\x01\x00\x01", 10_000) + "e"
	if rep, err := parseHTTP([]byte(many)); err != nil || len(rep.Peers) != maxPeers {
		t.Errorf("10,000 peers: kept %d, %v, want %d", len(rep.Peers), err, maxPeers)
	}
}

// answerUDP runs a tracker made of one function, which gets each datagram and returns the answers.
func answerUDP(t *testing.T, answer func(m []byte) [][]byte) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, m := range answer(buf[:n]) {
				pc.WriteTo(m, from)
			}
		}
	})
	t.Cleanup(func() { pc.Close(); done.Wait() })
	return "udp://" + pc.LocalAddr().String()
}

func TestBadUDPTrackers(t *testing.T) {
	connected := func(m []byte) []byte { return append(append([]byte{0, 0, 0, 0}, m[12:16]...), "12345678"...) }
	isConnect := func(m []byte) bool { return binary.BigEndian.Uint64(m) == connectMagic }
	reply := func(m []byte, action byte, more string) []byte {
		return append(append([]byte{0, 0, 0, action}, m[12:16]...), more...)
	}
	good := strings.Repeat("\x00\x00\x00\x09", 3) + "\x0a\x00\x00\x01\x00\x01"
	for _, c := range []struct {
		name   string
		answer func(m []byte) [][]byte
		want   string // in the error; "": none
	}{
		{"garbage first, then good", func(m []byte) [][]byte {
			l := [][]byte{{}, {1}, make([]byte, 2000), reply(append(make([]byte, 12), "abcd"...), 1, good)}
			if isConnect(m) {
				return append(l, connected(m))
			}
			return append(l, reply(m, 1, good))
		}, ""},
		{"says no to connect", func(m []byte) [][]byte { return [][]byte{reply(m, 3, "go away")} }, "go away"},
		{"short answer to connect", func(m []byte) [][]byte { return [][]byte{reply(m, 0, "1234567")} }, "short"},
		{"says no", func(m []byte) [][]byte {
			if isConnect(m) {
				return [][]byte{connected(m)}
			}
			return [][]byte{reply(m, 3, "nope")}
		}, "nope"},
		{"short answer", func(m []byte) [][]byte {
			if isConnect(m) {
				return [][]byte{connected(m)}
			}
			return [][]byte{reply(m, 1, "12345678901")}
		}, "short"},
		{"answers something else", func(m []byte) [][]byte {
			if isConnect(m) {
				return [][]byte{connected(m)}
			}
			return [][]byte{reply(m, 2, good)}
		}, "something else"},
		{"cut in a peer", func(m []byte) [][]byte {
			if isConnect(m) {
				return [][]byte{connected(m)}
			}
			return [][]byte{reply(m, 1, good+"\x0a\x00")}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			rep, err := Once(ctx, nil, answerUDP(t, c.answer), Request{Port: 1})
			switch {
			case c.want == "" && (err != nil || len(rep.Peers) != 1 || rep.Peers[0].Addr.String() != "10.0.0.1:1"):
				t.Errorf("%+v, %v, want the one peer", rep, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%+v, %v, want an error with %q", rep, err, c.want)
			}
		})
	}
}

func TestLostDatagramIsSentAgain(t *testing.T) {
	srv := tracker.New(tracker.Config{})
	lost := 0
	url := answerUDP(t, func(m []byte) [][]byte {
		if lost++; lost == 1 {
			return nil
		}
		return [][]byte{srv.HandleUDP(nil, m, netip.MustParseAddrPort("127.0.0.1:9"))}
	})
	if _, err := Once(t.Context(), nil, url, Request{Port: 1, Left: 1}); err != nil || srv.Stats().Peers != 1 {
		t.Errorf("error %v, %d peers, want one", err, srv.Stats().Peers)
	}
}

func TestClosedUDPPortFailsAtOnce(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "udp://" + pc.LocalAddr().String()
	pc.Close()
	from := time.Now()
	if _, err := Once(t.Context(), nil, url, Request{}); err == nil || time.Since(from) > 900*time.Millisecond {
		t.Errorf("error %v after %v, want refused at once", err, time.Since(from))
	}
}

// A socket is used again, and one whose tracker was restarted costs a round trip, no error.
func TestUDPSocketIsKept(t *testing.T) {
	srv := tracker.New(tracker.Config{})
	var mu sync.Mutex
	url := answerUDP(t, func(m []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		return [][]byte{srv.HandleUDP(nil, m, netip.MustParseAddrPort("127.0.0.1:9"))}
	})
	c, end := single(nil)
	defer end()
	announce := func(n int) {
		t.Helper()
		if _, err := c.announce(t.Context(), url, Request{InfoHash: [20]byte{byte(n)}, Port: 1, Left: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		announce(n)
	}
	if got := srv.Stats(); got.ConnectsUDP != 1 || got.AnnouncesUDP != 10 {
		t.Errorf("%d connects for %d announces, want 1 for 10", got.ConnectsUDP, got.AnnouncesUDP)
	}
	mu.Lock()
	srv = tracker.New(tracker.Config{})
	mu.Unlock()
	announce(1)
	mu.Lock()
	defer mu.Unlock()
	if got := srv.Stats(); got.ConnectsUDP != 1 || got.Peers != 1 {
		t.Errorf("after a restart: %+v, want one connect and the peer", got)
	}
}

// A name may stand for an address that nobody listens at besides the right one.
func TestUDPByName(t *testing.T) {
	_, urls := meet(t)
	url := strings.Replace(urls[1], "127.0.0.1", "localhost", 1)
	if _, err := Once(t.Context(), nil, url, Request{Port: 1, Left: 1}); err != nil {
		t.Errorf("%s: %v", url, err)
	}
}

func TestUnknownLeftIsNoSeed(t *testing.T) {
	srv, urls := meet(t)
	for i, url := range urls {
		if _, err := Once(t.Context(), nil, url, Request{InfoHash: [20]byte{byte(i)}, Port: 1, Left: -1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := srv.Stats(); got.Seeds != 0 || got.Leechers != 2 {
		t.Errorf("%+v, want two leechers", got)
	}
}

func TestHTTPKeepsTheURLsOwnQuery(t *testing.T) {
	var got http.Request
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = *r
		io.WriteString(w, "d8:intervali60ee")
	}))
	defer web.Close()
	_, err := Once(t.Context(), nil, web.URL+"/x/announce?passkey=a%26b#frag", Request{InfoHash: [20]byte{0, ' ', '%', '&', '+', 0xff}, UserAgent: "U/1", Site: "a b"})
	q := got.URL.Query()
	if err != nil || got.URL.Path != "/x/announce" || q.Get("passkey") != "a&b" || !strings.HasPrefix(q.Get("info_hash"), "\x00 %&+\xff\x00") ||
		q.Get("site") != "a b" || q.Get("compact") != "1" || got.UserAgent() != "U/1" || q.Has("event") {
		t.Errorf("error %v, asked %s as %q", err, got.URL, got.UserAgent())
	}
}

func TestOnceHonoursItsContext(t *testing.T) {
	for _, url := range []string{answerUDP(t, func([]byte) [][]byte { return nil }), "http://127.0.0.1:1/announce"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Once(ctx, nil, url, Request{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the context's error", url, err)
		}
	}
}

// Whatever a tracker answers to a scrape, only what was asked for comes out, and nothing negative.
func FuzzParseScrape(f *testing.F) {
	f.Add([]byte("d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1e10:downloadedi2e10:incompletei3eeee"))
	f.Add([]byte("d5:filesde14:failure reason2:noe"))
	f.Fuzz(func(t *testing.T, b []byte) {
		asked := [20]byte([]byte("aaaaaaaaaaaaaaaaaaaa"))
		got, err := parseScrape(b, [][20]byte{asked})
		if len(got) > 1 || err != nil && len(got) > 0 {
			t.Fatalf("%v, %v", got, err)
		}
		for h, c := range got {
			if h != asked || c.Seeders < 0 || c.Leechers < 0 || c.Downloaded < 0 {
				t.Fatalf("%x: %+v", h, c)
			}
		}
	})
}
