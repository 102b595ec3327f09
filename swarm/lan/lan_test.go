package lan

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// What stands in BEP 14, and what libtorrent 2.0.8 was seen to send.
func TestMessage(t *testing.T) {
	h := [20]byte{0: 0xab, 19: 1}
	for _, c := range []struct {
		name, text string
		want       message
	}{
		{"BEP 14", "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: ab00000000000000000000000000000000000001\r\ncookie: 1a2b\r\n\r\n\r\n",
			message{6881, [][20]byte{h}, "1a2b"}},
		{"two, upper case, no cookie, other headers", "BT-SEARCH * HTTP/1.1\r\nhost: x\r\nINFOHASH:AB00000000000000000000000000000000000001\r\nX-New: y\r\nInfohash: 0000000000050000000000000000000000000000\r\nport: 1\r\n\r\n",
			message{1, [][20]byte{h, {5: 5}}, ""}},
		{"a hash that is none", "BT-SEARCH * HTTP/1.1\r\nPort: 65535\r\nInfohash: xyz\r\nInfohash: zz00000000000000000000000000000000000001\r\n\r\n", message{65535, nil, ""}},
		{"not ended", "BT-SEARCH * HTTP/1.1\r\nPort: 5\r\n", message{5, nil, ""}},
	} {
		got, err := parse([]byte(c.text))
		if err != nil || !same(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for _, bad := range []string{
		"", "BT-SEARCH * HTTP/1.1", "M-SEARCH * HTTP/1.1\r\nPort: 1\r\n\r\n", "BT-SEARCH * HTTP/1.1\r\nInfohash: ab\r\n\r\n",
		"BT-SEARCH * HTTP/1.1\r\nPort: 0\r\n\r\n", "BT-SEARCH * HTTP/1.1\r\nPort: 65536\r\n\r\n", "BT-SEARCH * HTTP/1.1\r\nPort: -1\r\n\r\n",
		"BT-SEARCH * HTTP/1.1\r\nPort: 5\r\n\r\n" + strings.Repeat("x", maxDatagram),
	} {
		if m, err := parse([]byte(bad)); err == nil {
			t.Errorf("%.60q was read as %+v", bad, m)
		}
	}
	full := message{Port: 65535, Cookie: strings.Repeat("c", 16)}
	for i := range maxHashes {
		full.Hashes = append(full.Hashes, [20]byte{byte(i)})
	}
	if b := full.append(nil, "[ff15::efc0:988f]:6771"); len(b) > maxDatagram {
		t.Errorf("a full message has %d bytes, want %d at most", len(b), maxDatagram)
	}
}

func same(a, b message) bool {
	return a.Port == b.Port && a.Cookie == b.Cookie && slices.Equal(a.Hashes, b.Hashes)
}

func FuzzMessage(f *testing.F) {
	f.Add(message{6881, [][20]byte{{1}, {2}}, "cookie"}.append(nil, "239.192.152.143:6771"))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: " + strings.Repeat("a", 40) + "\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if m.Port < 1 || m.Port > 65535 || len(m.Hashes) > maxHashes || len(m.Cookie) > maxCookie || len(b) > maxDatagram {
			t.Fatalf("%q was read as %+v", b, m)
		}
		if m.Cookie = strings.Map(func(r rune) rune {
			if r < '!' || r > '~' {
				return -1
			}
			return r
		}, m.Cookie); len(m.Cookie) > maxCookie {
			return
		}
		sent := m.append(nil, "239.192.152.143:6771")
		if again, err := parse(sent); len(sent) <= maxDatagram && (err != nil || !same(again, m)) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

func TestAnnouncementsHaveTheirTime(t *testing.T) {
	now := time.Now()
	x := newTable()
	for i := range 60 {
		x.add([20]byte{byte(i)}, now)
		x.add([20]byte{byte(i)}, now.Add(-time.Hour)) // a second time changes nothing
	}
	said := make(map[[20]byte]int)
	take := func() (n int) {
		for {
			hashes, next := x.due(now, maxHashes)
			if len(hashes) > maxHashes {
				t.Fatalf("%d in one datagram", len(hashes))
			}
			for _, h := range hashes {
				said[h]++
			}
			if n += len(hashes); next.After(now) {
				return n
			}
		}
	}
	if n := take(); n != 60 {
		t.Errorf("at first %d are announced, want all 60", n)
	}
	now = now.Add(again - time.Second)
	if n := take(); n != 0 {
		t.Errorf("%d are announced twice within a minute", n)
	}
	now = now.Add(time.Second)
	if n := take(); n != 60 {
		t.Errorf("after a minute %d are announced, want all", n)
	}
	now = now.Add(interval - time.Second)
	if n := take(); n != 0 {
		t.Errorf("%d are announced again before their time", n)
	}
	x.remove([20]byte{1})
	now = now.Add(time.Second)
	if n := take(); n != 59 || said[[20]byte{1}] != 2 || said[[20]byte{2}] != 3 {
		t.Errorf("after five minutes %d are announced; %d and %d times", n, said[[20]byte{1}], said[[20]byte{2}])
	}
}

func TestNeighboursAreRememberedForAWhile(t *testing.T) {
	now := time.Now()
	x := newTable()
	h := [20]byte{1}
	x.add(h, now)
	ip := netip.MustParseAddr("10.0.0.7")
	m := message{Port: 7070, Hashes: [][20]byte{{9}, h}}
	common, fresh := x.took(m, ip, now)
	if !slices.Equal(common, [][20]byte{h}) || !slices.Equal(fresh, [][20]byte{h}) {
		t.Errorf("common %v, fresh %v", common, fresh)
	}
	if common, fresh = x.took(m, ip, now.Add(time.Minute)); len(common) != 1 || len(fresh) != 0 {
		t.Errorf("the second time common %v, fresh %v", common, fresh)
	}
	for _, c := range []struct {
		a     string
		after time.Duration
		want  bool
	}{{"10.0.0.7:7070", 0, true}, {"10.0.0.7:7071", 0, false}, {"10.0.0.8:7070", 0, false}, {"10.0.0.7:7070", forgotten, true}, {"10.0.0.7:7070", forgotten + 2*time.Minute, false}} {
		if got := x.has(h, netip.MustParseAddrPort(c.a), now.Add(c.after)); got != c.want {
			t.Errorf("%s after %v: %v, want %v", c.a, c.after, got, c.want)
		}
	}
	for i := range 3 * maxNeighbours {
		x.took(message{Port: 1 + i, Hashes: [][20]byte{h}}, ip, now.Add(2*time.Minute))
	}
	if n := len(x.torrents[h].heard); n != maxNeighbours || x.remembered != n {
		t.Errorf("%d neighbours are remembered, %d in all; want %d", n, x.remembered, maxNeighbours)
	}
	later := now.Add(forgotten + 10*time.Minute) // room is made of those that were not heard again
	at := netip.MustParseAddrPort("10.0.0.7:9999")
	if x.took(message{Port: 9999, Hashes: m.Hashes}, ip, later); !x.has(h, at, later) || x.remembered != 1 {
		t.Errorf("a neighbour that comes later is remembered: %v, with %d others", x.has(h, at, later), x.remembered-1)
	}
	x.remove(h)
	if x.remembered != 0 || x.has(h, at, later) {
		t.Errorf("%d are remembered of a torrent that is gone", x.remembered)
	}
}

// cable is a network of Discoveries without sockets: each hears all but itself.
type cable struct {
	mu     sync.Mutex
	nodes  map[netip.Addr]*Discovery
	groups map[netip.Addr]*group
	sent   int
}

func newCable() *cable {
	return &cable{nodes: make(map[netip.Addr]*Discovery), groups: make(map[netip.Addr]*group)}
}

// plug connects one, which then takes part as Run would have it.
func (n *cable) plug(d *Discovery, addr string) *group {
	me := netip.MustParseAddr(addr)
	g := newGroup("239.192.152.143:6771", "239.192.152.143:6771")
	g.links[1] = link{Interface: net.Interface{Index: 1}, networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	g.sendOn = func(b []byte, ifIndex int, to netip.AddrPort) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.sent++
		if to.Port() != 6771 {
			return errors.New("to another port")
		}
		for a, other := range n.nodes {
			if to == g.addr || to.Addr() == a { // a group's own machine hears it as well
				from := netip.AddrPortFrom(me, 40000)
				go other.took(n.groups[a], bytes.Clone(b), to != g.addr, from)
			}
		}
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes[me] = d
	n.groups[me] = g
	return g
}

// Who comes later is found by who was there, and told of it at once; nobody finds itself.
func TestBothFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := [20]byte{1}
		n := newCable()
		var mu sync.Mutex
		found := make(map[string][]netip.AddrPort)
		start := func(name, addr string) *Discovery {
			d := New(Config{Port: 7070, Found: func(_ [20]byte, a netip.AddrPort, told bool) {
				if told != (name == "b") { // who comes later is answered
					t.Errorf("%s is told of: %v", name, told)
				}
				mu.Lock()
				defer mu.Unlock()
				found[name] = append(found[name], a)
			}})
			g := n.plug(d, addr)
			d.Add(h)
			d.announce([]*group{g})
			synctest.Wait()
			return d
		}
		a := start("a", "10.0.0.1")
		time.Sleep(30 * time.Second)
		b := start("b", "10.0.0.2")
		want := map[string][]netip.AddrPort{"a": {netip.MustParseAddrPort("10.0.0.2:7070")}, "b": {netip.MustParseAddrPort("10.0.0.1:7070")}}
		for name, w := range want {
			if !slices.Equal(found[name], w) {
				t.Errorf("%s found %v, want %v", name, found[name], w)
			}
		}
		if !a.Heard(h, want["a"][0]) || !b.Heard(h, want["b"][0]) || a.Heard(h, want["b"][0]) {
			t.Error("they do not remember each other, or themselves")
		}
		if n.sent != 3 { // both announcements, and one answer
			t.Errorf("%d datagrams were sent, want 3", n.sent)
		}
		// A flood of announcements is not answered with one.
		g := n.groups[netip.MustParseAddr("10.0.0.1")]
		before := n.sent
		for i := range 1000 {
			a.took(g, message{Port: 1 + i, Hashes: [][20]byte{h}}.append(nil, "x"), false, netip.MustParseAddrPort("10.0.0.9:5"))
		}
		if n.sent-before > 60 {
			t.Errorf("%d answers to a flood", n.sent-before)
		}
	})
}

// Only neighbours are heard: whoever sends from elsewhere is not one.
func TestFarAwayIsNotHeard(t *testing.T) {
	g := newGroup("239.192.152.143:6771", "x")
	g.links[3] = link{Interface: net.Interface{Index: 3}, networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/64")}}
	g.links[4] = link{Interface: net.Interface{Index: 4}, networks: []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24")}}
	for _, c := range []struct {
		from  string
		index int
		want  bool
	}{
		{"10.1.2.3:6771", 3, true}, {"10.1.2.3:6771", 0, true}, {"10.1.2.3:6771", 4, false}, {"192.168.1.9:1", 4, true}, {"10.2.0.1:6771", 3, false},
		{"203.0.113.5:6771", 3, false}, {"[2001:db8::7]:6771", 3, true}, {"[2001:db9::7]:6771", 3, false}, {"[fe80::1%eth0]:6771", 3, true}, {"10.1.2.3:6771", 9, false},
		{"[::ffff:10.1.2.3]:6771", 3, true},
	} {
		g.receiveOn = func(b []byte) (int, int, bool, net.Addr, error) {
			return copy(b, "hello"), c.index, true, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.from)), nil
		}
		n, alone, from, err := g.receive(make([]byte, 100))
		if n != 5 || !alone || err != nil || from.IsValid() != c.want {
			t.Errorf("from %s by interface %d: %v, %v; want heard: %v", c.from, c.index, from, err, c.want)
		}
		if from.IsValid() && from.Addr().Is4In6() {
			t.Errorf("%v is a mapped address", from)
		}
	}
}

// A node that nobody can dial says nothing, and one on loopback takes part in nothing.
func TestWhoHasNoPortIsSilent(t *testing.T) {
	n := newCable()
	d := New(Config{})
	g := n.plug(d, "10.0.0.1")
	d.Add([20]byte{1})
	d.announce([]*group{g})
	d.took(g, message{Port: 5, Hashes: [][20]byte{{1}}}.append(nil, "x"), false, netip.MustParseAddrPort("10.0.0.9:5"))
	if n.sent != 0 || !d.Heard([20]byte{1}, netip.MustParseAddrPort("10.0.0.9:5")) {
		t.Errorf("%d datagrams were sent", n.sent)
	}
	for _, l := range New(Config{}).interfaces(netip.IPv4Unspecified()) {
		if l.Flags&net.FlagLoopback != 0 {
			t.Errorf("%s is used without being asked for", l.Name)
		}
	}
}

// What no network takes is sent again soon, and a network that is new hears of everything.
func TestNetworksThatComeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newCable()
		d := New(Config{Port: 7070})
		g := n.plug(d, "10.0.0.1")
		up := false
		send := g.sendOn
		g.sendOn = func(b []byte, i int, to netip.AddrPort) error {
			if !up {
				return errors.New("network is unreachable")
			}
			return send(b, i, to)
		}
		d.Add([20]byte{1})
		if wait := d.announce([]*group{g}); wait != retry {
			t.Errorf("comes back after %v, want %v", wait, retry)
		}
		up = true
		time.Sleep(retry)
		d.announce([]*group{g})
		if n.sent != 1 {
			t.Errorf("%d datagrams were sent once it was possible, want 1", n.sent)
		}
		time.Sleep(10 * time.Second)
		d.announce([]*group{g})
		if n.sent != 1 {
			t.Errorf("%d datagrams within ten seconds", n.sent)
		}
		joined := 0
		g.joinOn = func(*net.Interface) error { joined++; return nil }
		eth1 := link{Interface: net.Interface{Index: 2}}
		if !g.join([]link{g.links[1], eth1}) || g.join([]link{g.links[1], eth1}) || joined != 1 {
			t.Errorf("joined %d times", joined)
		}
		d.table.hasten(time.Now())
		d.announce([]*group{g})
		if n.sent != 3 {
			t.Errorf("%d datagrams were sent, want one more by each interface", n.sent)
		}
		if g.join([]link{eth1}); len(g.links) != 1 {
			t.Errorf("%d interfaces, want the other forgotten", len(g.links))
		}
	})
}
