package dht

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	lib "github.com/anacrolix/dht/v2"
	"pgregory.net/rapid"
)

func TestSecureIDs(t *testing.T) {
	// BEP 42's examples: address, the random byte, the first bytes and the last.
	for _, c := range []struct {
		ip, id string
	}{
		{"124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"},
		{"21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"},
		{"65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"},
		{"84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"},
		{"43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"},
	} {
		b, _ := hex.DecodeString(c.id)
		ip := netip.MustParseAddr(c.ip)
		if !isSecure(ID(b), ip) {
			t.Errorf("%s is not taken for an ID of %s", c.id, ip)
		}
		b[0] ^= 1
		if isSecure(ID(b), ip) {
			t.Errorf("%x is taken for an ID of %s", b, ip)
		}
	}
	for _, s := range []string{"8.8.8.8", "2600::1", "2a01:4f8::5"} {
		ip := netip.MustParseAddr(s)
		id := secureID(ip)
		if !isSecure(id, ip) || !lib.NodeIdSecure(id, ip.AsSlice()) {
			t.Errorf("%s is not an ID for %s", id, ip)
		}
		if isSecure(randomNear(id, 3), ip) {
			t.Errorf("any ID is taken at %s", ip)
		}
	}
	if !isSecure(randomID(), netip.MustParseAddr("192.168.1.1")) {
		t.Error("an address that is not public wants a certain ID")
	}
}

func TestRoutable(t *testing.T) {
	for s, want := range map[string]bool{"8.8.8.8": true, "2600::1": true, "::ffff:8.8.8.8": true, "127.0.0.1": false, "10.1.2.3": false, "192.168.0.1": false,
		"172.16.5.5": false, "100.64.0.1": false, "192.0.2.2": false, "198.51.100.1": false, "203.0.113.9": false, "198.18.0.1": false, "169.254.1.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "0.1.2.3": false, "224.0.0.1": false, "::1": false, "fe80::1": false, "fd00::2": false, "2001:db8::1": false,
		"64:ff9b::1": false, "::": false} {
		if got := Routable(netip.MustParseAddr(s)); got != want {
			t.Errorf("Routable(%s) = %v", s, got)
		}
	}
}

func TestRandomNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, n := randomID(), rapid.IntRange(0, 159).Draw(t, "bits")
		if got := sharedBits(id, randomNear(id, n)); got != n {
			t.Fatalf("%d bits shared, want %d", got, n)
		}
	})
}

// The table is what a naive one would be: of those who answered, nearest names the closest, in order.
func TestNearestAreNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tb := table{self: randomID()}
		now := time.Now()
		for i := range rapid.IntRange(0, 400).Draw(t, "nodes") {
			tb.answered(contact{randomID(), node(i)}, now)
		}
		all := tb.all(now)
		if len(all) != tb.size {
			t.Fatalf("%d nodes, and its size is %d", len(all), tb.size)
		}
		target := randomID()
		slices.SortFunc(all, func(a, b contact) int {
			if closer(target, a.id, b.id) {
				return -1
			}
			return 1
		})
		n := rapid.IntRange(1, 20).Draw(t, "asked for")
		if got := tb.nearest(target, n, now, true); !slices.Equal(got, all[:min(n, len(all))]) {
			t.Fatalf("nearest %d: %v\nwant %v", n, got, all[:min(n, len(all))])
		}
	})
}

func node(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 7070)
}

func public(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, byte(i >> 16), byte(i >> 8), byte(i)}), 7070)
}

func TestTable(t *testing.T) {
	now := time.Now()
	self := ID{}
	far := func(i int) ID { return ID{0x80, byte(i), 1} }
	full := func() *table {
		tb := &table{self: self}
		for i := range bucketSize {
			tb.answered(contact{far(i), node(i)}, now)
		}
		return tb
	}
	t.Run("who has only asked is not in it", func(t *testing.T) {
		tb := &table{self: self}
		if !tb.heard(contact{far(1), node(1)}, now) || tb.size != 0 {
			t.Error("a stranger is to be asked, not believed")
		}
	})
	t.Run("a newcomer does not push out who lives", func(t *testing.T) {
		tb := full()
		tb.answered(contact{far(99), node(99)}, now)
		if tb.size != bucketSize || slices.Contains(tb.all(now), contact{far(99), node(99)}) {
			t.Errorf("%d nodes", tb.size)
		}
	})
	t.Run("a newcomer takes the place of who is silent", func(t *testing.T) {
		tb := full()
		tb.failed(contact{far(3), node(3)})
		tb.answered(contact{far(99), node(99)}, now)
		if l := tb.all(now); tb.size != bucketSize || !slices.Contains(l, contact{far(99), node(99)}) || slices.Contains(l, contact{far(3), node(3)}) {
			t.Errorf("%v", l)
		}
	})
	t.Run("who stays silent goes", func(t *testing.T) {
		tb := full()
		for range maxFails {
			tb.failed(contact{far(3), node(3)})
		}
		if tb.size != bucketSize-1 {
			t.Errorf("%d nodes", tb.size)
		}
	})
	t.Run("nobody takes another's ID", func(t *testing.T) {
		tb := full()
		tb.answered(contact{far(3), node(77)}, now)
		if !slices.Contains(tb.all(now), contact{far(3), node(3)}) {
			t.Error("the ID has moved")
		}
	})
	t.Run("one ID an address", func(t *testing.T) {
		tb := full()
		tb.answered(contact{far(77), node(3)}, now)
		if l := tb.all(now); slices.Contains(l, contact{far(3), node(3)}) || !slices.Contains(l, contact{far(77), node(3)}) {
			t.Errorf("%v", l)
		}
	})
	t.Run("our own ID and none", func(t *testing.T) {
		tb := &table{self: far(1)}
		tb.answered(contact{far(1), node(1)}, now)
		tb.answered(contact{ID{}, node(2)}, now)
		if tb.size != 0 {
			t.Errorf("%d nodes", tb.size)
		}
	})
	t.Run("a public network has few places", func(t *testing.T) {
		tb := &table{self: self}
		for i := range 100 {
			a := public(i)
			tb.answered(contact{secureID(a.Addr()), a}, now)
		}
		if tb.size != maxPerNetwork {
			t.Errorf("%d nodes of one /24", tb.size)
		}
		a := public(1 << 16)
		tb.answered(contact{randomNear(secureID(a.Addr()), 2), a}, now)
		if tb.size != maxPerNetwork {
			t.Error("a node chose its place (BEP 42)")
		}
	})
	t.Run("what is old is asked, what is very old not told", func(t *testing.T) {
		tb := full()
		if due := tb.due(now.Add(goodTime / 2)); len(due) != 0 {
			t.Errorf("%d due at half time", len(due))
		}
		if due := tb.due(now.Add(goodTime - time.Minute)); len(due) != bucketSize {
			t.Errorf("%d due shortly before the end", len(due))
		}
		if l := tb.nearest(self, 8, now.Add(goodTime+time.Second), true); len(l) != 0 {
			t.Errorf("%d told of", len(l))
		}
	})
	t.Run("another ID of ours", func(t *testing.T) {
		tb := full()
		before := tb.size
		tb.rename(ID{0x80, 3})
		if tb.size == 0 || tb.size > before || len(tb.all(now)) != tb.size {
			t.Errorf("%d nodes after, %d before", tb.size, before)
		}
	})
}

func TestVotes(t *testing.T) {
	us, lie := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("9.9.9.9")
	var v votes
	for i := range 1000 { // one network, many votes
		if v.cast(public(i&0xff).Addr(), lie).IsValid() {
			t.Fatal("one network decides alone")
		}
	}
	var won netip.Addr
	for i := range 10 {
		won = v.cast(public(1<<8*(i+10)).Addr(), us)
		if (i+1 >= quorum) != won.IsValid() {
			t.Errorf("after %d votes %v has won", i+1, won)
		}
	}
	if won != us {
		t.Errorf("%v has won", won)
	}
	for i := range 10_000 {
		v.cast(public(1<<8*(i+100)).Addr(), lie)
	}
	if len(v.by) > maxVoters {
		t.Errorf("%d voters are remembered", len(v.by))
	}
}

func TestSourceLimit(t *testing.T) {
	l, now := newSourceLimit(10, 30), time.Now()
	allowed := func(a netip.AddrPort, n int) (k int) {
		for range n {
			if l.allow(a, now) {
				k++
			}
		}
		return k
	}
	if k := allowed(public(1), 1000); k != 30 {
		t.Errorf("%d at once, want 30", k)
	}
	other := netip.AddrPortFrom(public(1).Addr(), 99)
	if k := allowed(other, 10); k != 0 {
		t.Errorf("another port of the same machine has %d more", k)
	}
	now = now.Add(time.Second)
	if k := allowed(public(1), 1000); k != 10 {
		t.Errorf("%d a second later, want 10", k)
	}
	for i := range 100_000 { // whoever invents addresses
		l.allow(public(1000+i), now)
	}
	now = now.Add(10 * time.Second)
	six := func(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("[2600::%x]:1", i)) }
	k := 0
	for i := range 1000 { // a /64 is one source
		k += allowed(six(i), 1)
	}
	if k > 30 {
		t.Errorf("a /64 has %d", k)
	}
}

func TestTokens(t *testing.T) {
	var tk tokens
	now, a, b := time.Now(), node(1).Addr(), node(2).Addr()
	tok := tk.issue(a, now)
	for _, c := range []struct {
		after time.Duration
		ip    netip.Addr
		tok   []byte
		want  bool
	}{
		{0, a, tok, true}, {0, b, tok, false}, {0, a, nil, false}, {0, a, []byte("12345678"), false},
		{tokenTime + time.Second, a, tok, true}, {3*tokenTime + time.Second, a, tok, false},
	} {
		if got := tk.valid(c.tok, c.ip, now.Add(c.after)); got != c.want {
			t.Errorf("after %s, at %s, %x: %v", c.after, c.ip, c.tok, got)
		}
	}
}
