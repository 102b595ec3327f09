package swarm

// lends takes note that c, an origin, shows us piece p: it is ours to fetch, and to pass on.
func (s *session) lends(c *conn, p int) {
	if s.lent == nil {
		s.lent = make([]uint16, s.have.n)
	}
	c.leased[p] = true
	if !c.seed {
		s.lent[p]++
	}
}

// countLent counts what c lends by n once more, where it counts among those that have a piece no longer, or again.
func (s *session) countLent(c *conn, n int) {
	for p := range c.leased {
		s.lent[p] += uint16(n)
	}
}

// others is how many have p who pass it on: neither seeds nor, in a crowd, the origin that shows it to us alone. So who was
// lent a piece tells of it at once, and gives it before others. (Among a few it made no difference that could be measured.)
func (s *session) others(p int) int32 {
	if !s.crowded() {
		return s.pick.avail[p]
	}
	return s.passers(p)
}

// passers is the same in any company.
func (s *session) passers(p int) int32 {
	n := s.pick.avail[p]
	if s.lent != nil {
		n -= int32(s.lent[p])
	}
	return n
}
