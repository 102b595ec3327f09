package swarm

import (
	"errors"
	"slices"

	"shoal/swarm/wire"
)

// A node that gives up a piece says so (BEP 54), so that nobody counts on it and asks in vain.

// Evict has the transfer give up pieces [first, end) for good: they are not offered or served any
// more, and peers are told. When it returns, what they occupy is the caller's to reclaim, but for
// what a peer is being sent of them at this moment, which it will find wrong. A transfer that has
// not ended well gives up nothing: that is an error.
func (t *Transfer) Evict(first, end int) error {
	if first < 0 || end < first || end > maxEvict {
		return errors.New("no such pieces")
	}
	t.mu.Lock()
	if !t.over || t.err != nil || t.gone {
		t.mu.Unlock()
		return errors.New("a transfer that has not ended well gives up no pieces")
	}
	if t.evicted == nil {
		t.evicted = make(map[int]struct{})
	}
	for p := first; p < end; p++ {
		t.evicted[p] = struct{}{}
	}
	s := t.sess
	t.mu.Unlock()
	if s == nil {
		return nil
	}
	done := make(chan struct{})
	if s.do(func() { s.evict(); close(done) }) {
		select {
		case <-done:
		case <-s.closed: // it has ended without
		}
	}
	return nil
}

// maxEvict is more pieces than any torrent has that peers can speak about.
const maxEvict = wire.MaxBitfield * 8

// evict gives up what the transfer has given up, whichever session it was told of.
func (s *session) evict() {
	if s.pick == nil { // not prepared yet: it will be
		return
	}
	s.t.mu.Lock()
	var lost []int
	for p := range s.t.evicted {
		if p < s.have.n && s.have.has(p) {
			lost = append(lost, p)
		}
	}
	s.t.mu.Unlock()
	slices.Sort(lost)
	for _, p := range lost {
		s.lose(p)
	}
}

// lose gives up one piece of a complete transfer.
func (s *session) lose(p int) {
	s.have.remove(p)
	s.v1ok.remove(p)
	if s.wanted.remove(p) {
		s.t.counts.wanted.Add(-s.torrent.PieceLen(p))
		s.t.counts.have.Add(-s.torrent.PieceLen(p))
	}
	for _, c := range s.conns {
		if !c.introduced || !c.revealed.remove(p) {
			continue
		}
		delete(c.granted, p)
		if id := c.theirDontHave; id != 0 {
			c.out.put(func(b []byte) []byte { return wire.AppendDontHave(b, id, uint32(p)) })
		}
		left := c.queue[:0]
		for _, r := range c.queue {
			if int(r.piece) == p {
				s.refuse(c, r)
				s.asks(c, -int64(r.length))
			} else {
				left = append(left, r)
			}
		}
		c.queue = left
	}
}

// tookDontHave takes note that a peer has given up a piece.
func (s *session) tookDontHave(c *conn, p int) error {
	if c.gaveUp == nil {
		c.gaveUp = newBudget(maxNonsense)
		c.gaveUp.left += float64(c.have.n) // once all at once: so an origin does that begins to lease
	}
	if !c.gaveUp.take(s.now()) {
		return errors.New("flood of pieces given up")
	}
	if !c.introduced {
		return nil // what it has is not known yet: it will refuse
	}
	if p >= c.have.n || !c.have.has(p) {
		return c.useless("pieces given up that were not there")
	}
	if c.seed { // until now it counted for no piece
		c.seed = false
		s.seeds--
		s.t.counts.seeds.Store(int64(s.seeds))
		for q := range c.have.n {
			s.pick.gained(q)
		}
		s.countLent(c, 1)
	}
	c.have.remove(p)
	s.pick.lost(p)
	if s.lacks(p) {
		c.useful--
	}
	if s.pick.waits(p) {
		c.fresh--
	}
	if c.leased[p] {
		delete(c.leased, p)
		s.lent[p]--
	}
	c.leasesOver = false                    // an origin hides what it will lease
	c.refused[p] = s.now().Add(refusedTime) // what was asked before is refused by name
	s.interest(c)
	return nil
}
