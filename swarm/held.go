package swarm

import (
	"slices"
	"time"
)

// Hold says what a transfer is held back by, or would be if it were faster.
type Hold uint8

// What a fetch can be held back by, and a seed that others lack something of. Of several the first counts.
const (
	HoldLink    Hold = iota // nothing: our own link is as busy as it was ever seen
	HoldLimit               // a limit that was set
	HoldBudget              // seeds: the day's ration is spent
	HoldDisk                // all is here, and is being verified or put in place
	HoldNobody              // nobody is connected
	HoldLAN                 // waiting for machines of the same site,
	HoldPeers               // for other machines (seeds: for those that take what they are given),
	HoldEdges               // for edges,
	HoldOrigin              // for the origin: their uplinks, or what they are busy with
	HoldChoked              // those who have what is missing do not give it to us
	HoldPieces              // nobody who is connected has what is missing
	HoldUnasked             // seeds: nobody asks, they get it from each other
	Holds
)

var holdNames = [Holds]string{"link", "limit", "budget", "disk", "nobody", "lan", "peers", "edges", "origin", "choked", "pieces", "unasked"}

func (h Hold) String() string { return holdNames[h] }

// TMin is the shortest time in which what was fetched, or given by a seed, could have gone over
// this machine's link: all of it at the rate of the best second. Zero if there was no such second.
func (s *Stats) TMin() time.Duration {
	n, best := -s.From[Reuse], s.PeakDown
	for _, from := range s.From {
		n += from
	}
	if n == 0 {
		best = s.PeakUp
		for _, to := range s.To {
			n += to
		}
	}
	if best == 0 {
		return 0
	}
	return time.Duration(float64(n) / float64(best) * float64(time.Second))
}

// account adds the time since the last look to what holds the transfer back.
func (s *session) account(now time.Time) {
	passed := min(now.Sub(s.accounted), 2*quietTime)
	first := s.accounted.IsZero()
	s.accounted = now
	if first || s.torrent == nil {
		return
	}
	var h Hold
	switch {
	case s.fetch != nil && !s.placed:
		h = s.fetchHeld()
	case s.leechers() > 0 && s.complete():
		h = s.seedHeld()
	default:
		return // there is nothing to do
	}
	s.t.counts.held[h].Add(int64(passed))
}

// busyShare is how much of the best rate counts as a link that is busy.
const busyShare = 0.9

func (s *session) fetchHeld() Hold {
	c := &s.t.counts
	down := float64(c.downRate.Load())
	if s.limited(away, down) || s.limited(near, down) {
		return HoldLimit
	}
	fast := down > 0 && down >= busyShare*float64(c.peakDownPerSec.Load())
	if s.missing() == 0 && !fast {
		return HoldDisk
	}
	var waits [Classes]int64
	useful, busy := false, 0 // how many have been asked
	for _, o := range s.conns {
		waits[o.class] += o.outstanding
		useful = useful || o.useful > 0
		if o.outstanding > 0 {
			busy++
		}
	}
	for _, w := range s.webs {
		for r := range w.runs {
			waits[r.class()] += r.left()
			busy++
		}
	}
	switch {
	case fast && busy != 1: // the best second of one source alone says nothing of our link
		return HoldLink
	case busy > 0:
		most := LAN
		for class := LAN; class < Classes; class++ {
			if waits[class] > waits[most] {
				most = class
			}
		}
		return HoldLAN + Hold(most-LAN)
	case len(s.conns) == 0:
		return HoldNobody
	case useful:
		return HoldChoked
	case s.pick.left() == 0:
		return HoldDisk // what is begun is here, and being hashed
	}
	return HoldPieces
}

// limited says whether what is asked for over a lane is held back by a limit that was set.
func (s *session) limited(l lane, down float64) bool {
	limit := s.rateIn(l)
	if limit == 0 || down < busyShare*float64(limit) && s.outstanding[l] < s.mostAsked(l)/2 {
		return false
	}
	return slices.ContainsFunc(s.conns, func(o *conn) bool { return o.outstanding > 0 && o.lane.Load() == l }) ||
		l == away && slices.ContainsFunc(s.webs, func(w *webSeed) bool { return len(w.runs) > 0 })
}

func (s *session) seedHeld() Hold {
	c := &s.t.counts
	up := float64(c.upRate.Load())
	for l := range lanes {
		limit := s.t.node.up[l].Rate()
		lacks := func(o *conn) bool { return !o.seed && o.lane.Load() == l }
		if limit > 0 && up >= busyShare*float64(limit) && slices.ContainsFunc(s.conns, lacks) {
			return HoldLimit
		}
	}
	if up > 0 && up >= busyShare*float64(c.peakUp.Load()) {
		return HoldLink
	}
	if s.spent {
		return HoldBudget
	}
	if s.gives() {
		return HoldPeers
	}
	return HoldUnasked
}

// left is how many bytes the run still asks for.
func (r *webRun) left() int64 {
	first, end := r.rest()
	if first >= end {
		return 1
	}
	last := r.ops[end-1]
	return last.offset + last.length - r.at.Load()
}
