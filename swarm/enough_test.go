package swarm

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/piece"
)

// dials is a world that only notes who is dialled.
type dials struct {
	realWorld
	to []string
}

func (d *dials) dial(_ *session, addr string, _ *entry) { d.to = append(d.to, addr) }

func TestEnoughPeersAreNotDialledBeyond(t *testing.T) {
	x := random(64<<10, 1)
	tor, _ := makeTree(t, tree{"x": x}, piece.BuildConfig{})
	for _, c := range []struct {
		name                  string
		shoal, foreign, local int // connections
		far                   int // addresses dialled of 20 far ones
	}{
		{"nobody yet", 0, 0, 0, maxDials - 1},
		{"some", enoughPeers - 10, 0, 0, 9},
		{"enough", enoughPeers, 0, 0, 0},
		{"others do not let us ask at any time", 0, enoughPeers, 0, maxDials - 1},
		{"those near by are for something else", 0, 0, enoughPeers, maxDials - 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(tor, []byte(x))
			defer b.stop()
			w := &dials{}
			b.world = w
			for i := range c.shoal + c.foreign + c.local {
				b.conns = append(b.conns, &conn{s: b.session, shoal: i < c.shoal || i >= c.shoal+c.foreign, near: i >= c.shoal+c.foreign})
			}
			near := netip.MustParseAddrPort("127.0.0.1:1")
			b.book.heard(near, time.Now())
			for i := range 20 {
				b.book.heard(netip.MustParseAddrPort(fmt.Sprintf("203.0.113.%d:7070", i+1)), time.Now())
			}
			b.dialSome()
			far := slices.DeleteFunc(slices.Clone(w.to), func(a string) bool { return a == near.String() })
			if len(far) < c.far || len(far) > c.far+1 {
				t.Errorf("dialled %d far addresses, want %d or one more", len(far), c.far)
			}
			if c.far == 0 && len(w.to) != 1 {
				t.Errorf("dialled %v, want the one that is near", w.to)
			}
		})
	}
}

func TestHavesAreCollectedForLongerAmongMany(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		peers, lan, seeds, holders int
		want                       time.Duration
	}{
		{0, 0, 0, 1, 20 * ms},
		{4, 0, 0, 1, 20 * ms},
		{16, 0, 0, 0, 20 * ms}, // nobody else's
		{16, 0, 0, 1, 80 * ms},
		{80, 0, 0, 0, 20 * ms},
		{80, 0, 0, 8, 20 * ms}, // rare in a crowd
		{80, 0, 0, 9, 400 * ms},
		{80, 0, 60, 2, 20 * ms},
		{80, 0, 60, 3, 400 * ms},
		{80, 5, 0, 9, 20 * ms},
		{80, 20, 0, 0, 20 * ms},
		{80, 20, 0, 9, 50 * ms},
	} {
		s := session{conns: make([]*conn, c.peers), lan: make([]*conn, c.lan), seeds: c.seeds, pick: newPicker(1, rand.New(rand.NewPCG(1, 1)), false)}
		for range c.holders {
			s.pick.gained(0)
		}
		s.fresh = []int{0}
		if got := s.haveDelay(); got != 20*ms {
			t.Errorf("with %d peers who ask for nothing HAVEs are collected for %v, want 20 ms", c.peers, got)
		}
		s.asking.conns = make([]*conn, 1)
		if got := s.haveDelay(); got != c.want {
			t.Errorf("with %d peers, %d of them of the site, HAVEs of a piece that %d others have are collected for %v, want %v", c.peers, c.lan, c.holders, got, c.want)
		}
	}
}
