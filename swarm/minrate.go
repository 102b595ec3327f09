package swarm

import "time"

// slowTime is for how long peers may deliver less than the least rate before web seeds help.
const slowTime = 5 * time.Second

// delivery is what peers have brought in the last slowTime, looked at each second: the time of the last block counts, not
// that of the look, since a block may be what comes in half a second.
type delivery struct {
	bytes int64     // ever
	last  time.Time // when the last of them came
	at    [slowTime/time.Second + 1]time.Time
	total [slowTime/time.Second + 1]int64 // bytes until then
}

func (d *delivery) brought(now time.Time, n int64) { d.last, d.bytes = now, d.bytes+n }

// look is called each second.
func (d *delivery) look(now time.Time) {
	copy(d.at[:], d.at[1:])
	copy(d.total[:], d.total[1:])
	at := d.last
	if now.Sub(at) > webStall {
		at = now
	}
	d.at[len(d.at)-1], d.total[len(d.total)-1] = at, d.bytes
}

// rate is bytes per second; not known before slowTime is over.
func (d *delivery) rate() (perSec float64, known bool) {
	end := len(d.at) - 1
	if d.at[0].IsZero() {
		return 0, false
	}
	return float64(d.total[end]-d.total[0]) / d.at[end].Sub(d.at[0]).Seconds(), true
}

// usefulPeers says whether peers do deliver, or may be about to: then web seeds, such as w, only fill gaps.
// An origin that leases pieces shows none at first, and is company all the same. Peers that
// deliver less than the least rate are none after a while.
func (s *session) usefulPeers(w *webSeed, now time.Time) bool {
	useful, patience := false, time.Duration(0)
	for _, c := range s.conns {
		switch {
		case now.Sub(later(s.lastPeer, c.joined)) >= webStall:
		case c.role == RoleOrigin:
			// It decides whom it gives its uplink: a whole crowd that comes to its other door helps nobody.
			useful, patience = true, s.crowdPatience()
		case !c.introduced, c.useful > 0 && (!c.choked || now.Sub(c.joined) < webGrace):
			useful = true
		}
	}
	least := float64(s.t.node.Limits().MinRate)
	if !useful && s.queues(w, least == 0, now) {
		return true
	}
	if !useful {
		s.companySince, s.slowSince = now, now
		return false
	}
	if l := s.t.node.down[away].Rate(); l > 0 {
		least = min(least, float64(l)/2)
	}
	early := now.Sub(s.companySince) < slowTime+time.Second // the first second is for getting up to speed
	if rate, known := s.delivery.rate(); early || !known || rate >= least {
		s.slowSince = now
		return true
	}
	return now.Sub(s.slowSince) < patience // a swarm is never much slower than a plain download
}

// crowdPatience is how long this machine waits for its turn in a crowd. It is not the same for all: what goes to few at the other door gets on, and to all nothing does.
func (s *session) crowdPatience() time.Duration {
	return slowTime + time.Duration(claim(s.t.node.cfg.PeerID)%uint64(2*slowTime))
}

// queues says whether w is the other door of an origin that is a peer of ours, and has not given us anything for a while since it gives to others: on a slow line a crowd's turns take
// longer than webStall. ever is that nobody is to go there for being slow.
func (s *session) queues(w *webSeed, ever bool, now time.Time) bool {
	e := s.book.pinned[w.host]
	if e == nil {
		return false
	}
	for _, c := range s.conns {
		if c.role == RoleOrigin && s.book.pinned[c.pin] == e && (ever || now.Sub(later(s.lastPeer, c.joined)) < s.crowdPatience()) {
			return true
		}
	}
	return false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
