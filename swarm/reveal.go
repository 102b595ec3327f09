package swarm

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// revealer decides to whom an origin shows which piece. In a crowd each piece is leased to one
// peer, which passes it on to all others, so that the origin sends about one copy; when every
// piece has left once, or the peers do not pass things on, the origin is an ordinary seed.
// (BEP 16's own rule, the next piece once the last was seen elsewhere, costs a round trip per
// piece and stalls among peers that cannot reach each other.)
//
// Invariants, which reveal_test.go holds:
//  1. a lease is settled only after its lessee had the piece, never because another claims it;
//  2. the lessee's end returns its unspread leases, whatever others claim, and so does its silence;
//  3. a stall is measured against the lessee's progress, not the piece's age: what is taken from one that fetches slowly is no stall;
//  4. the exclusive phase always ends by time.
//
// A large crowd gives itself so much more than we could that it is left alone once it has everything, for as long as
// it, and each of its machines, gets on: the phase goes on without leases, but for what is given back.
//
// How much it gives in all, and what happens when that is spent, is hunger.go's.
//
// It does no I/O and belongs to the loop. A nil revealer allows everything.
type revealer struct {
	rnd       *rand.Rand
	exclusive bool
	over      bool // the exclusive phase has ended for good
	order     []int
	next      int            // order[next:] was never leased
	returned  []int          // leased and given back, longest ago first
	hidden    []grant        // of them, what is to be hidden from the lessee, who would ask for it still
	leases    map[int]*lease // unsettled
	unsent    int64          // bytes leased and not yet sent
	sentOf    []int64        // bytes of each piece that went out, ever
	touched   bitset         // pieces that somebody has asked for who is there
	left      int            // pieces of which no full copy has gone out
	since     time.Time      // when the exclusive phase began
	firstOut  time.Time      // when the first leased piece was out as a whole
	progress  time.Time      // last time anything was sent, leased or spread
	told      time.Time      // last time anybody said that he has a piece that he was not leased
	alone     bool           // the crowd is left alone
	spreads   int            // copies seen at peers that we did not send
	took      time.Duration  // how long it is on the average from a lessee's having a piece to its being seen elsewhere
	total     int64          // bytes sent
	markAt    time.Time      // when the uplink's use was last looked at
	mark      int64          // total at that time
	planned   time.Time      // last look at all leases
	peers     map[*conn]*relay
	joined    []*relay // the same, in the order they came
}

// lease is a piece shown to one peer.
type lease struct {
	piece int
	to    *conn
	at    time.Time
	bytes int64
	out   int64     // bytes of it that went to the lessee
	mark  int64     // bytes that had gone to anybody when it began
	full  time.Time // when a whole copy had gone to the lessee
	asked bool      // the lessee has asked for some of it
	given bool      // the lessee says it has it
}

// sent says that a whole copy went to the lessee, or that it has one.
func (l *lease) sent() bool { return l.out >= l.bytes }

// unsent is how much of it is still to go.
func (l *lease) unsent() int64 { return max(0, l.bytes-l.out) }

// overdue says whether its lessee has yet to fetch some of it though it has had it for so long. Others than Shoal have reasons
// of their own for what they ask when, and ask for what they were shown once after it was taken from them.
func (l *lease) overdue(now time.Time, long time.Duration) bool {
	return !l.sent() && l.to.shoal && now.Sub(l.at) > long
}

// relay is what is known of a peer's passing on.
type relay struct {
	c        *conn
	leases   []*lease      // oldest first
	spread   int           // copies seen elsewhere of what it was leased
	busy     time.Duration // for how long it has had something to pass on
	moved    time.Time     // when it last took something
	passed   time.Time     // when something of it was last seen elsewhere
	gained   time.Time     // when it last had a piece that it was not leased
	stalls   int           // leases taken from it since
	penalty  time.Time     // no leases until then
	punished int           // how often since it last passed something on
}

// The exclusive phase's clocks.
const (
	fetchTime    = time.Second / 2  // plus twice what all that may be leased takes to go out: who fetches a lease later is slow
	movingTime   = time.Second      // who has taken something since fetches
	askTime      = 5 * time.Second  // a lease that was not asked for by then goes to another
	stallTime    = 3 * time.Second  // nothing has moved for so long: something is wrong
	stallMost    = 15 * time.Second // the same of a crowd where all take longer
	penaltyFirst = 3 * time.Second
	penaltyTime  = 60 * time.Second
	relayTime    = 5 * time.Second  // what has left is to be seen elsewhere by then
	phaseTime    = 30 * time.Second // plus four times what it should take is the phase's end
	slack        = 4                // times longer than it should take is too long
)

func newRevealer(pieces int, rnd *rand.Rand) *revealer {
	return &revealer{rnd: rnd, order: rnd.Perm(pieces), leases: make(map[int]*lease),
		sentOf: make([]int64, pieces), touched: newBitset(pieces), left: pieces, peers: make(map[*conn]*relay)}
}

// joins takes in a new peer, and says whether it is shown pieces one by one. leechers counts it.
func (v *revealer) joins(c *conn, leechers int, now time.Time) bool {
	if !v.exclusive && !v.over && leechers >= 2 && v.left > 0 {
		v.exclusive, v.since, v.progress, v.markAt, v.mark = true, now, now, now, v.total
	}
	r := &relay{c: c, moved: now, gained: now}
	v.peers[c] = r
	v.joined = append(v.joined, r)
	return v.exclusive
}

// reserve is how much of what may be given is kept for pieces that have not left at all, when somebody asks for p:
// second copies of some must not leave others without a first.
func (v *revealer) reserve(p int, length func(p int) int64) int64 {
	if v == nil || v.sentOf[p] < length(p) {
		return 0
	}
	return v.kept(length)
}

// kept is how much of what may be given is kept for pieces that have not left at all.
func (v *revealer) kept(length func(p int) int64) int64 {
	if v == nil {
		return 0
	}
	return int64(v.left) * length(0)
}

// allows says whether c may have p now: in the exclusive phase only what it was shown, and, for
// those who were shown everything before that, what has never left; and nothing that another has
// the lease of.
func (v *revealer) allows(c *conn, p int) bool {
	if v == nil || !v.exclusive {
		return true
	}
	if l := v.leases[p]; l != nil {
		return l.to == c
	}
	if c.open {
		return v.sentOf[p] == 0
	}
	return c.revealed.has(p)
}

// asked takes note that c has asked for some of p, which is length long. Who was shown everything before
// the phase began takes a lease by asking: half a piece would be nobody's.
func (v *revealer) asked(c *conn, p int, length int64, now time.Time) {
	if v == nil {
		return
	}
	v.touched.add(p)
	if !v.exclusive {
		return
	}
	l := v.leases[p]
	if l == nil && c.open {
		l = v.grant(c, p, length, now)
	}
	if l != nil && l.to == c {
		l.asked = true
	}
}

// grant leases p to c.
func (v *revealer) grant(c *conn, p int, length int64, now time.Time) *lease {
	l := &lease{piece: p, to: c, at: now, bytes: length, mark: v.total}
	v.leases[p] = l
	v.peers[c].leases = append(v.peers[c].leases, l)
	v.unsent += length
	if now.After(v.peers[c].penalty) { // else it proves nothing
		v.progress = now
	}
	return l
}

// has takes note that c says it has p. Only what is seen elsewhere after the lessee had it counts
// as passed on.
func (v *revealer) has(c *conn, p int, now time.Time) {
	l := v.leases[p]
	if l == nil || l.to != c {
		v.told = now
		if r := v.peers[c]; r != nil {
			r.gained = now
		}
	}
	if l == nil {
		return
	}
	r := v.peers[l.to]
	switch {
	case l.to == c:
		l.given = true
		if !l.sent() { // it wants no more of it from us
			v.isOut(l, now)
		}
	case l.sent() || l.given:
		v.spreads++
		v.learn(now.Sub(l.full))
		v.progress = now
		r.spread++
		r.stalls, r.punished, r.passed = 0, 0, now
		v.end(l)
	}
}

// end takes a lease off the books.
func (v *revealer) end(l *lease) {
	delete(v.leases, l.piece)
	v.unsent -= l.unsent()
	if r := v.peers[l.to]; r != nil {
		r.leases = slices.DeleteFunc(r.leases, func(x *lease) bool { return x == l })
	}
}

// giveBack ends a lease of which nothing was seen elsewhere: the piece is leased anew.
func (v *revealer) giveBack(l *lease) {
	v.end(l)
	v.returned = append(v.returned, l.piece)
}

// sent takes note of n bytes of p, which is length long, that went to c.
func (v *revealer) sent(c *conn, p int, n, length int64, now time.Time) {
	before := v.sentOf[p]
	v.sentOf[p] += n
	if before < length && v.sentOf[p] >= length {
		v.left--
	}
	v.total += n
	v.progress = now
	l := v.leases[p]
	if l == nil || l.to != c || l.sent() {
		return
	}
	v.peers[c].moved = now
	v.unsent -= min(n, l.unsent())
	if l.out += n; l.sent() {
		v.isOut(l, now)
	}
}

// isOut notes that nothing of a lease is to be sent any more.
func (v *revealer) isOut(l *lease, now time.Time) {
	v.unsent -= l.unsent()
	l.out, l.full = l.bytes, now
	if v.firstOut.IsZero() {
		v.firstOut = now
	}
}

// gone returns what c was leased and has not been seen to pass on.
func (v *revealer) gone(c *conn) {
	if r := v.peers[c]; r != nil {
		for _, l := range slices.Clone(r.leases) {
			v.giveBack(l)
		}
		v.joined = slices.DeleteFunc(v.joined, func(x *relay) bool { return x == r })
	}
	delete(v.peers, c)
	if len(v.peers) == 0 {
		v.touched = newBitset(len(v.order))
	}
}

// crowd is what a revealer is told of the swarm when it plans.
type crowd struct {
	leechers int
	room     int64                 // how many bytes may be leased and unsent
	rate     float64               // bytes per second that we can send; 0: not known yet
	wants    func(*conn, int) bool // whether a peer lacks a piece and can be given it
	deaf     func(*conn) bool      // whether a peer acknowledges nothing of what it is sent
	length   func(p int) int64     // of a piece
}

// long is the time after which a lease should have been fetched. A line that is not known may be slow itself.
func (w crowd) long() time.Duration {
	if w.rate <= 0 {
		return askTime
	}
	return fetchTime + time.Duration(2*float64(w.room)/w.rate*float64(time.Second))
}

// grant is a piece to show to a peer.
type grant struct {
	piece int
	to    *conn
}

// plan decides what to lease now. done says that the exclusive phase is over, for now or for good.
func (v *revealer) plan(now time.Time, w crowd) (grants []grant, done bool) {
	if !v.exclusive {
		return nil, false
	}
	if look := now.Sub(v.planned); look >= tickTime {
		v.review(now, min(look, time.Second), w)
		v.planned = now
	}
	for tries := min(len(v.returned), maxTries); v.unsent < w.room; tries-- {
		p, ok := v.candidate(tries > 0)
		if !ok {
			break
		}
		to, wanted := v.lessee(now, p, w)
		if to != nil {
			v.grant(to, p, w.length(p), now)
			grants = append(grants, grant{p, to})
			continue
		}
		if !wanted {
			continue // it is spread already; late-comers get it when the phase is over
		}
		if tries <= 0 { // those who want it may have no lease at the moment: try again later
			v.next--
			break
		}
		v.returned = append(v.returned, p)
	}
	switch {
	case v.next == len(v.order) && v.leaves(now, w):
	case v.next == len(v.order) && len(v.returned) == 0 && v.onlyOverdue(now, w), now.Sub(v.progress) > stallTime, v.idle(now, w), v.late(now, w):
		v.exclusive, v.over = false, true
	case w.leechers < 2:
		v.exclusive = false // it may begin again
		for _, p := range slices.Sorted(maps.Keys(v.leases)) {
			v.giveBack(v.leases[p])
		}
	}
	return grants, !v.exclusive
}

// maxTries is how many pieces that were given back are looked at in one go.
const maxTries = 8

// candidate is the next piece to lease: one that was given back, or one that was never leased.
func (v *revealer) candidate(again bool) (p int, ok bool) {
	if again {
		p = v.returned[0]
		v.returned = v.returned[1:]
		return p, true
	}
	for v.next < len(v.order) {
		p = v.order[v.next]
		v.next++
		if v.untouched(p) { // else it left before the phase began, or was asked for
			return p, true
		}
	}
	return 0, false
}

// untouched says whether nothing of p has left or was asked for, and nobody has the lease of it.
func (v *revealer) untouched(p int) bool {
	return v.sentOf[p] == 0 && !v.touched.has(p) && v.leases[p] == nil
}
