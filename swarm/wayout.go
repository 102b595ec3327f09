package swarm

import (
	"time"

	"shoal/swarm/wire"
)

// wayOut bounds what a lane has in all: with writers, in sockets and on its way. What is decided late goes
// to whom it helps most; what lies in sockets can neither be moved nor cancelled. The [governor] keeps the
// link's own queue short once it sees one; this keeps what waits before it short from the start, and knows
// what the line carries. (The rate's filter and probing are BBR's.) Where the system tells nothing of its
// sockets, only slots bound.
type wayOut struct {
	rate  float64 // bytes per second that the line was seen to carry; 0: not known yet
	rates rates
	at    time.Time // since when the next sample is taken
	full  bool      // since then more was to go than the line takes
	known bool      // the line was full of late: it carries no more than rate
	onWay int64     // an upper bound: as last looked at, and what was handed out since
	least time.Duration
	again time.Time // when it may be looked at again: it was full
	held  bool      // something waits for the line
	begun time.Time // when a peer was last handed the first of a piece
	flat  int       // samples of a full line in a row that were no better than before
	usual float64   // the mean rate of the last samples
	// stretch is how many times more may be on its way because what is there is not in the line; 0 counts as 1.
	stretch float64
}

const (
	// lineGoal is how long what is sent may take to be acknowledged beyond the shortest round trip. About half
	// of it is the queue before our own line: acknowledgements wait in the other side's.
	lineGoal = 100 * time.Millisecond
	lineTime = 250 * time.Millisecond
	// firstGoal is the same as lineGoal for what is there when another piece is begun: at 50 ms lines were not full, at 100
	// two pieces went out side by side. leastTurns is the line, in bytes per second, from which on pieces go out in turn.
	firstGoal  = 65 * time.Millisecond
	leastTurns = 1e6
	// pieceTurn is how long a piece's turn is on a line that is not known.
	pieceTurn = 500 * time.Millisecond
	// leastOnWay and firstOnWay are what may be on its way at any rate, and at one that is not known.
	leastOnWay = 32 << 10
	firstOnWay = 256 << 10
	// holdTime is how often a line that is full is looked at: what lies before it lasts for longer. Of one that is not known that cannot be said:
	// it is looked at whenever something happens, and each firstHold.
	holdTime  = 10 * time.Millisecond
	firstHold = 4 * time.Millisecond
	// stuckTime without an acknowledgement, and what is on its way to a peer does not count: it is not in our line.
	stuckTime = 500 * time.Millisecond
	// startFlat and probeEvery are samples; growth is what counts as more.
	startFlat  = 3
	probeEvery = 6
	growth     = 1.1
	// A line that was full now and then and yet carries less than idleShare of the best that it did is not full: what is on its way lies in front
	// of others' lines, each of which may have little. Then stretchStep times more may be, and again, until it carries fullShare. Of a crowd of which
	// half had 8 Mbit/s down, the others, with 20 up, used a third of that. It is the mean of some samples that counts, and three times as much is
	// the most, since a rate may as well be uneven: without need that costs a crowd 2 to 4 % of its time.
	idleShare   = 0.7
	fullShare   = 0.8
	stretchStep = 1.25
	stretchMost = 3
)

// limit is how much may be on its way.
func (l *wayOut) limit() int64 { return l.holds(max(l.stretch, 1)) }

// holds is how much may be in the line, so many times.
func (l *wayOut) holds(times float64) int64 {
	if l.rate == 0 {
		return firstOnWay
	}
	return max(int64(times*l.gain()*l.trip(lineGoal)), leastOnWay)
}

// trip is how much passes in a round trip that takes so much longer than the shortest.
func (l *wayOut) trip(queue time.Duration) float64 { return l.rate * (l.least + queue).Seconds() }

// long says whether a piece takes the line long: more than half of what may be in it.
func (l *wayOut) long(piece int64) bool { return piece > l.holds(1)/2 }

// rest is for how long a line that is full is not looked at again.
func (l *wayOut) rest() time.Duration {
	if l.rate == 0 {
		return 0
	}
	return holdTime
}

// gain is how much more is tried than what the line was seen to carry, as BBR does: twice as much until that
// brings no more, later half as much again now and then. Without, acknowledgements that wait in others'
// queues would keep us at whatever we began with.
func (l *wayOut) gain() float64 {
	switch {
	case l.flat < startFlat:
		return 2
	case (l.flat-startFlat)%probeEvery == probeEvery-1:
		return 1.5
	}
	return 1
}

// ahead is how much one writer is given beyond what it has written, most at most: the line is for several.
func (l *wayOut) ahead(most int64) int64 {
	if l.rate == 0 {
		return most
	}
	return min(max(l.limit()/slots, leastOnWay/2), most)
}

// line is the one that leads to c.
func (c *conn) line() *wayOut { return &c.s.lines[c.lane.Load()] }

// gauge reads what the system knows of c's socket.
func (c *conn) gauge() (gauge, bool) {
	if x, ok := c.nc.(interface{ gauge() gauge }); ok {
		return x.gauge(), true
	}
	return readGauge(c.nc)
}

// look measures a connection's socket.
func (c *conn) look(now time.Time) {
	c.gaugedAt = now
	m, ok := c.gauge()
	if !ok {
		return
	}
	if m.acked > c.wire.acked || m.queued == 0 {
		c.moved = now
	}
	c.wire = m
	if m.queued > 0 && !c.gone {
		c.s.writing.add(c)
	}
}

// onWay is how much of what c was handed counts as being in our line: what is more than c takes, because it was
// handed out before that was known, lies in front of its line.
func (c *conn) onWay(l *wayOut, now time.Time) int64 {
	if now.Sub(c.moved) > stuckTime {
		return 0
	}
	return min(c.wire.queued+c.inflight, c.bound(l, firstOnWay/slots))
}

// bound is how much may be on its way to c or with its writer, most at most while nothing is known: more than
// it takes would lie in front of its line, not ours, and keep ours from others.
func (c *conn) bound(l *wayOut, most int64) int64 {
	if l.rate == 0 {
		return most
	}
	return max(int64(2*c.ackRate*(l.least+lineGoal).Seconds()), 2*leastOnWay)
}

// takes says whether c is to be given another block.
func (c *conn) takes(l *wayOut, most int64, now time.Time) bool {
	if c.inflight >= min(l.ahead(most), most) {
		return false
	}
	ahead := c.bound(l, most)
	if c.inflight+c.wire.queued < ahead {
		return true
	}
	if now.Sub(c.gaugedAt) >= l.rest() {
		if c.look(now); c.inflight+c.wire.queued < ahead {
			return true
		}
	}
	l.held = true
	return false
}

// firstLimit is how much may be on its way for another piece to be begun where pieces go out in turn.
func (l *wayOut) firstLimit() int64 {
	return max(min(int64(max(l.stretch, 1)*l.trip(firstGoal)), l.limit()), leastOnWay)
}

// hasRoom says whether a line takes more, with so much on its way at most. It looks at sockets only when they may be full, and not again soon if they are.
func (s *session) hasRoom(l *wayOut, limit int64, now time.Time) bool {
	if l.onWay < limit {
		return true
	}
	if now.Before(l.again) {
		l.held, l.full = true, true
		return false
	}
	l.onWay = 0
	for i := len(s.writing.conns) - 1; i >= 0; i-- {
		o := s.writing.conns[i]
		if o.line() != l {
			continue
		}
		if o.wire.queued == 0 && o.inflight == 0 && o.sent == o.looked {
			s.writing.remove(o)
			continue
		}
		o.look(now)
		o.looked = o.sent
		l.onWay += o.onWay(l, now)
	}
	if l.onWay < limit {
		return true
	}
	l.held, l.full, l.again = true, true, now.Add(l.rest())
	return false
}

// meterLines measures what the lines carry.
func (s *session) meterLines(now time.Time) {
	for _, l := range []*wayOut{&s.lines[away], &s.lines[near]} {
		d := now.Sub(l.at)
		if d < lineTime {
			continue
		}
		var acked uint64
		var least time.Duration
		for _, c := range s.conns {
			if c.line() != l || c.sent+c.inflight == 0 {
				continue
			}
			c.look(now)
			n := c.wire.acked - c.ackMark
			c.ackMark = c.wire.acked
			c.ackRate = max(float64(n)/d.Seconds(), c.ackRate/2)
			acked += n
			if n > 0 {
				least = max(least, c.wire.least)
			}
		}
		if least > 0 {
			l.least = least
		}
		if !l.at.IsZero() { // else it is not known since when
			l.take(now.Unix(), float64(acked)/d.Seconds())
		}
		l.at, l.full = now, false
	}
}

// take takes in a sample of the rate.
func (l *wayOut) take(second int64, rate float64) {
	switch {
	case rate > growth*l.rate && l.flat < startFlat:
		l.flat = 0
	case rate > growth*l.rate:
		l.flat = startFlat + probeEvery - 1 // more still
	case l.full:
		l.flat++
	}
	x := l.rates.at(second)
	x.rate, x.full = max(x.rate, rate), x.full || l.full
	l.rate, l.known = l.rates.best(second)
	if l.usual == 0 {
		l.usual = rate
	}
	l.usual += (rate - l.usual) / 4
	switch {
	case l.rate == 0:
		l.usual, l.stretch = 0, 0
	case l.full && l.usual < idleShare*l.rate && l.rate*lineTime.Seconds() > wire.MaxBlock: // else a block more or less is the difference
		l.stretch = min(max(l.stretch, 1)*stretchStep, stretchMost)
	case !l.full || l.usual > fullShare*l.rate:
		l.stretch = max(l.stretch/stretchStep, 1)
	}
}

// holdSoon is called after each turn of the loop. If soon, a timer is to serve again when so much time has passed.
func (s *session) holdSoon() (in time.Duration, soon bool) {
	in = holdTime
	for i := range s.lines {
		l := &s.lines[i]
		if l.held && l.rate == 0 {
			in = firstHold
		}
		soon, l.held = soon || l.held, false
	}
	if !soon || s.holding {
		return 0, false
	}
	s.holding = true
	return in, true
}

// carries is how many bytes per second the line carries; 0: it was not full of late, and nobody knows.
func (l *wayOut) carries() float64 {
	if !l.known {
		return 0
	}
	return l.rate
}
