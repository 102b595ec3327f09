package swarm

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"shoal/swarm/wire"
)

// Peers that are not Shoal are under the standard's rules (BEP 3, "choking"): a few are unchoked,
// those that give us most while we fetch, one after the other when we have all, and one more in
// turn, so that newcomers get a chance. Shoal peers are always unchoked.

const (
	chokeTime = 10 * time.Second // the slots are given anew
	turnTime  = 30 * time.Second // how long a turn lasts
)

// foreign says whether a peer is under the standard's rules: not Shoal, and given to by policy.
func (c *conn) foreign() bool { return !c.shoal && c.introduced && c.mayGive() }

// unchoke lets a peer ask.
func (s *session) unchoke(c *conn) {
	if !c.choking || s.rationed(c) {
		return
	}
	c.choking = false
	c.unchokedAt = s.now()
	c.out.plain(wire.Unchoke)
}

func (s *session) chokePeer(c *conn) {
	if c.choking {
		return
	}
	c.choking, c.optimistic = true, false
	c.chokedAt = s.now()
	c.out.plain(wire.Choke)
	left := c.queue[:0]
	for _, r := range c.queue {
		if _, ok := c.granted[int(r.piece)]; ok {
			left = append(left, r)
		} else {
			s.refuse(c, r)
			s.asks(c, -int64(r.length))
		}
	}
	c.queue = left
}

// fillSlots lets peers in at once while there are free slots, those first that have waited longest.
func (s *session) fillSlots() {
	n := 0
	var waiting []*conn
	for _, c := range s.conns {
		switch {
		case !c.foreign() || !c.wants || s.rationed(c):
		case c.choking:
			waiting = append(waiting, c)
		default:
			n++
		}
	}
	slices.SortFunc(waiting, func(a, b *conn) int { return a.chokedAt.Compare(b.chokedAt) })
	for _, c := range waiting {
		if n > foreignSlots {
			return
		}
		s.unchoke(c)
		n++
	}
}

// choke gives the slots anew.
func (s *session) choke(now time.Time) {
	if now.Sub(s.lastChoke) < chokeTime {
		return
	}
	s.lastChoke = now
	var want []*conn
	for _, c := range s.conns {
		if c.foreign() && c.wants && !s.rationed(c) {
			want = append(want, c)
		}
	}
	regular, lucky := chooseUnchoked(want, s.complete(), now, s.rnd)
	for _, c := range want {
		if c != lucky && !slices.Contains(regular, c) {
			s.chokePeer(c)
		}
	}
	for _, c := range regular {
		c.optimistic = false
		s.unchoke(c)
	}
	if lucky != nil {
		lucky.optimistic = true
		s.unchoke(lucky)
	}
}

// chooseUnchoked chooses among the peers that want something of us: regular slots by merit, or by
// turns when we have all, and a lucky one.
func chooseUnchoked(want []*conn, seeding bool, now time.Time, rnd *rand.Rand) (regular []*conn, lucky *conn) {
	// A turn that has begun lasts its time.
	atTurn := func(c *conn) bool { return !c.choking && now.Sub(c.unchokedAt) < turnTime }
	by := slices.Clone(want)
	slices.SortFunc(by, func(a, b *conn) int {
		if !seeding {
			return cmp.Or(cmp.Compare(b.rateDown, a.rateDown), cmp.Compare(a.sent, b.sent))
		}
		if x, y := atTurn(a) && !a.optimistic, atTurn(b) && !b.optimistic; x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(a.lastTurn(now).Compare(b.lastTurn(now)), cmp.Compare(a.sent, b.sent))
	})
	n := min(len(by), foreignSlots)
	regular, rest := by[:n], by[n:]
	for _, c := range rest {
		if c.optimistic && atTurn(c) {
			return regular, c
		}
	}
	if len(rest) > 0 {
		lucky = rest[rnd.IntN(len(rest))]
	}
	return regular, lucky
}

// lastTurn is when a peer was last unchoked; zero: never.
func (c *conn) lastTurn(now time.Time) time.Time {
	if !c.choking {
		return now
	}
	return c.chokedAt
}
