package swarm

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// Peers that know a hub alone find each other through it; those of a private torrent do not.
func TestHubTellsPeersOfEachOther(t *testing.T) {
	t.Parallel()
	for _, private := range []bool{false, true} {
		t.Run(fmt.Sprintf("private %v", private), func(t *testing.T) {
			t.Parallel()
			tor, path, want := makeContent(t, 1<<20, piece.BuildConfig{PieceLength: 64 << 10, Private: private})
			hub := newMachine(t, Config{LimitUp: 200 << 10})
			add(t, hub, Spec{Torrent: tor, Content: path})
			first, second := newMachine(t, Config{}), newMachine(t, Config{})
			dir1, dir2 := t.TempDir(), t.TempDir()
			tr1 := add(t, first, Spec{Torrent: tor, Dir: dir1, Peers: []string{hub.addr}})
			until(t, "the first is there", func() bool { return tr1.Stats().Peers == 1 })
			tr2 := add(t, second, Spec{Torrent: tor, Dir: dir2, Peers: []string{hub.addr}})
			if !private {
				until(t, "they have met", func() bool { return tr1.Stats().Connected >= 2 && tr2.Stats().Connected >= 2 })
			}
			wait(t, tr1, 30*time.Second)
			wait(t, tr2, 30*time.Second)
			sameFile(t, filepath.Join(dir2, "release.bin"), want)
			if private && tr1.Stats().Connected+tr2.Stats().Connected != 2 {
				t.Errorf("%d and %d connections, want one each, to the hub", tr1.Stats().Connected, tr2.Stats().Connected)
			}
		})
	}
}

// pexBench is a session with peers at addresses of their own.
func pexBench(t *testing.T, n int) (*bench, []*conn) {
	t.Helper()
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	b := newBench(tor, want)
	t.Cleanup(b.stop)
	b.t.node.cfg.MaxPeers = n + 10
	var cs []*conn
	for i := range n {
		c := b.peer(byte(1 + i))
		c.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), 1}), 6881)
		cs = append(cs, c)
	}
	return b, cs
}

func TestPexNews(t *testing.T) {
	b, cs := pexBench(t, 80)
	to := cs[0]
	to.pex.id = 7
	cs[1].inbound = true // nobody can dial it, as far as we know
	cs[2].inbound, cs[2].listen, cs[2].seed, cs[2].wantsSealed = true, 1234, true, true
	cs[3].addr = netip.MustParseAddrPort("127.0.0.1:5")
	cs[4].addr = netip.MustParseAddrPort("[fe80::1%eth0]:5")
	cs[5].addr = netip.MustParseAddrPort("10.0.0.1:5")
	cs[6].addr = netip.MustParseAddrPort("[2001:db8::1]:5")
	x := to.pexNews(b.conns)
	if len(x.Added) != wire.MaxPex || len(x.Dropped) != 0 {
		t.Errorf("%d added and %d dropped, want %d and none", len(x.Added), len(x.Dropped), wire.MaxPex)
	}
	y := to.pexNews(b.conns)
	flags := make(map[netip.AddrPort]byte)
	for _, a := range append(x.Added, y.Added...) {
		if _, twice := flags[a.Addr]; twice {
			t.Errorf("%v is told twice", a.Addr)
		}
		flags[a.Addr] = a.Flags
	}
	if len(flags) != 80-1-4 {
		t.Errorf("%d peers are told, want all but itself and four that it cannot dial", len(flags))
	}
	if _, ok := flags[to.addr]; ok {
		t.Error("it is told of itself")
	}
	for a, want := range map[string]byte{"198.51.2.1:1234": wire.PexSeed | wire.PexEncrypts, "[2001:db8::1]:5": wire.PexReachable} {
		if got, ok := flags[netip.MustParseAddrPort(a)]; !ok || got != want {
			t.Errorf("%s has flags %#x, told %v; want %#x", a, got, ok, want)
		}
	}
	if z := to.pexNews(b.conns); len(z.Added)+len(z.Dropped) != 0 {
		t.Errorf("news without anything new: %+v", z)
	}
	b.end(cs[10], errFull)
	if z := to.pexNews(b.conns); len(z.Added) != 0 || len(z.Dropped) != 1 || z.Dropped[0] != cs[10].addr {
		t.Errorf("one has left: %+v", z)
	}
	to.seed = true // who has everything has no use for others who have
	to.pex.told = nil
	for _, a := range to.pexNews(b.conns).Added {
		if a.Flags&wire.PexSeed != 0 {
			t.Errorf("a seed is told of the seed %v", a.Addr)
		}
	}
	to.role, to.pex.told = RoleOrigin, nil // an edge stands between its origin and its machines
	if b.t.node.cfg.Role = RoleEdge; len(to.pexNews(b.conns).Added) > 0 {
		t.Error("an edge tells its origin of its machines")
	}
	for _, a := range cs[7].pexNews(b.conns).Added {
		if a.Addr == to.addr {
			t.Error("an edge tells its machines of its origin")
		}
	}
	to.role, b.t.node.cfg.Role = RolePeer, RolePeer
	// Not more often than once a minute, and only if there is anything to say.
	now := b.now()
	b.exchange(now.Add(2 * time.Second))
	at := to.pex.at
	b.exchange(now.Add(pexTime))
	if to.pex.at != at {
		t.Error("told twice within a minute")
	}
}

func TestTakingPex(t *testing.T) {
	b, cs := pexBench(t, 2)
	c := cs[0]
	b.t.node.cfg.Admit = func(a netip.Addr) bool { return a != netip.MustParseAddr("203.0.113.66") }
	b.self = netip.MustParseAddrPort("203.0.113.5:7070")
	b.t.node.cfg.MaxPeers = 2 // so that nobody is dialled
	say := func(addrs ...string) {
		t.Helper()
		var x wire.Pex
		for _, a := range addrs {
			x.Added = append(x.Added, wire.PexPeer{Addr: netip.MustParseAddrPort(a), Flags: wire.PexEncrypts})
		}
		if err := b.tookPex(c, x.Append(nil, 1)[6:]); err != nil {
			t.Fatal(err)
		}
	}
	say("203.0.113.1:80", "203.0.113.66:80", "203.0.113.5:7070", "127.0.0.1:80", "192.168.1.1:80", "169.254.1.1:80", "[2001:db8::1]:80")
	for a, want := range map[string]bool{"203.0.113.1:80": true, "203.0.113.66:80": false, "203.0.113.5:7070": false, "127.0.0.1:80": false,
		"192.168.1.1:80": false, "169.254.1.1:80": false, "[2001:db8::1]:80": true} {
		if got := b.book.known[netip.MustParseAddrPort(a)] != nil; got != want {
			t.Errorf("%s is known: %v, want %v", a, got, want)
		}
	}
	if e := b.book.known[netip.MustParseAddrPort("203.0.113.1:80")]; e == nil || e.way != sealed {
		t.Errorf("%+v: want one that is dialled encrypted", e)
	}
	say("203.0.113.2:80")
	if b.book.known[netip.MustParseAddrPort("203.0.113.2:80")] != nil {
		t.Error("a second message within a minute was taken")
	}
	for i := range 100 { // for as long as it likes, from as many as like
		c.pex.heard = time.Time{}
		var many []string
		for j := range wire.MaxPex {
			many = append(many, fmt.Sprintf("198.18.%d.%d:80", i, j))
		}
		say(many...)
	}
	if n := len(b.book.known); n > maxPexTaken+2 {
		t.Errorf("%d addresses are known on one peer's word", n)
	}
	c = cs[1]
	for i := range 100 {
		c.pex.heard = time.Time{}
		say(fmt.Sprintf("198.19.%d.1:80", i))
	}
	if n := len(b.book.known); n > maxPexKnown {
		t.Errorf("%d addresses are known on peers' word, want %d at most", n, maxPexKnown)
	}
	b.book.heard(netip.MustParseAddrPort("203.0.113.200:1"), b.now())
	if b.book.known[netip.MustParseAddrPort("203.0.113.200:1")] == nil {
		t.Error("there is no room for what a tracker says")
	}
	b.t.spec.Private = true
	c.pex.heard = time.Time{}
	say("203.0.113.77:80")
	if b.book.known[netip.MustParseAddrPort("203.0.113.77:80")] != nil {
		t.Error("a private torrent's peer was taken from a peer")
	}
}

func TestPlausible(t *testing.T) {
	for _, c := range []struct {
		from, a string
		want    bool
	}{
		{"203.0.113.1", "203.0.113.2", true},
		{"203.0.113.1", "10.0.0.1", false},
		{"10.0.0.7", "10.0.0.1", true},
		{"10.0.0.7", "203.0.113.1", true},
		{"10.0.0.7", "127.0.0.1", false},
		{"127.0.0.1", "127.0.0.1", true},
		{"::ffff:127.0.0.1", "127.0.0.2", true},
		{"2001:db8::1", "fd00::1", false},
		{"fd00::2", "fd00::1", true},
		{"10.0.0.7", "169.254.0.1", false},
		{"fe80::1", "fe80::2", false},
		{"203.0.113.1", "::ffff:10.0.0.1", false},
	} {
		if got := plausible(netip.MustParseAddr(c.from), netip.MustParseAddr(c.a)); got != c.want {
			t.Errorf("%s tells of %s: %v, want %v", c.from, c.a, got, c.want)
		}
	}
}
