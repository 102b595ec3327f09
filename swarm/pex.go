package swarm

import (
	"net/netip"
	"slices"
	"time"

	"shoal/swarm/wire"
)

// Peers tell each other of those they are connected with (BEP 11), so that a swarm finds together
// without its tracker. Private torrents do not (BEP 27). A node tells of connections only, so that
// it never lists itself; who has everything is not told of others who have.

const (
	// pexTime is the least time between two messages to one peer, and what others owe us, less
	// some for their clocks and the way.
	pexTime  = time.Minute
	pexHeard = 45 * time.Second
	// maxPexTaken bounds the addresses that are taken from one connection, ever.
	maxPexTaken = 500
	// maxPexKnown bounds the addresses that stand in the book on the word of peers: trackers',
	// which are harder to lie through, always find room.
	maxPexKnown = maxKnown / 2
)

// pexState is what a connection has told and heard of others.
type pexState struct {
	id    byte // the peer's id for ut_pex; 0: it does not take part
	told  map[netip.AddrPort]bool
	at    time.Time // of our last message
	heard time.Time // of its last
	taken int
}

// private says whether the torrent is one whose peers its trackers alone may tell (BEP 27).
func (s *session) private() bool { return s.t.spec.Private || s.torrent != nil && s.torrent.Private }

// dialable is where others can dial a connected peer too.
func (c *conn) dialable() (a netip.AddrPort, ok bool) {
	a, ok = c.where()
	return a, ok && !a.Addr().IsLinkLocalUnicast()
}

// pexFlags are what others are told of a peer besides its address.
func (c *conn) pexFlags() (f byte) {
	if c.wantsSealed {
		f |= wire.PexEncrypts
	}
	if c.seed {
		f |= wire.PexSeed
	}
	if !c.inbound {
		f |= wire.PexReachable
	}
	return f
}

// exchange tells peers of each other, each when its time has come.
func (s *session) exchange(now time.Time) {
	if s.private() || now.Sub(s.exchanged) < time.Second {
		return
	}
	s.exchanged = now
	var all []*conn // made when it is first needed
	for _, c := range s.conns {
		if c.pex.id == 0 || now.Sub(c.pex.at) < pexTime {
			continue
		}
		if all == nil {
			all = slices.Clone(s.conns)
			s.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		if x := c.pexNews(all); len(x.Added)+len(x.Dropped) > 0 {
			c.pex.at = now
			id := c.pex.id
			c.out.put(func(b []byte) []byte { return x.Append(b, id) })
		}
	}
}

// shields says whether we stand between two peers: an edge leads neither its machines to its origin nor its origin to them. Both had been seen: an origin that
// had heard of a machine dialled it, and gave it what the other edges have.
func (s *session) shields(c, o *conn) bool {
	return s.t.node.cfg.Role == RoleEdge && (c.role == RoleOrigin || o.role == RoleOrigin)
}

// pexNews is what has changed for c since it was last told, and is noted as told. Those of its own
// site come first.
func (c *conn) pexNews(all []*conn) (x wire.Pex) {
	if c.pex.told == nil {
		c.pex.told = make(map[netip.AddrPort]bool)
	}
	now := make(map[netip.AddrPort]bool, len(all))
	for _, own := range []bool{true, false} {
		for _, o := range all {
			a, ok := o.dialable()
			if !ok || o == c || o.id == c.id || c.s.shields(c, o) || own != (o.site != "" && o.site == c.site) || !plausible(c.addr.Addr(), a.Addr()) {
				continue
			}
			now[a] = true
			if !c.pex.told[a] && !(c.seed && o.seed) && len(x.Added) < wire.MaxPex {
				c.pex.told[a] = true
				x.Added = append(x.Added, wire.PexPeer{Addr: a, Flags: o.pexFlags()})
			}
		}
	}
	for a := range c.pex.told {
		if !now[a] && len(x.Dropped) < wire.MaxPex {
			delete(c.pex.told, a)
			x.Dropped = append(x.Dropped, a)
		}
	}
	slices.SortFunc(x.Dropped, netip.AddrPort.Compare)
	return x
}

// tookPex takes addresses that a peer tells of. Those it says have left stay in the book: dialling
// finds out.
func (s *session) tookPex(c *conn, payload []byte) error {
	now := s.now()
	if s.private() || now.Sub(c.pex.heard) < pexHeard {
		return c.useless("peer exchange out of turn")
	}
	c.pex.heard = now
	x, err := wire.ParsePex(payload)
	if err != nil {
		return err
	}
	known := 0
	for _, e := range s.book.known {
		if e.pex && !e.conn {
			known++
		}
	}
	for _, p := range x.Added {
		if c.pex.taken >= maxPexTaken || known >= maxPexKnown {
			break
		}
		a := p.Addr
		if s.book.known[a] != nil || a == s.self || !plausible(c.addr.Addr(), a.Addr()) || !s.heard(a, now) {
			continue
		}
		c.pex.taken++
		known++
		e := s.book.known[a]
		e.pex, e.next = true, now.Add(s.pexWait())
		if p.Flags&wire.PexEncrypts != 0 {
			e.way = sealed
		}
	}
	s.dialSome()
	return nil
}

// pexWait is how long a peer that another tells of is left alone: it may be told of us at the same
// moment, and of two that dial each other one has opened a connection in vain, with what was asked over
// it. Who has everything waits longest: most come by themselves.
func (s *session) pexWait() time.Duration {
	wait := time.Second + time.Duration(s.rnd.Int64N(int64(2*time.Second)))
	if s.complete() {
		wait += 10 * time.Second
	}
	return wait
}

// plausible says whether a machine at from can know one at a by an address that means the same to
// others: nobody far away has us dial this machine, or one of a network that is its own business.
func plausible(from, a netip.Addr) bool {
	from, a = from.Unmap(), a.Unmap()
	switch {
	case a.IsLoopback():
		return from.IsLoopback()
	case a.IsLinkLocalUnicast():
		return false
	case a.IsPrivate():
		return from.IsPrivate() || from.IsLoopback() || from.IsLinkLocalUnicast()
	}
	return true
}
