package swarm

import (
	"time"

	"shoal/swarm/wire"
)

// Who is asked for nothing in a crowd, and has what others lack, says so to some of them: they have asked busier
// machines for it, and cannot know. When a release comes out, a few have something to give, and all others ask them for
// it; who gets some of it then would stand idle until something new comes, beside neighbours that wait for seconds.

const (
	// offers is how many are told at a time: each takes a piece, if it has one that waits.
	offers = 4
	// offerPause is how far apart: most are asked for something soon.
	offerPause = 50 * time.Millisecond
	// offerTime is how often each of them is told, and for how long it must have waited for a piece that it takes elsewhere.
	offerTime = 200 * time.Millisecond
	// emptyOffer is for how long no offer is taken of one that turned down what it had offered to bring, or did not bring it.
	emptyOffer = 10 * time.Second
)

// offer tells some who lack what is here that we have nothing to do, if that is so.
func (s *session) offer(now time.Time) {
	if now.Sub(s.offeredAt) < offerPause || !s.crowded() || s.reveal != nil {
		return
	}
	for _, c := range s.asking.conns {
		if c.wire.queued+c.inflight == 0 || now.Sub(c.moved) < stuckTime { // else it takes nothing
			return
		}
	}
	s.offeredAt = now
	n, l := 0, wire.Load{Rate: uint32(s.lines[away].carries())}
	for c := range s.around() {
		if !c.introduced || !c.wants || c.choking || c.theirShoal == 0 || now.Sub(c.toldLoad) < offerTime || c.have.covers(&s.have) {
			continue
		}
		c.toldLoad, c.ourLoad = now, l
		c.out.put(func(b []byte) []byte { return wire.AppendLoad(b, c.theirShoal, l) })
		if n++; n == offers {
			return
		}
	}
}

// offered has c, who has nothing to do, take over the piece that has waited longest elsewhere, of those of which nothing is here.
func (s *session) offered(c *conn, now time.Time) {
	if now.Sub(c.offeredAt) < offerTime/2 || c.asked > 0 || !s.crowded() || !s.canAsk(c) || !s.room(c) {
		return
	}
	c.offeredAt = now
	var oldest *request
	for _, o := range s.conns {
		if !o.fast { // it cannot say that it was cancelled in time
			continue
		}
		for _, q := range o.order {
			if now.Sub(q.at) < offerTime || oldest != nil && !q.at.Before(oldest.at) {
				break // and so are all behind it
			}
			if q.op.here == 0 && s.mayMove(c, q) {
				oldest = q
				break
			}
		}
	}
	if oldest != nil {
		s.moves(c, oldest.of, oldest.op)
	}
}

// broke takes note that c does not bring what it was asked for. If nothing has come since it offered to, what it offers soon after is not taken.
func (c *conn) broke(now time.Time) {
	if c.offeredAt.After(c.lastBlock) {
		c.offeredAt = now.Add(emptyOffer)
	}
}
