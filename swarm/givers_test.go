package swarm

import (
	"math"
	"slices"
	"testing"
	"time"
)

// Of what few have the peer gets a copy first that is fastest; what many have goes out
// to who has got least, as ever.
func TestWhoGivesMostIsGivenFirstWhatFewHave(t *testing.T) {
	const peers = 8
	for _, tt := range []struct {
		name  string
		holds int // how many peers have the piece
		set   func(b *bench)
		want  int
	}{
		{"few have it", 1, func(*bench) {}, 1},
		{"many have it", peers / fewOf, func(*bench) {}, 0},
		{"neighbours are there", 1, func(b *bench) { b.lan = b.conns[7:] }, 0},
		{"the one that gives most has everything", 1, func(b *bench) { b.conns[1].seed = true }, 2},
		{"it is not of our kind", 1, func(b *bench) { b.conns[1].theirShoal = 0 }, 2},
	} {
		b, cs := crowdBench(t, 2, peers)
		b.owns(0)
		b.pick.avail[0] = int32(tt.holds)
		tt.set(b)
		rate := func(c *conn) float64 {
			switch c {
			case cs[0]:
				return 10e3 // the slowest has got least
			case cs[1]:
				return 800e3
			}
			return 100e3
		}
		for _, c := range cs {
			c.giving.ticks = int(2 * time.Second / tickTime)
			c.giving.gave(int64(2 * rate(c)))
		}
		b.compareGivers()
		now := b.now()
		for i, c := range cs {
			c.served, c.queuedAt, c.lastSent = int64(i), now, now
			if c == cs[1] {
				c.served = 100 // and the fastest most
			}
			if !c.seed {
				c.queue = append(c.queue, upRequest{length: 16 << 10, at: int64(i)})
			}
		}
		var first *conn
		var rank upRank
		for _, c := range cs {
			if len(c.queue) == 0 {
				continue
			}
			if _, r := b.nextOf(c, now); first == nil || r.before(rank) {
				first, rank = c, r
			}
		}
		if first != cs[tt.want] {
			t.Errorf("%s: %d is given it first, want %d", tt.name, slices.Index(cs, first), tt.want)
		}
	}
}

// What counts is what a peer gives while it is asked: who was asked for little is not slow.
func TestWhoIsAskedSeldomIsNotSlow(t *testing.T) {
	b, cs := crowdBench(t, 2, 8)
	for range 20 { // seconds
		for i, c := range cs {
			switch i {
			case 0: // asked for a fifth of the time
				c.giving.ticks = int(time.Second/tickTime) / 5
				c.giving.gave(20e3)
			case 1: // never
				c.giving.gave(0)
			default:
				c.giving.ticks = int(time.Second / tickTime)
				c.giving.gave(100e3)
			}
		}
		b.compareGivers()
	}
	for i, c := range cs {
		if c.standing != 0 {
			t.Errorf("peer %d stands at %d among equals", i, c.standing)
		}
	}
	if g := cs[2].giving; g.seconds > 2*givingTime || math.Abs(g.rate()-100e3) > 1 {
		t.Errorf("after 20 s of 100 kB/s %v s are remembered, of %v B/s", g.seconds, g.rate())
	}
}
