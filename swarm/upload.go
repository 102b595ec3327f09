package swarm

import (
	"errors"
	"fmt"
	"time"

	"shoal/swarm/wire"
)

const (
	// maxQueue is how many requests of one peer wait here; we say so in reqq.
	maxQueue = 1024
	// mostRanked is how many of them are looked at for the next one to answer.
	mostRanked = 64
	// slots is how many peers are sent content at the same moment.
	slots = 4
	// mostAhead is the most that a writer is given beyond what it has written, at a rate that takes it away in 10 ms.
	mostAhead = 1 << 20
	// foreignSlots is how many peers that are not Shoal are unchoked, plus one in turn (BEP 3).
	foreignSlots = 4
	stalledTime  = time.Second
	// foreignPatience is how long a peer that is not Shoal may wait for its next block: it takes us for dead soon
	// after. shoalPatience is the same for others: who has most of it asks for what is rare no more, and would get
	// nothing for as long as there are late-comers who do.
	foreignPatience = 5 * time.Second
	shoalPatience   = 2 * time.Second
	// wholeTime is how long those of a crowd who have waited too long wait on for the rest of a piece that was begun.
	wholeTime = time.Second
)

// ahead is how many bytes the writer of a connection is given beyond what it has written: what
// goes next is decided late.
func (c *conn) ahead() int64 {
	if l := c.upRate(); l > 0 {
		return min(max(l/40, 16<<10), maxGather)
	}
	return min(max(maxGather, int64(c.rateUp/100)), mostAhead)
}

// requested queues a peer's request, or turns it down.
func (s *session) requested(c *conn, m *wire.Message) error {
	if !c.introduced {
		return errors.New("request before we know the torrent")
	}
	if int64(m.Index) >= int64(s.have.n) || m.Length == 0 || m.Length > wire.MaxBlock {
		return fmt.Errorf("request for %d bytes of piece %d", m.Length, m.Index)
	}
	p := int(m.Index)
	// libtorrent (seen: 2.0.8) asks for the last piece of a file with the gap behind it in v2 torrents too, even
	// for the last of all if an empty file follows.
	length := s.torrent.PieceLength
	if s.torrent.HasV1 {
		length = s.torrent.PieceLenV1(p)
	}
	if int64(m.Begin)+int64(m.Length) > length {
		return fmt.Errorf("request behind the end of piece %d", p)
	}
	r := upRequest{piece: m.Index, begin: m.Begin, length: m.Length}
	if c.choking && !c.mayAskChoked(p, int64(m.Length)) || len(c.queue) >= maxQueue || !s.have.has(p) || !s.mayShow(c, p) || !s.reveal.allows(c, p) {
		s.refuse(c, r)
		return c.useless("requests that are turned down")
	}
	now := s.now()
	s.reveal.asked(c, p, s.torrent.PieceLen(p), now)
	s.t.counts.asked.Store(now.UnixNano())
	s.slotTurn++
	r.at = int64(s.slotTurn)
	if len(c.queue) == 0 {
		c.queuedAt = now
		c.served = max(c.served, s.served) // what it got, or did not, before it wanted nothing counts no more
	}
	c.queue = append(c.queue, r)
	c.through = c.through && r.piece != c.lastPiece
	s.asks(c, int64(r.length))
	s.serve(now)
	return nil
}

// refuse says no (BEP 6); peers that do not know how are left to find out.
func (s *session) refuse(c *conn, r upRequest) {
	if c.fast {
		c.out.span(wire.Reject, int64(r.piece), int64(r.begin), int64(r.length))
	}
}

// cancelled takes a request back. One that comes in time is of use, but not a thousand a second.
func (s *session) cancelled(c *conn, m *wire.Message) error {
	for i, r := range c.queue {
		if r.piece == m.Index && r.begin == m.Begin && r.length == m.Length {
			c.queue = append(c.queue[:i], c.queue[i+1:]...)
			s.asks(c, -int64(r.length))
			s.refuse(c, r) // BEP 6: a cancelled request still gets an answer
			return c.useless("cancels")
		}
	}
	if r := (upRequest{piece: m.Index, begin: m.Begin, length: m.Length}); c.out.unblock(r) {
		c.inflight -= int64(r.length)
		if r.piece == c.lastPiece {
			c.given -= int64(r.length)
			c.through = false
		}
		s.refuse(c, r)
		s.serve(s.now())
		return c.useless("cancels")
	}
	return c.useless("cancels of what was not asked") // or of what has just gone out
}

// serve hands requests to writers while there are free slots.
func (s *session) serve(now time.Time) {
	for {
		var room, first [lanes]bool // for anything; for the first of a piece
		for i := range room {
			l := &s.lines[i]
			room[i] = s.queued[i] > 0 && s.hasRoom(l, l.limit(), now)
			first[i] = room[i] && (!s.inTurn(l) || s.mayBegin(l, now))
		}
		if !room[away] && !room[near] {
			return
		}
		busy := 0
		for _, c := range s.writing.conns {
			if c.inflight > 0 && now.Sub(c.lastSent) < stalledTime {
				busy++
			}
		}
		var best *conn
		at, rank := 0, upRank{}
		for _, c := range s.asking.conns {
			lane := c.lane.Load()
			if !room[lane] {
				continue
			}
			l := c.line()
			if !first[lane] && c.through && s.whole(c) {
				continue
			}
			if l.rate == 0 && c.inflight == 0 && busy >= slots || !c.takes(l, c.ahead(), now) {
				continue
			}
			i, r := s.nextOf(c, now)
			if !first[lane] && !r.next && s.whole(c) {
				continue
			}
			if best == nil || r.before(rank) {
				best, at, rank = c, i, r
			}
		}
		if best == nil {
			return
		}
		r := best.queue[at]
		best.queue = append(best.queue[:at], best.queue[at+1:]...)
		s.asks(best, -int64(r.length))
		if !s.affords(best, r, now) {
			s.refuse(best, r)
			continue
		}
		if best.inflight == 0 {
			best.lastSent = now
			if best.wire.queued == 0 {
				best.moved = now
			}
		}
		best.inflight += int64(r.length)
		s.served = best.served
		best.served += best.weight() * int64(r.length)
		if !best.goesOn(r) {
			best.lastPiece, best.given, best.through = r.piece, 0, false
			best.line().begun = now
		}
		best.given += int64(r.length)
		s.writing.add(best)
		best.line().onWay += int64(r.length)
		best.out.block(r)
	}
}

// weight is how much a byte counts in a peer's share of our uplink. A peer that is not Shoal and gives us less than it takes
// has half a share while we fetch: it gives to its like what it should give to us, who would give it on to everybody.
func (c *conn) weight() int64 {
	if c.foreign() && !c.s.complete() && c.received < c.sent {
		return 2
	}
	return 1
}

// upRank orders requests: those of peers that have waited too long, and before them the rest of a piece where it is to
// be given in one go, if that does not take long in a crowd, else after them; then pieces that nobody has yet, then what few
// have to peers that give much, then what nobody has to the peer that has waited longest, then the peer that got least of
// late, then the piece that fewest have, then the oldest. Rare pieces first whoever asks for them would starve who has most
// of it for the sake of those who come late.
type upRank struct {
	late bool
	next bool // of the piece that the peer was given something of just now
	held int32
	gift int8 // the standing of the peer, where few have the piece
	wait int  // tenths of a second that the peer has got nothing, where it asks for a piece that nobody else has
	got  int64
	at   int64
}

func (a upRank) before(b upRank) bool {
	if a.late != b.late {
		return a.late
	}
	if a.next != b.next {
		return a.next
	}
	if (a.held == 0) != (b.held == 0) {
		return a.held == 0
	}
	if a.gift != b.gift {
		return a.gift > b.gift
	}
	if a.wait != b.wait {
		return a.wait > b.wait
	}
	if a.got != b.got {
		return a.got < b.got
	}
	if a.held != b.held {
		return a.held < b.held
	}
	return a.at < b.at
}

// nextOf finds the request of c to answer first.
func (s *session) nextOf(c *conn, now time.Time) (int, upRank) {
	patience := shoalPatience
	if c.foreign() {
		patience = foreignPatience
	}
	late := c.inflight == 0 && now.Sub(c.queuedAt) > patience && now.Sub(c.lastSent) > patience
	wait := int(min(now.Sub(c.queuedAt), now.Sub(c.lastSent)) / (100 * time.Millisecond))
	whole := s.whole(c)
	best, rank := 0, upRank{}
	for i, r := range c.queue[:min(len(c.queue), mostRanked)] {
		k := upRank{late: late, held: s.others(int(r.piece)), wait: wait, got: c.served, at: r.at}
		if whole && c.goesOn(r) {
			k.next = true
			k.late = late || s.crowded() && float64(s.torrent.PieceLength) <= c.line().rate*wholeTime.Seconds()
			return i, k
		}
		if k.held > 0 {
			k.wait = 0
		}
		if i == 0 || k.held < rank.held {
			best, rank = i, k
		}
	}
	if few(rank.held, len(s.conns)) {
		rank.gift = c.standing
	}
	c.through = whole && len(c.queue) <= mostRanked
	return best, rank
}

// whole says whether c is given a piece in one go: in a crowd, where its turn comes seldom, it would have many that it
// can pass nothing on of. So it would among a few, where a piece is more than half of what may be on its way on the
// line; neighbours pass on between them what one of them has in part.
// An origin does so in a crowd if a piece takes its line long: four at a time came four times later, and all at once.
func (s *session) whole(c *conn) bool {
	long := c.line().long(s.torrent.PieceLength)
	if s.reveal != nil {
		return long && s.crowded()
	}
	return s.crowded() || long && len(s.lan) == 0
}

// inTurn says whether pieces go out on a line one after the other, not several side by side: in a crowd, where what is known
// to few doubles as often as somebody has a whole one. On a slow line blocks of 16 KiB take too long for that to pay.
func (s *session) inTurn(l *wayOut) bool {
	return s.crowded() && (l.rate == 0 || l.rate >= leastTurns)
}

// mayBegin says whether another piece may be begun on a line where they go out in turn: when little is on the way, and
// after the time that a piece takes in any case, since what is on the way may be to somebody who is slow.
func (s *session) mayBegin(l *wayOut, now time.Time) bool {
	turn := pieceTurn
	if l.rate > 0 {
		turn = time.Duration(float64(s.torrent.PieceLength) / l.rate * float64(time.Second))
	}
	return now.Sub(l.begun) >= turn || s.hasRoom(l, l.firstLimit(), now)
}

// goesOn says whether r is of the piece that c was given something of last. Who has had it twice, as some does that is
// cancelled too late and asked for again, begins anew.
func (c *conn) goesOn(r upRequest) bool {
	return r.piece == c.lastPiece && c.given > 0 && c.given < 2*c.s.torrent.PieceLen(int(r.piece))
}

// wrote takes note of blocks that went out.
func (s *session) wrote(c *conn, blocks []upRequest, n int64) {
	now := s.now()
	c.inflight -= n
	c.sent += n
	c.lastSent, c.lastOut = now, now
	s.t.counts.to[c.class].Add(n)
	if s.reveal != nil {
		for _, r := range blocks {
			s.reveal.sent(c, int(r.piece), int64(r.length), s.torrent.PieceLen(int(r.piece)), now)
		}
		s.lease(now)
	}
	s.serve(now)
	s.offer(now)
}

// cannotRead ends a seed whose content is no longer what was verified.
func (s *session) cannotRead(err error) {
	if errors.Is(err, ErrChanged) {
		s.log.Warn("content has changed and is not served any more", "err", err)
		s.fail(err)
		s.t.withdrawn(err)
		return
	}
	s.log.Error("reading content", "err", err)
}
