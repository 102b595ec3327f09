package swarm

import (
	"errors"
	"net/netip"
	"slices"
	"time"
)

// Who is connected: which peers are taken in, which make room, and what is forgotten with one that goes.

// join takes in a connection whose handshakes are done.
func (s *session) join(c *conn) error {
	if s.failed != nil {
		return errClosed
	}
	now := s.now()
	if s.book.banned(c, now) {
		return errBanned
	}
	for _, o := range s.conns {
		if o.id == c.id {
			if !s.replaces(c, o, now) {
				return errTwice
			}
			s.end(o, errTwice)
		}
	}
	if !s.admits(c, now) {
		return errFull
	}
	s.wg.Add(1) // runConn's: it may be called by an acceptor that the session knows nothing of
	s.conns = append(s.conns, c)
	s.t.counts.peers.Store(int64(len(s.conns)))
	s.t.counts.everConnected.Add(1)
	c.joined, c.lastIn, c.lastOut = now, now, now
	c.links(s)
	s.lanStale = true
	s.greet(c)
	if s.torrent != nil {
		s.introduce(c)
	}
	s.tellPort(c)
	return nil
}

var (
	errTwice  = errors.New("connected to this peer already")
	errFull   = errors.New("enough peers")
	errBanned = errors.New("peer is sent away for a while")
)

// replaces says whether connection c is to take the place of o, which claims the same peer id.
func (s *session) replaces(c, o *conn, now time.Time) bool {
	age := now.Sub(o.joined)
	if o.inbound != c.inbound && o.addr.Addr() == c.addr.Addr() && age < crossTime {
		// Both ends dialled at the same moment: both keep what the lower id opened.
		ours := string(s.t.node.cfg.PeerID[:]) < string(c.id[:])
		return ours == o.inbound
	}
	// Anybody can claim an id: who has brought or taken something stays.
	return now.Sub(o.lastIn) > deadTime || age > probation && o.received+o.sent+o.inflight == 0
}

const (
	crossTime = 3 * time.Second
	deadTime  = 30 * time.Second
	probation = 10 * time.Second // to show some use in
)

// admits says whether there is room for c, after ending another connection if need be. Those that
// others open may not take every place while there is something to fetch: the peers that we want
// to dial need some.
func (s *session) admits(c *conn, now time.Time) bool {
	most, n := s.t.node.Limits().MaxPeers, 0
	if c.inbound && !s.complete() {
		most = max(most*3/4, 1)
	}
	for _, o := range s.conns {
		if !c.inbound || o.inbound || s.complete() {
			n++
		}
	}
	return n < most || s.makeRoom(c, now)
}

// makeRoom ends the connection that is of least use, if one is of none. Of those it takes one
// from the address that has most, so that nobody can hold all places from one machine.
func (s *session) makeRoom(c *conn, now time.Time) bool {
	per := make(map[netip.Addr]int)
	for _, o := range s.conns {
		per[o.addr.Addr()]++
	}
	least := per[c.addr.Addr()] + 1
	var worst *conn
	for _, o := range s.conns {
		n := per[o.addr.Addr()]
		useless := o.outstanding == 0 && len(o.queue) == 0 && o.inflight == 0 && (!c.inbound || o.inbound)
		old := now.Sub(o.joined) > 30*time.Second
		crowd := n > least && now.Sub(o.joined) > time.Second && o.received+o.sent == 0
		if !useless || !old && !crowd {
			continue
		}
		if worst == nil || n > per[worst.addr.Addr()] || n == per[worst.addr.Addr()] && o.lastUse().Before(worst.lastUse()) {
			worst = o
		}
	}
	if worst == nil {
		return false
	}
	s.end(worst, errFull)
	return true
}

// banish sends a peer away for a while.
func (s *session) banish(c *conn, why string) {
	s.book.ban(c, s.now())
	s.end(c, errors.New(why))
}

// end closes a connection; its goroutines notice and leave.
func (s *session) end(c *conn, why error) {
	if c.gone {
		return
	}
	c.why = why
	c.close()
	s.leave(c)
}

// leave forgets a connection.
func (s *session) leave(c *conn) {
	i := slices.Index(s.conns, c)
	if i < 0 || c.gone {
		return
	}
	c.gone = true
	s.conns = slices.Concat(s.conns[:i], s.conns[i+1:])
	delete(s.metas, c)
	s.countDescribers()
	s.t.counts.peers.Store(int64(len(s.conns)))
	s.lanStale = true
	if s.pick != nil && c.introduced {
		if c.seed {
			s.seeds--
			s.t.counts.seeds.Store(int64(s.seeds))
		} else {
			for p := range c.have.n {
				if c.have.has(p) {
					s.pick.lost(p)
				}
			}
			s.countLent(c, -1)
		}
	}
	s.asks(c, -c.queuedBytes)
	c.queue = nil
	s.writing.remove(c)
	s.releaseAll(c)
	if s.reveal != nil {
		s.reveal.gone(c)
	}
	s.fillSlots()
	s.book.left(c, s.now(), s.complete())
	s.log.Debug("peer left", "peer", c.addr, "client", c.client, "err", c.why,
		"received", c.received, "sent", c.sent, "idle", c.idle.durations())
	s.fillAll()
}

// dropSilent ends connections that bring nothing and never will.
func (s *session) dropSilent(now time.Time) {
	done := s.complete()
	for _, c := range s.conns {
		if now.Sub(c.gaugedAt) >= ackTime {
			c.look(now)
		}
		if lost := c.deaf() > deafTime; lost != c.lost {
			c.lost, s.lanStale = lost, true
			s.stays(c)
		}
		switch {
		case done && c.seed && now.Sub(c.joined) > time.Second:
			s.end(c, errors.New("both have everything"))
		case now.Sub(c.lastIn) > silentTime:
			s.end(c, errors.New("silent"))
		case c.deaf() > lostTime:
			s.end(c, errors.New("acknowledges nothing"))
		case now.Sub(c.lastOut) > keepAliveTime:
			c.lastOut = now
			c.out.keepAlive()
		}
	}
}

const (
	silentTime    = 150 * time.Second
	keepAliveTime = 100 * time.Second
)
