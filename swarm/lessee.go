package swarm

import (
	"math"
	"slices"
	"time"
)

// To whom an origin leases a piece. What a peer passes on in a second is little more than how many leases it has over the second or so that
// each takes to be seen elsewhere, as long as its line is not full. Taken for what it can do it kept whoever had few leases
// at first, or was punished for a moment, at few for ever: a line of 16 went two thirds unused.
const (
	rateTrust = 0.75 // the exponent of a rate that is seen
	rateDoubt = 3    // seconds of the mean rate that each is taken to have been seen at before
)

// lessee is the peer that will have passed p on to all first: the one with the least (copies it still owes +
// neighbours) over the rate at which its leases were seen to spread, or rather a power of it that is nearer to all others':
// who has few leases spreads few, and would be given few for ever. wanted says whether anybody lacks the piece.
// Who is penalised, or has yet to fetch what it was leased long ago, is as good as any if there is nobody else.
func (v *revealer) lessee(now time.Time, p int, w crowd) (best *conn, wanted bool) {
	var least float64
	penalised := true // best is
	long := w.long()
	n := float64(len(v.peers))
	spread, busy := 1.0, 0.3
	for _, r := range v.joined {
		spread += float64(r.spread)
		busy += r.busy.Seconds()
	}
	mean := spread / busy
	for _, r := range v.joined {
		if !w.wants(r.c, p) {
			continue
		}
		wanted = true
		his := now.Before(r.penalty) || slices.ContainsFunc(r.leases, func(l *lease) bool { return l.overdue(now, long) })
		if his && !penalised || w.deaf(r.c) {
			continue
		}
		rate := (float64(r.spread) + rateDoubt*mean) / (r.busy.Seconds() + rateDoubt)
		score := (float64(len(r.leases))*n + n) / math.Pow(rate, rateTrust)
		if best == nil || penalised && !his || score < least {
			best, least, penalised = r.c, score, his
		}
	}
	return best, wanted
}
