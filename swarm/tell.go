package swarm

import (
	"time"

	"shoal/swarm/wire"
)

// Who is told of new pieces, and when. A HAVE alone is a packet, and its acknowledgement another, for each
// connection: in a crowd that is more than all that is asked. So new pieces are collected for a moment, and many at
// once are told by a bitfield. Beyond the border of our site, where the machines of each place decide among
// themselves who fetches a piece (site.go), what only we have is told at once to the one that is to fetch it, and all
// else now and then: by gates to gates (gate.go), by and to others seldom.

// borderTime is for how long what gates beyond the border need not know at once is collected.
const borderTime = 300 * time.Millisecond

// bitfieldTime is how far bitfields are apart at least: who sends more than maxBitfields a second is taken for a flood.
const bitfieldTime = 5 * time.Second / (4 * maxBitfields)

const (
	// leastHaveDelay is how long new pieces are collected at least, and always when one of them is nobody else's, or rare in a crowd.
	leastHaveDelay = 20 * time.Millisecond
	// rareOf is the part of a crowd, seeds apart, that makes a piece rare: with each machine that has it, it doubles. Traced among 2,500 machines, a piece was with
	// 255 of them after 0.83 s instead of 1.0, and who passed one on early told of it 140 ms after it came, of 335 to 400 that a step took.
	rareOf = 10
	// havePeerTime is how long for each peer: so what HAVEs take of the uplink does not grow with the number of peers.
	// At 1 ms it was 7 % of 20 Mbit/s, with what acknowledges them; and each wakes both machines.
	havePeerTime = 5 * time.Millisecond
	manyHaves    = 64 // so many do not wait
)

// haveDelay is how long new pieces are collected: no longer than needed while nobody asks for anything, since then
// packets cost nothing and what is told is what we are asked for next.
func (s *session) haveDelay() time.Duration {
	if len(s.asking.conns) == 0 {
		return leastHaveDelay
	}
	for _, p := range s.fresh {
		if n := int(s.others(p)); n == 0 || s.crowded() && n <= (len(s.conns)-s.seeds)/rareOf {
			return leastHaveDelay
		}
	}
	peers := len(s.conns)
	if n := len(s.lan); n > 0 { // others hear less often, and lines between neighbours are wide
		peers = n / 2
	}
	return max(leastHaveDelay, time.Duration(peers)*havePeerTime)
}

// collectHaves is called after each turn of the loop. If soon, a timer is to call flushHaves when so much time has passed,
// and the timer of before is void.
func (s *session) collectHaves() (in time.Duration, soon bool) {
	switch {
	case len(s.fresh) == 0:
		return 0, false
	case len(s.fresh) >= manyHaves:
		s.flushHaves()
		return 0, false
	}
	now := s.now()
	if s.haveSince.IsZero() {
		s.haveSince = now
	}
	due := s.haveSince.Add(s.haveDelay())
	if !s.haveDue.IsZero() && !due.Before(s.haveDue) {
		return 0, false
	}
	s.haveDue = due
	return due.Sub(now), true
}

// flushHaves tells peers of new pieces.
func (s *session) flushHaves() {
	s.haveSince, s.haveDue = time.Time{}, time.Time{}
	now := s.now()
	all := len(s.neighbours()) == 0 || s.complete() || now.Sub(s.toldAll) >= slowBorderTime
	gates := all || s.gate && now.Sub(s.toldGates) >= borderTime
	if len(s.fresh) == 0 && (len(s.inside) == 0 || !gates) {
		return
	}
	s.inside = append(s.inside, s.fresh...)
	for _, c := range s.conns {
		if c.introduced && (all || !s.crosses(c) || gates && (c.gate || c.foreign())) {
			s.tell(c, s.inside, now)
		}
	}
	if gates {
		s.toldGates = now
	}
	if all {
		s.inside, s.toldAll = s.inside[:0], now
	} else {
		s.tellFetchers(now)
	}
	s.fresh = s.fresh[:0]
}

// tell tells c that we have some pieces, those that it was not told of.
func (s *session) tell(c *conn, pieces []int, now time.Time) {
	c.out.put(func(b []byte) []byte {
		from := len(b)
		for _, p := range pieces {
			if s.mayShow(c, p) && c.revealed.add(p) {
				b = wire.AppendIndex(b, wire.Have, uint32(p))
			}
		}
		return s.manyAtOnce(c, b, from, now)
	})
	s.tellLoad(c, now, true)
}

// manyAtOnce has the HAVEs in b[from:] told by a bitfield if that is shorter. Others may take that amiss: BEP 3 has it as the first message only.
func (s *session) manyAtOnce(c *conn, b []byte, from int, now time.Time) []byte {
	if c.shoal && len(b)-from > len(c.revealed.b) && now.Sub(c.toldAll) >= bitfieldTime {
		b, c.toldAll = wire.AppendBitfield(b[:from], c.revealed.b), now
	}
	return b
}

// tellFetchers tells the machine of each place beyond the border that is to fetch it of a piece that nobody else has.
func (s *session) tellFetchers(now time.Time) {
	for _, p := range s.fresh {
		if s.passers(p) > 0 {
			continue
		}
		first := make(map[string]*conn)
		for _, c := range s.conns {
			if !c.introduced || c.lost || c.seed || c.have.has(p) || !s.crosses(c) {
				continue
			}
			place := c.place()
			if o := first[place]; o == nil || c.turn(p).before(o.turn(p)) {
				first[place] = c
			}
		}
		for _, c := range s.conns {
			if first[c.place()] == c {
				s.tell(c, []int{p}, now)
			}
		}
	}
}

// mayShow says whether c may be told that we have p: a v1 peer only what passed SHA-1 too.
func (s *session) mayShow(c *conn, p int) bool {
	return s.have.has(p) && (c.v2 || !s.torrent.HasV2 || s.v1ok.has(p))
}
