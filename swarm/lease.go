package swarm

import (
	"time"

	"shoal/swarm/wire"
)

// lease shows pieces to peers, and ends the exclusive phase when it is time.
func (s *session) lease(now time.Time) {
	v := s.reveal
	if v == nil || !v.exclusive {
		return
	}
	if s.spent { // there is nothing to lease, and hiding pieces helps nobody
		v.exclusive, v.over = false, true
		s.openAll()
		return
	}
	rate := s.lineRate()
	grants, done := v.plan(now, crowd{
		leechers: s.leechers(),
		room:     min(max(int64(rate/5), 2*s.torrent.PieceLength, 1<<20), 64<<20),
		rate:     rate,
		wants: func(c *conn, p int) bool {
			return s.have.has(p) && c.introduced && !c.seed && !c.have.has(p) && c.mayGive()
		},
		deaf:   func(c *conn) bool { return c.deaf() > deafTime },
		length: s.torrent.PieceLen,
	})
	for _, g := range v.hidden {
		if id := g.to.theirDontHave; id != 0 && g.to.revealed.remove(g.piece) {
			g.to.out.put(func(b []byte) []byte { return wire.AppendDontHave(b, id, uint32(g.piece)) })
		}
	}
	v.hidden = v.hidden[:0]
	for _, g := range grants {
		if g.to.revealed.add(g.piece) {
			g.to.out.put(func(b []byte) []byte { return wire.AppendIndex(b, wire.Have, uint32(g.piece)) })
		}
	}
	if done {
		s.log.Debug("an ordinary seed from now on", "sent", s.t.counts.upTotal(), "left", v.left, "forgood", v.over)
		s.openAll()
	}
}

// lineRate is how many bytes per second our line is seen to carry, or may. It is another at ticks only, but for a limit that is set anew.
func (s *session) lineRate() float64 {
	rate := float64(s.t.counts.peakUp.Load())
	for i := range s.lines { // known within a quarter of a second, the best second only after one
		rate = max(rate, s.lines[i].rate)
	}
	if l := s.t.node.up[away].Rate(); l > 0 { // more was near by
		rate = max(rate, float64(l))
	}
	return rate
}

// openAll tells everybody that we have everything.
func (s *session) openAll() {
	for _, c := range s.conns {
		s.showAll(c)
	}
}

// hide takes back what was shown to a peer before there was a crowd (BEP 54), but for what has left or was asked
// for: who came first would otherwise take whatever it likes, and be the only one to have it for long, however
// slow it is. Who does not know the message keeps what it was shown, see [revealer.allows].
func (s *session) hide(c *conn) {
	v, id := s.reveal, c.theirDontHave
	if v == nil || !v.exclusive || !c.open || !c.introduced || id == 0 {
		return
	}
	now := s.now()
	for _, r := range c.queue {
		v.asked(c, int(r.piece), s.torrent.PieceLen(int(r.piece)), now)
	}
	c.open = false
	c.out.put(func(b []byte) []byte {
		for p := range s.have.n {
			if v.untouched(p) && c.revealed.remove(p) {
				b = wire.AppendDontHave(b, id, uint32(p))
			}
		}
		return b
	})
}

// showAll tells c that we have everything, and that this is not a lease of all of it.
func (s *session) showAll(c *conn) {
	if !c.introduced {
		return
	}
	c.open = true
	c.out.put(func(b []byte) []byte {
		if c.theirShoal != 0 {
			b = wire.AppendOpen(b, c.theirShoal)
		}
		from := len(b)
		for p := range s.have.n {
			if s.have.has(p) && c.revealed.add(p) {
				b = wire.AppendIndex(b, wire.Have, uint32(p))
			}
		}
		return s.manyAtOnce(c, b, from, s.now())
	})
}

func (c *counts) upTotal() (n int64) {
	for i := range c.to {
		n += c.to[i].Load()
	}
	return n
}
