package swarm

import (
	"cmp"
	"slices"
	"time"

	"shoal/piece"
)

const (
	// stealAge is how long a request must have waited, and have to wait on, before an idle source may take it
	// over: at least, and at most where that has come too late before (see margin).
	stealAge  = 300 * time.Millisecond
	stealMost = time.Second
	// silence is how long a source that was asked may say nothing before all of it may be, beyond the time that
	// its blocks take.
	silence = time.Second
	// snubTime is how long it may, before it is asked for no more than a block at a time.
	snubTime = 5 * time.Second
	// stuckWait stands for "no idea when".
	stuckWait = time.Hour
	// manySources is from how many on each gives too little for its rate to be known well, and is busy for others when
	// it is not for us: then only what takes more than twice as long is moved. Before,
	// 100 machines moved nine requests for each ten blocks, and got 3.6 % twice (2.0 % since); to 16 it costs 0.2 %.
	manySources = 20
	// stealChecks bounds the work of one tick.
	stealChecks = 20_000
)

// crowded says whether there are so many sources.
func (s *session) crowded() bool { return len(s.conns)-len(s.lan) > manySources }

// wait is how long c will take to answer all it was asked, as far as one can tell.
func (c *conn) wait(now time.Time) time.Duration {
	backlog, told := c.backlog(now)
	quiet := now.Sub(c.heard())
	switch {
	case c.asked == 0:
		return backlog
	case c.choked, quiet > c.patience() && (!told || quiet > c.patience()+c.load.wait()):
		return stuckWait
	case told:
		return backlog
	case c.rateDown == 0:
		return queueDelay
	}
	return time.Duration(min(float64(c.outstanding)/c.rateDown, stuckWait.Seconds()) * float64(time.Second))
}

// lately is how long c's last answer took, and the less the longer ago that was: who was asked for nothing by us may
// be busy for others all the same.
func (c *conn) lately(now time.Time) time.Duration {
	return max(0, c.lag-now.Sub(c.lagAt)*3/10)
}

// patience is how long c may say nothing: a second, or as long as all that others were asked for takes to come, snubTime at most. So long it waits
// in front of our own line where that is the slow one. A block counts when all of it is here: over a site's border, which many
// share, it takes a while, and who takes over what is on its way fills the border with what comes twice.
func (c *conn) patience() time.Duration {
	lane, least := c.lane.Load(), silence
	if rate := c.s.arrives[lane]; rate > 0 {
		least = max(least, time.Duration(min(float64(c.s.outstanding[lane]-c.outstanding)/rate, snubTime.Seconds())*float64(time.Second)))
	}
	q := c.oldest()
	if q == nil || c.rateDown == 0 || !c.s.crosses(c) {
		return least
	}
	return max(least, min(silence+time.Duration(3*float64(q.length)/c.rateDown*float64(time.Second)), snubTime))
}

// cancelled takes note of whether what c was told not to send came all the same: then it was on its way already,
// and requests must be taken from it earlier, which is to say only from further behind in its queue.
func (c *conn) cancelled(inTime bool) {
	if inTime {
		c.margin = max(c.margin*9/10, stealAge)
	} else {
		c.margin = min(c.margin+c.margin/2, stealMost)
	}
}

// heard is since when c has been asked and has not sent anything.
func (c *conn) heard() time.Time {
	if c.lastBlock.After(c.askedAt) {
		return c.lastBlock
	}
	return c.askedAt
}

// snub puts sources that do not answer on short rations: what they were asked is left to others
// where there are any, and their word that they deliver a piece is not relied on.
func (s *session) snub(now time.Time) {
	for _, c := range s.conns {
		if c.asked == 0 || c.snubbed || now.Sub(c.heard()) < snubTime {
			continue
		}
		c.snubbed = true
		c.window = minWindow
		s.stays(c)
		for _, q := range c.order {
			if q.op.owner == c {
				q.op.owner = nil
			}
		}
	}
}

// victim is a source with requests that wait.
type victim struct {
	c     *conn
	wait  time.Duration
	stuck bool
}

// steal has sources that ran dry take over what waits elsewhere: late binding. What stands at the
// end of a long queue moves; when nothing is left to begin, what is late is asked a second time,
// once.
func (s *session) steal(now time.Time) {
	var idle []*conn
	var busy []victim
	for c := range s.around() {
		if c.asked > 0 {
			w := c.wait(now)
			if w == stuckWait {
				c.broke(now)
			}
			busy = append(busy, victim{c, w, w == stuckWait})
		}
		if c.outstanding < c.window/2 && s.canAsk(c) {
			idle = append(idle, c)
		}
	}
	if len(idle) > 0 && len(busy) > 0 {
		slices.SortFunc(busy, func(a, b victim) int { return int(b.wait - a.wait) })
		checks := stealChecks
		for _, c := range idle {
			for s.room(c) && s.stealOne(c, busy, now, &checks) {
			}
		}
	}
	s.stealFromWeb()
}

// stealOne has c take over one request, that of the source with the longest queue; in a crowd, all of the piece that it was asked for.
func (s *session) stealOne(c *conn, busy []victim, now time.Time, checks *int) bool {
	mine := c.wait(now)
	crowded, early := s.crowded(), s.pick.left() > 0
	if crowded {
		mine = 2 * max(mine, c.lately(now))
	}
	for k := range busy {
		v := &busy[k]
		if v.c == c || v.c.gone || !v.stuck && v.wait < mine+v.c.margin {
			continue
		}
		whole := crowded && early && !v.stuck
		var tried *openPiece
		for i := len(v.c.order) - 1; i >= 0; i-- {
			q := v.c.order[i]
			if *checks--; *checks < 0 {
				return false
			}
			if whole && (q.op.here > 0 || q.op == tried) { // where some of a piece is here, or its source is at it, it stays: cheap to see, and often so
				continue
			}
			if now.Sub(q.at) < stealAge || !s.mayMove(c, q) || c.holds(q) {
				continue
			}
			// What a source is at is left to it where it cannot say that it was cancelled in time, and in the end,
			// when it is asked of two.
			head := !v.stuck && q == v.c.oldest()
			if head && early && !v.c.fast {
				continue
			}
			if whole {
				if s.stealPiece(c, v.c, q.op) {
					v.wait = v.c.wait(now)
					return true
				}
				tried = q.op
				continue
			}
			if (!head || early) && !s.takeBack(q) {
				continue
			}
			if s.askAgain(c, q) {
				v.wait = v.c.wait(now)
				return true
			}
		}
	}
	return false
}

// mayMove says whether c may be asked for what another was asked for by q.
func (s *session) mayMove(c *conn, q *request) bool {
	return !q.done && q.op.only == nil && !q.op.closed && s.mayAsk(c, q.op.index)
}

// stealPiece has c take over all that another was asked for of a piece of which nothing is here, unless that one is at it:
// in a crowd, where a source's turn comes seldom, a piece that comes from several is complete when the last of them has had it.
func (s *session) stealPiece(c, from *conn, op *openPiece) (some bool) {
	if at := from.oldest(); at != nil && at.op == op {
		return false
	}
	return s.moves(c, from, op)
}

// moves has c deliver what another was asked for of a piece.
func (s *session) moves(c, from *conn, op *openPiece) (some bool) {
	asks := slices.DeleteFunc(slices.Clone(op.asks), func(q *request) bool { return q.of != from })
	slices.SortFunc(asks, func(a, b *request) int { return cmp.Compare(a.begin, b.begin) })
	for _, q := range asks {
		if s.takeBack(q) && s.askAgain(c, q) {
			some = true
		}
	}
	if some {
		s.own(c, op)
	}
	return some
}

// oldest is the request that c is answering.
func (c *conn) oldest() *request {
	for _, q := range c.order {
		if !q.done {
			return q
		}
	}
	return nil
}

// askAgain asks c for those blocks of q that are not here and not asked of two already.
func (s *session) askAgain(c *conn, q *request) (some bool) {
	op, most := q.op, int(c.maxAsk()/piece.BlockSize)
	first, end := q.blocks()
	for b := first; b < end; {
		if op.got[b] || op.asked[b] > 1 {
			b++
			continue
		}
		to := b + 1
		for to < end && to-b < most && !op.got[to] && op.asked[to] <= 1 {
			to++
		}
		s.send(c, op, b, to)
		some, b = true, to
	}
	return some
}

// holds says whether c was asked for any of what q asks for.
func (c *conn) holds(q *request) bool {
	for _, r := range q.op.asks {
		if r.of == c && r.begin < q.begin+q.length && q.begin < r.begin+r.length {
			return true
		}
	}
	return false
}
