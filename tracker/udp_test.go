package tracker

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var peerA, peerB = netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("10.0.0.2:5000")

func connectPkt(transaction uint32) []byte {
	b := binary.BigEndian.AppendUint64(nil, protocolID)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, actionConnect), transaction)
}

// connect returns the connection id for an address.
func connect(t testing.TB, s *Server, from netip.AddrPort) []byte {
	t.Helper()
	out := s.HandleUDP(nil, connectPkt(77), from)
	if len(out) != 16 || binary.BigEndian.Uint64(out) != 77 {
		t.Fatalf("connect answered %x", out)
	}
	return out[8:]
}

func announcePkt(id []byte, hash [20]byte, peer, event, port int, left uint64, options string) []byte {
	b := append([]byte(nil), id...)
	b = binary.BigEndian.AppendUint32(b, actionAnnounce)
	b = binary.BigEndian.AppendUint32(b, 99)
	b = append(b, hash[:]...)
	b = append(b, make([]byte, 18)...)
	b = binary.BigEndian.AppendUint16(b, uint16(peer))
	b = binary.BigEndian.AppendUint64(b, 0)
	b = binary.BigEndian.AppendUint64(b, left)
	b = binary.BigEndian.AppendUint64(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(event))
	b = append(b, 9, 9, 9, 9) // an address that is not its own
	b = binary.BigEndian.AppendUint32(b, 0xabcd)
	b = binary.BigEndian.AppendUint32(b, 0xffffffff)
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	return append(b, options...)
}

func TestUDPAnnounceAndScrape(t *testing.T) {
	s := New(Config{})
	hash := hashNumber(1)
	s.HandleUDP(nil, announcePkt(connect(t, s, peerA), hash, 1, 2, 7001, 0, ""), peerA)
	out := s.HandleUDP([]byte("kept"), announcePkt(connect(t, s, peerB), hash, 2, 2, 7002, 5, ""), peerB)
	if string(out[:4]) != "kept" {
		t.Fatalf("HandleUDP does not append: %q", out)
	}
	out = out[4:]
	if len(out) != 26 || binary.BigEndian.Uint64(out) != 1<<32|99 {
		t.Fatalf("announce answered %x", out)
	}
	if interval := binary.BigEndian.Uint32(out[8:]); interval < 26 || interval > 30 {
		t.Errorf("interval %d, want about 30", interval)
	}
	if leechers, seeders := binary.BigEndian.Uint32(out[12:]), binary.BigEndian.Uint32(out[16:]); leechers != 1 || seeders != 1 {
		t.Errorf("leechers, seeders = %d, %d, want 1, 1", leechers, seeders)
	}
	if got := string(out[20:]); got != "\x0a\x00\x00\x01\x1b\x59" {
		t.Errorf("peers %x, want 10.0.0.1:7001", got)
	}
	pkt := append(connect(t, s, peerA), 0, 0, 0, 2, 1, 2, 3, 4)
	pkt = append(append(pkt, make([]byte, 20)...), hash[:]...)
	out = s.HandleUDP(nil, pkt, peerA)
	want := "\x00\x00\x00\x02\x01\x02\x03\x04" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01"
	if string(out) != want {
		t.Errorf("scrape answered %x, want %x", out, want)
	}
}

func TestUDPOverIPv6(t *testing.T) {
	s := New(Config{})
	for n := range 300 {
		from := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 14: byte(n >> 8), 15: byte(n)}), 5000)
		out := s.HandleUDP(nil, announcePkt(connect(t, s, from), hashNumber(1), n, 0, 7000, 5, ""), from)
		if want := 20 + 18*min(n, 50); len(out) != want {
			t.Fatalf("peer %d got %d bytes, want %d", n, len(out), want)
		}
	}
	from := netip.MustParseAddrPort("[2001::1]:5000")
	pkt := announcePkt(connect(t, s, from), hashNumber(1), 999, 0, 7001, 5, "")
	binary.BigEndian.PutUint32(pkt[92:], 1000) // numwant
	if out := s.HandleUDP(nil, pkt, from); len(out) != 20+18*67 {
		t.Errorf("%d bytes for 1000 peers wanted, want 67 peers: what fits 1232 bytes", len(out))
	}
	mapped := netip.MustParseAddrPort("[::ffff:10.0.0.1]:5000")
	if out := s.HandleUDP(nil, announcePkt(connect(t, s, peerA), hashNumber(2), 1, 0, 7001, 5, ""), mapped); len(out) != 20 {
		t.Errorf("a mapped IPv4 address is another source than the IPv4 address: %q", out)
	}
}

func TestUDPOptions(t *testing.T) {
	site := siteOf([]byte("berlin 2"))
	url := func(data string) string { return "\x02" + string(rune(len(data))) + data }
	for _, c := range []struct {
		name, options string
		want          uint32
	}{
		{"none", "", 0},
		{"end comes first", "\x00" + url("/?site=berlin+2"), 0},
		{"one", url("/announce?site=berlin+2"), site},
		{"escaped, after others", "\x01\x09\x02xx\x01" + url("/?site=berlin%202"), site},
		{"in pieces", url("/?a=b&s") + url("") + url("ite=berlin+2") + "\x00junk", site},
		{"cut", url("/?site=berlin+2")[:12], 0},
		{"the next one cut", url("/?site=berlin+2") + "\x02", site},
		{"in the path", url("/site=berlin+2"), 0},
		{"too long", url("/?site=" + strings.Repeat("x", maxSite+1)), 0},
	} {
		s := New(Config{})
		s.HandleUDP(nil, announcePkt(connect(t, s, peerA), hashNumber(1), 1, 0, 7001, 1, c.options), peerA)
		sw := s.store.shard(&[20]byte{1}).swarms.get(new(hashNumber(1)))
		if got := sw.v4.details[0].site; got != c.want {
			t.Errorf("%s: site %x, want %x", c.name, got, c.want)
		}
	}
}

func TestConnectionIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		for range 8 * 60 { // at each second of several ticks, and past the wrap of the low byte
			id := connect(t, s, peerA)
			if id[0] != 0 {
				t.Fatalf("id %x does not begin with a zero byte", id)
			}
			at := tickAt(time.Now())
			for _, c := range []struct {
				name string
				from netip.AddrPort
				age  uint32
				want bool
			}{
				{"at once", peerA, 0, true},
				{"another port", netip.AddrPortFrom(peerA.Addr(), 1), 0, true},
				{"after two minutes", peerA, connIDTicks, true},
				{"another address", peerB, 0, false},
				{"after 150 s", peerA, connIDTicks + 1, false},
				{"when the low byte is the same again", peerA, 256, false},
			} {
				if got := s.connIDGood(id, c.from.Addr(), at+c.age); got != c.want {
					t.Fatalf("id of tick %d, %s: good = %v, want %v", at, c.name, got, c.want)
				}
			}
			id[7] ^= 1
			if s.connIDGood(id, peerA.Addr(), at) {
				t.Fatalf("a changed id is good")
			}
			time.Sleep(time.Second)
		}
		if New(Config{}).connIDGood(connect(t, s, peerA), peerA.Addr(), tickAt(time.Now())) {
			t.Errorf("another tracker's id is good")
		}
	})
}

func TestStrangersGetNoMoreThanTheySend(t *testing.T) {
	s := New(Config{})
	good := announcePkt(connect(t, s, peerA), hashNumber(1), 1, 0, 7001, 5, "")
	out := s.HandleUDP(nil, good, peerB) // spoofed or replayed: B never connected
	if len(out) >= scrapeLen || string(out[8:]) != string(failConnID) {
		t.Errorf("a foreign connection id got %q", out)
	}
	if s.Stats().Peers != 0 {
		t.Errorf("a foreign connection id listed a peer")
	}
	if again := s.HandleUDP(nil, out, peerA); len(again) != 0 {
		t.Errorf("an error of another tracker was answered: %q", again)
	}
	if again := s.HandleUDP(nil, s.HandleUDP(nil, connectPkt(0), peerA), peerA); len(again) != 0 {
		t.Errorf("a connect answer of another tracker was answered: %q", again)
	}
	for n := range good {
		if out := s.HandleUDP(nil, good[:n], peerB); len(out) > 0 {
			t.Errorf("%d bytes of an announce from nowhere got %q", n, out)
		}
	}
	if out := s.HandleUDP(nil, good[:97], peerA); string(out[8:]) != string(failMalformed) {
		t.Errorf("a short announce got %q", out)
	}
}

func TestUDPRefusal(t *testing.T) {
	s := New(Config{Allow: func([20]byte) bool { return false }})
	out := s.HandleUDP(nil, announcePkt(connect(t, s, peerA), hashNumber(1), 1, 0, 7001, 5, ""), peerA)
	if got, want := string(out), "\x00\x00\x00\x03\x00\x00\x00\x63"+string(failRefused); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Whatever comes, an answer is bounded; to who has no connection id it is no longer than the question, and is itself never answered.
func FuzzUDP(f *testing.F) {
	s := New(Config{MaxPeers: 500, MaxSwarms: 50})
	f.Add(connectPkt(1), true)
	f.Add(announcePkt(make([]byte, 8), hashNumber(1), 1, 2, 7, 1, "\x02\x09/?site=ab\x00"), true)
	f.Add(announcePkt(make([]byte, 8), hashNumber(1), 1, 3, 7, 1, ""), false)
	f.Add(append(make([]byte, 8), "\x00\x00\x00\x02abcdaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb"...), true)
	f.Fuzz(func(t *testing.T, pkt []byte, connected bool) {
		if connected && len(pkt) >= 8 {
			pkt = append(s.HandleUDP(nil, connectPkt(1), peerA)[8:16:16], pkt[8:]...)
		}
		out := s.HandleUDP(nil, pkt, peerA)
		switch {
		case len(out) == 0:
			return
		case len(out) < 8 || len(out) > 1232:
			t.Fatalf("%x got %d bytes", pkt, len(out))
		case string(out[4:8]) != string(pkt[12:16]):
			t.Fatalf("%x got another's transaction id: %x", pkt, out)
		}
		action := binary.BigEndian.Uint32(out)
		if !connected && (action != actionConnect && action != actionError || len(out) > len(pkt)) {
			t.Fatalf("%x from nowhere got %x", pkt, out)
		}
		if action == actionConnect || action == actionError {
			if again := s.HandleUDP(nil, out, peerA); len(again) > 0 {
				t.Fatalf("the answer %x was answered with %x", out, again)
			}
		}
		if action == actionAnnounce && (len(out)-20)%6 != 0 || action == actionScrape && len(out) > len(pkt) {
			t.Fatalf("%x got %x", pkt, out)
		}
		if st := s.Stats(); st.Peers > 500 || st.Swarms > 50 {
			t.Fatalf("beyond the bounds: %+v", st)
		}
	})
}

// otherConn hides that a connection is a UDP socket.
type otherConn struct{ net.PacketConn }

func TestServeUDP(t *testing.T) {
	for name, wrap := range map[string]func(net.PacketConn) net.PacketConn{
		"socket":      func(c net.PacketConn) net.PacketConn { return c },
		"packet conn": func(c net.PacketConn) net.PacketConn { return otherConn{c} },
	} {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		ctx, cancel := context.WithCancel(t.Context())
		s := New(Config{})
		var done sync.WaitGroup
		for range 2 {
			done.Go(func() {
				if err := s.ServeUDP(ctx, wrap(pc)); err != nil {
					t.Errorf("%s: ServeUDP: %v", name, err)
				}
			})
		}
		c, err := net.Dial("udp", pc.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 2048)
		c.Write([]byte("d1:q4:ping"))
		c.Write(connectPkt(5))
		n, err := c.Read(buf)
		if err != nil || n != 16 {
			t.Fatalf("%s: connect: %d bytes, %v", name, n, err)
		}
		c.Write(announcePkt(buf[8:16], hashNumber(1), 1, 2, 7001, 5, ""))
		if n, err = c.Read(buf); err != nil || n != 20 {
			t.Fatalf("%s: announce: %d bytes, %v", name, n, err)
		}
		cancel()
		done.Wait()
		if got := s.Stats(); got.Peers != 1 || got.AnnouncesUDP != 1 || got.ConnectsUDP != 1 {
			t.Errorf("%s: %+v, want one peer, announce and connect", name, got)
		}
	}
}
