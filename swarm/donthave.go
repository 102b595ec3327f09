package swarm

import (
	"shoal/swarm/wire"
)

// A node that gives up a piece says so (BEP 54), so that nobody counts on it and asks in vain.

// Evict has the transfer give up pieces [first, end), which it does not offer or serve any more.
// What they occupy is the caller's to reclaim. It says how many pieces it gave up: those that were
// here. A transfer that is still fetching, or asleep, gives up none.
func (t *Transfer) Evict(first, end int) (n int) {
	t.mu.Lock()
	s := t.sess
	t.mu.Unlock()
	if s == nil {
		return 0
	}
	done := make(chan int, 1)
	if !s.do(func() { done <- s.evict(first, end) }) {
		return 0
	}
	select {
	case n = <-done:
	case <-s.closed: // drain has taken it
	}
	return n
}

// evict gives up pieces, if all that is wanted is here.
func (s *session) evict(first, end int) (n int) {
	if !s.complete() || s.fetch != nil && !s.placed {
		return 0
	}
	for p := max(first, 0); p < min(end, s.have.n); p++ {
		if s.have.has(p) {
			s.lose(p)
			n++
		}
	}
	return n
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
			} else {
				left = append(left, r)
			}
		}
		c.queue = left
	}
}

// tookDontHave takes note that a peer has given up a piece.
func (s *session) tookDontHave(c *conn, p int) error {
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
	}
	c.have.remove(p)
	s.pick.lost(p)
	if s.lacks(p) {
		c.useful--
	}
	if s.pick.waits(p) {
		c.fresh--
	}
	delete(c.leased, p)
	c.refused[p] = s.now().Add(refusedTime) // what was asked before is refused by name
	s.interest(c)
	return nil
}
