package swarm

import (
	"testing"
	"time"

	"shoal/piece"
)

func TestTMinIsAllAtTheBestSecondsRate(t *testing.T) {
	for name, c := range map[string]struct {
		s    Stats
		want time.Duration
	}{
		"a fetch":      {Stats{From: [Classes]int64{Reuse: 900, Peers: 300, Origin: 100}, To: [Classes]int64{Peers: 7000}, PeakDown: 200, PeakUp: 1}, 2 * time.Second},
		"a seed":       {Stats{To: [Classes]int64{Peers: 900, LAN: 100}, PeakUp: 500}, 2 * time.Second},
		"no rate yet":  {Stats{From: [Classes]int64{Peers: 300}}, 0},
		"nothing done": {Stats{}, 0},
	} {
		if got := c.s.TMin(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What holds a fetch back is what it waits for; where a limit does, it is the limit.
func TestHeldBy(t *testing.T) {
	tor, _, want := makeContent(t, 4*leaf, piece.BuildConfig{PieceLength: leaf})
	for _, c := range []struct {
		what string
		set  func(b *bench, c *conn)
		want Hold
	}{
		{"alone", func(b *bench, c *conn) { b.conns = nil }, HoldNobody},
		{"a peer that has nothing", func(*bench, *conn) {}, HoldPieces},
		{"a peer that chokes", func(_ *bench, c *conn) { c.useful = 1 }, HoldChoked},
		{"the origin is asked", func(_ *bench, c *conn) { c.useful, c.outstanding, c.class = 1, leaf, Origin }, HoldOrigin},
		{"a neighbour is asked", func(_ *bench, c *conn) { c.useful, c.outstanding, c.class = 1, leaf, LAN }, HoldLAN},
		{"one source, as fast as ever", func(b *bench, c *conn) {
			c.useful, c.outstanding, c.class = 1, leaf, Origin
			b.t.counts.downRate.Store(95)
			b.t.counts.peakDownPerSec.Store(100)
		}, HoldOrigin},
		{"two sources, as fast as ever", func(b *bench, c *conn) {
			c.useful, c.outstanding, c.class = 1, leaf, Origin
			b.conns = append(b.conns, &conn{introduced: true, class: Peers, outstanding: leaf})
			b.t.counts.downRate.Store(95)
			b.t.counts.peakDownPerSec.Store(100)
		}, HoldLink},
		{"at the limit", func(b *bench, c *conn) {
			c.useful, c.outstanding, c.class = 1, leaf, Origin
			b.t.counts.downRate.Store(95)
			b.t.node.SetLimits(Limits{Down: 100})
		}, HoldLimit},
		{"at the limit for machines near by", func(b *bench, c *conn) {
			c.useful, c.outstanding, c.class = 1, leaf, LAN
			c.lane.Store(near)
			b.t.counts.downRate.Store(95)
			b.t.node.SetLimits(Limits{LAN: 100})
		}, HoldLimit},
		{"a neighbour is asked, and only others are limited", func(b *bench, c *conn) {
			c.useful, c.outstanding, c.class = 1, leaf, LAN
			c.lane.Store(near)
			b.t.counts.downRate.Store(95)
			b.t.node.SetLimits(Limits{Down: 10})
		}, HoldLAN},
	} {
		b := newBench(tor, want)
		b.fetch = &store{}
		x := &conn{introduced: true, class: Peers}
		b.conns = []*conn{x}
		c.set(b, x)
		if got := b.fetchHeld(); got != c.want {
			t.Errorf("%s: held by %v, want %v", c.what, got, c.want)
		}
		now := time.Unix(1e9, 0)
		b.account(now)
		b.account(now.Add(tickTime))
		if held := b.t.Stats().Held; held[c.want] != tickTime {
			t.Errorf("%s: after %v held for %v", c.what, tickTime, held)
		}
	}
}

// A seed is held back by the limit of those who lack something, if it gives as much as that allows.
func TestSeedHeldBy(t *testing.T) {
	tor, _, want := makeContent(t, 4*leaf, piece.BuildConfig{PieceLength: leaf})
	for _, c := range []struct {
		what   string
		limits Limits
		lane   lane
		want   Hold
	}{
		{"machines elsewhere, at their limit", Limits{Up: 100}, away, HoldLimit},
		{"machines near by, at theirs", Limits{LAN: 100}, near, HoldLimit},
		{"machines near by, beyond that of others", Limits{Up: 10}, near, HoldLink},
		{"machines elsewhere, beyond that of the near", Limits{LAN: 10}, away, HoldLink},
	} {
		b := newBench(tor, want)
		x := &conn{introduced: true, class: Peers}
		x.lane.Store(c.lane)
		b.conns = []*conn{x}
		b.t.node.SetLimits(c.limits)
		b.t.counts.upRate.Store(95)
		b.t.counts.peakUp.Store(100)
		if got := b.seedHeld(); got != c.want {
			t.Errorf("%s: held by %v, want %v", c.what, got, c.want)
		}
	}
}
