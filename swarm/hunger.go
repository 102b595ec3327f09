package swarm

import (
	"net/netip"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// hunger tells a machine that gets on with what others give it from one that does not. It is a
// pure function of what is told to it, and belongs to the loop.
type hunger struct {
	starves  bool
	gained   time.Time // when it last had a piece that we did not give it beyond the ration
	unproven int64     // bytes given beyond the ration of pieces that it has not announced

	// What it may have beyond the ration: little at first, as it may be a mistake; each second, and
	// each time that it starves again soon, twice as much.
	step      uint
	quota     int64 // bytes left of this step
	stepped   time.Time
	recovered time.Time
}

const (
	// starveTime is how long a machine has nothing new before it starves, with small pieces; with
	// large ones as long as one takes at starveRate, but not longer than starveMost.
	starveTime = 3 * time.Second
	starveRate = 64 << 10
	starveMost = 30 * time.Second
	// stepTime is how long a step lasts, relapseTime how soon is soon.
	stepTime    = time.Second
	relapseTime = 10 * time.Second
	mostSteps   = 16
)

// starvePatience is how long a machine may go without a new piece.
func starvePatience(pieceLength int64) time.Duration {
	return min(max(starveTime, time.Duration(pieceLength)*time.Second/starveRate), starveMost)
}

// feed takes note of what we gave beyond the ration.
func (h *hunger) feed(n int64) {
	h.unproven += n
	h.quota -= n
}

// look decides anew; pieces are length long.
func (h *hunger) look(now time.Time, length int64) {
	starved := h.starves
	patience := starvePatience(length)
	h.starves = now.Sub(h.gained) >= patience
	switch {
	case !h.starves:
		if starved {
			h.recovered = now
		}
		return
	case !starved && now.Sub(h.recovered) > patience+relapseTime:
		h.step = 0
	case !starved, now.Sub(h.stepped) >= stepTime:
		h.step = min(h.step+1, mostSteps)
	default:
		return
	}
	h.quota, h.stepped = max(length, starveRate)<<h.step, now
}

// extra is a piece that is given beyond the ration.
type extra struct {
	to     *conn
	at     time.Time
	bytes  int64
	proven bool // it has announced the piece
}

// affords says whether a request may be answered as far as the ration is concerned, and counts it
// if so.
func (s *session) affords(c *conn, r upRequest, now time.Time) bool {
	ration, n := s.t.spec.Ration, int64(r.length)
	if ration == nil {
		return true
	}
	reserve := s.reveal.reserve(int(r.piece), s.torrent.PieceLen)
	if ration.take(n, reserve, now) {
		return true
	}
	s.tight = s.tight || reserve == 0
	if !s.affordsBeyond(c, r, now) {
		return false
	}
	ration.exceed(n, now)
	return true
}

// affordsBeyond says whether a machine that starves may have some of a piece beyond the ration: the
// piece goes to one machine at a time, which is to announce it before it gets much more.
func (s *session) affordsBeyond(c *conn, r upRequest, now time.Time) bool {
	p, n := int(r.piece), int64(r.length)
	if !c.hunger.starves || c.hunger.unproven+n > 2*maxWindow+4*s.torrent.PieceLength {
		return false
	}
	if c.hunger.quota <= 0 && s.leechers() > 1 { // if it is alone there is no mistake
		return false
	}
	x := s.extras[p]
	switch {
	case x == nil || x.to != c && (x.to.gone || now.Sub(x.at) >= starvePatience(s.torrent.PieceLength)):
		x = &extra{to: c}
		s.extras[p] = x
	case x.to != c || x.bytes+n > 2*s.torrent.PieceLength:
		return false
	}
	x.at = now
	x.bytes += n
	c.hunger.feed(n)
	return true
}

// announced takes note of a piece that a peer says it has.
func (s *session) announced(c *conn, p int, now time.Time) {
	if s.t.spec.Ration == nil {
		return
	}
	if x := s.extras[p]; x != nil { // it lives on what we give, even if it has it from another
		if x.to == c && !x.proven {
			x.proven = true
			c.hunger.unproven -= x.bytes
		}
		return
	}
	c.hunger.gained = now
}

// tickRation chokes and unchokes by what is left of the ration.
func (s *session) tickRation(now time.Time) {
	ration := s.t.spec.Ration
	if ration == nil || !s.spent && !ration.bounded() {
		return
	}
	was, least := s.spent, int64(piece.BlockSize)
	if s.spent || s.tight {
		least = wire.MaxBlock
	}
	s.spent, s.tight = ration.spent(least, now), false
	peers := make(map[netip.Addr]bool, len(s.conns))
	changed := was != s.spent
	if changed {
		given, allowed := ration.Today(now)
		s.log.Info("the origin's budget for this content is spent, or is not any more", "spent", s.spent, "bytes", given, "allowed", allowed)
	}
	for _, c := range s.conns {
		if !c.introduced {
			continue
		}
		starved := c.hunger.starves
		c.hunger.look(now, s.torrent.PieceLength)
		if !s.spent {
			c.hunger.unproven = 0
		}
		if starved != c.hunger.starves {
			changed = true
			if s.spent {
				s.log.Debug("a peer starves, or does not any more", "peer", c.addr, "starves", c.hunger.starves, "pieces", c.have.set, "step", c.hunger.step)
			}
		}
		a := c.addr.Addr().Unmap()
		peers[a] = peers[a] || c.hunger.starves && !c.seed
		switch {
		case s.rationed(c):
			s.chokePeer(c)
		case c.shoal && c.mayGive():
			s.unchoke(c)
		}
	}
	ration.met(peers, s.reveal.kept(s.torrent.PieceLen))
	if changed {
		s.fillSlots()
	}
	if !s.spent {
		clear(s.extras)
	}
}

// rationed says whether a peer gets nothing because the ration is spent and it does not starve.
func (s *session) rationed(c *conn) bool { return s.spent && !c.hunger.starves }
