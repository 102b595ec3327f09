package swarm

import (
	"slices"
	"time"
)

// How peers get on with what an origin leases to them: which of them are in the way, and when leasing is over.

// review ends leases of peers that do not ask, ask too slowly, or do not pass on.
func (v *revealer) review(now time.Time, passed time.Duration, w crowd) {
	for _, r := range v.joined {
		if w.deaf(r.c) {
			for _, l := range slices.Clone(r.leases) {
				v.giveBack(l)
			}
			continue
		}
		var oldest *lease // of those that it is to pass on
		unasked := false
		fetching := now.Sub(r.moved) < movingTime && slices.ContainsFunc(r.leases, func(l *lease) bool { return l.asked && !l.sent() })
		for _, l := range slices.Clone(r.leases) {
			switch {
			case !l.sent():
				deaf := !l.asked && now.Sub(l.at) > askTime && now.Sub(r.moved) > stallTime
				slow := v.total-l.mark-l.out > slack*(w.room+l.bytes) // others have taken much more meanwhile
				switch {
				case deaf || slow:
					unasked = true
					v.giveBack(l)
				case fetching && !l.asked && l.overdue(now, w.long()): // its line is slow: this waits behind others
					v.giveBack(l)
					v.hidden = append(v.hidden, grant{l.piece, l.to})
				}
			case !v.anyLacks(l.piece, l.to, w):
				v.end(l) // nobody is left to pass it on to
			case oldest == nil || l.full.Before(oldest.full):
				oldest = l
			}
		}
		if oldest != nil {
			r.busy += passed
			// One goes to another, in case it is the peer's fault.
			if patience := v.patience(); now.Sub(oldest.full) > patience && now.Sub(r.passed) > patience {
				r.passed = now
				v.learn(now.Sub(oldest.full))
				v.takeFrom(oldest, now)
			}
		}
		if unasked {
			v.punish(r, now)
			r.moved = now
		}
	}
	v.wake(now, w)
}

// punish has a peer get no leases for a while, and for longer each time that it has passed on nothing since: the first time
// it may be the connection's fault, whose first packets were lost in a queue that all of the crowd filled at once.
func (v *revealer) punish(r *relay, now time.Time) {
	r.penalty = now.Add(min(penaltyFirst<<min(2*r.punished, 10), penaltyTime))
	r.punished++
}

// patience is how long a lessee may have a piece without its being seen elsewhere. Large pieces take longer, and so does
// a large crowd, of which only some are our peers: a piece is with a hundredth of it before one of these has it.
func (v *revealer) patience() time.Duration { return min(max(3*v.took, stallTime), stallMost) }

// learn takes in how long a piece took, or at least takes.
func (v *revealer) learn(took time.Duration) { v.took += (took - v.took) / 8 }

// takeFrom gives back a lease of a peer that is in the way; the second time it gets no others.
func (v *revealer) takeFrom(l *lease, now time.Time) {
	r := v.peers[l.to]
	v.giveBack(l)
	if r.stalls++; r.stalls >= 2 {
		v.punish(r, now)
	}
}

// wake looks whether lessees keep the uplink from its work: if little leaves though as much as may
// be is leased, the lease that has waited longest goes to another.
func (v *revealer) wake(now time.Time, w crowd) {
	if now.Sub(v.markAt) < askTime {
		return
	}
	used := float64(v.total-v.mark) / now.Sub(v.markAt).Seconds()
	v.markAt, v.mark = now, v.total
	if v.unsent < w.room || used > w.rate/8 {
		return
	}
	var oldest *lease
	for _, r := range v.joined {
		for _, l := range r.leases {
			if !l.sent() && now.Sub(l.at) > askTime && (oldest == nil || l.at.Before(oldest.at)) {
				oldest = l
			}
		}
	}
	if oldest != nil {
		v.takeFrom(oldest, now)
	}
}

// onlyOverdue says whether all that is still to go waits for who is slow to fetch it.
func (v *revealer) onlyOverdue(now time.Time, w crowd) bool {
	for _, l := range v.leases {
		if !l.sent() && !l.overdue(now, w.long()) {
			return false
		}
	}
	return true
}

func (v *revealer) anyLacks(p int, but *conn, w crowd) bool {
	for _, r := range v.joined {
		if r.c != but && w.wants(r.c, p) {
			return true
		}
	}
	return false
}

// idle says whether the peers pass nothing on: then hiding pieces only slows everybody.
func (v *revealer) idle(now time.Time, w crowd) bool {
	if v.spreads > 0 || v.firstOut.IsZero() || len(v.order) == 0 {
		return false
	}
	piece := 0.0
	if w.rate > 0 {
		piece = float64(w.length(v.order[0])) / w.rate
	}
	return now.Sub(v.firstOut) > relayTime+time.Duration(slack*piece*float64(time.Second))
}

// late says whether the phase takes so long that it cannot be of use any more.
func (v *revealer) late(now time.Time, w crowd) bool {
	took := now.Sub(v.since)
	if took < phaseTime {
		return false
	}
	if w.rate <= 0 {
		return true
	}
	all := float64(w.length(v.order[0])) * float64(len(v.order))
	return took.Seconds() > phaseTime.Seconds()+slack*all/w.rate
}

const (
	// manyLeechers is how many peers must lack something for a crowd to be left alone: what we give is less than a
	// twentieth of what they give each other.
	manyLeechers = manySources
	// aloneTime is how long nobody may say anything new while it is.
	aloneTime = time.Second
)

// leaves says whether a crowd that has everything is left alone: one that was large, and gets on.
func (v *revealer) leaves(now time.Time, w crowd) bool {
	v.alone = w.leechers >= 2 && (v.alone || w.leechers > manyLeechers) && now.Sub(v.told) < aloneTime && !v.anyStarves(now, w) && !v.late(now, w)
	return v.alone
}

// anyStarves says whether the crowd gives somebody nothing: nobody else may reach him.
func (v *revealer) anyStarves(now time.Time, w crowd) bool {
	patience := starvePatience(w.length(0))
	return slices.ContainsFunc(v.joined, func(r *relay) bool {
		return !r.c.seed && now.Sub(r.gained) >= patience && !w.deaf(r.c)
	})
}
