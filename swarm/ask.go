package swarm

import (
	"slices"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// How much is asked of one source ahead of its answers. The window moves between the bounds by
// itself so that a block waits about queueDelay in the other side's queue: rate × delay.
const (
	startWindow = 512 << 10
	minWindow   = 32 << 10
	maxWindow   = 8 << 20
	queueDelay  = 400 * time.Millisecond
	maxWay      = 500 * time.Millisecond // more is a queue that was there from the start
)

// blockKey names a request among those of one connection.
type blockKey struct{ piece, begin uint32 }

// request is blocks asked of one peer: [begin, begin+length) of a piece. It is answered exactly
// once: by its block, by a refusal, or because we took it back.
type request struct {
	op            *openPiece
	of            *conn
	begin, length int64
	at            time.Time
	lane          lane // of the source when it was asked
	across        bool // the border of our site
	done          bool // answered
}

// blocks are the request's, as indices [first, end) of the piece.
func (q *request) blocks() (first, end int) {
	return int(q.begin / piece.BlockSize), int((q.begin + q.length + piece.BlockSize - 1) / piece.BlockSize)
}

// maxAsk is the longest request to send to c, in bytes: 16 KiB for others (BEP 3); for Shoal
// what passes in about 25 ms, so that a block never holds control messages back for long.
func (c *conn) maxAsk() int64 {
	if !c.shoal {
		return piece.BlockSize
	}
	n := int64(4 * piece.BlockSize)
	switch {
	case c.rateDown > 0:
		n = int64(c.rateDown / 40)
	case c.near:
		n = wire.MaxBlock
	}
	if l := c.s.rateIn(c.lane.Load()); l > 0 {
		n = min(n, l/20)
	}
	return min(max(n/piece.BlockSize*piece.BlockSize, piece.BlockSize), wire.MaxBlock)
}

// mostAsked bounds what is asked of all sources of a lane together: with a limit on what comes in,
// more would only lie in queues, and a source would seem slow that is not.
func (s *session) mostAsked(l lane) int64 {
	if l := s.rateIn(l); l > 0 {
		return max(l/2, 2*piece.BlockSize)
	}
	return 1 << 62
}

func (s *session) fillAll() {
	for c := range s.around() {
		s.fill(c)
	}
}

// canAsk says whether c can be asked for anything now.
func (s *session) canAsk(c *conn) bool {
	if c.gone || c.lost || c.choked && len(c.allowed) == 0 || !c.introduced || c.useful == 0 || s.failed != nil {
		return false
	}
	if c.snubbed && s.now().Sub(c.askedAt) < snubTime {
		return false
	}
	return c.rejects < manyRejects || s.now().After(c.restUntil)
}

// room says whether c's window has room for another request.
func (s *session) room(c *conn) bool {
	l := c.lane.Load()
	return s.mayCross(c) && c.outstanding < c.window && c.asked < c.reqq && s.outstanding[l] < s.mostAsked(l) && (!c.snubbed || c.asked == 0)
}

// fill asks c for as much as its window has room for.
func (s *session) fill(c *conn) {
	if c.outstanding > 0 && c.window-c.outstanding < c.leastRoom() || !s.canAsk(c) {
		return
	}
	for s.room(c) {
		op := s.choose(c)
		if op == nil {
			return
		}
		s.ask(c, op)
	}
}

// leastRoom is how much room a window has before more is asked for: one request, and several of the longest, since each that
// goes alone wakes both sides.
func (c *conn) leastRoom() int64 {
	n := c.maxAsk()
	if n == wire.MaxBlock {
		n = max(n, min(c.window/4, 4*n))
	}
	return n
}

// choose says which piece to ask c for next: the one it is at, then one that others left half
// done, then the rarest that nobody has begun, and only then a share of what others are at.
func (s *session) choose(c *conn) *openPiece {
	if op := c.at; op != nil && op.owner == c && s.mayShare(c, op) {
		return op
	}
	var orphan, shared *openPiece
	for _, op := range s.spare {
		if !s.mayShare(c, op) {
			continue
		}
		switch {
		case op.owner == c:
			c.at = op
			return op
		case op.owner == nil || op.owner.gone || op.owner.choked || op.owner.snubbed:
			if orphan == nil || s.before(op, orphan) {
				orphan = op
			}
		case shared == nil || s.before(op, shared):
			shared = op
		}
	}
	if orphan != nil {
		s.own(c, orphan)
		return orphan
	}
	if c.fresh > 0 && !c.dry {
		may := func(p int) bool { return s.mayAsk(c, p) }
		p := s.urgent(may)
		if p < 0 {
			p = s.pick.pick(may)
		}
		if p >= 0 {
			op := s.begin(p)
			s.own(c, op)
			if s.suspects[p] != nil {
				op.only = c
			}
			s.tellFetching(c, op)
			return op
		}
		c.dry = true // until something changes, or the next tick
	}
	return shared
}

// own has c deliver op from front to back.
func (s *session) own(c *conn, op *openPiece) {
	op.owner, c.at = c, op
	if op.leaves.Load() == nil {
		s.askLeaves(c, op)
	}
}

// mayShare says whether c may be asked for blocks of op that nobody was asked for.
func (s *session) mayShare(c *conn, op *openPiece) bool {
	return op.free > 0 && !op.closed && op.web == nil && (op.only == nil || op.only == c || op.only.gone) && s.mayAsk(c, op.index)
}

// before orders pieces that were begun: from front to back if that was asked for, else the older.
func (s *session) before(a, b *openPiece) bool {
	if s.t.spec.InOrder {
		return a.index < b.index
	}
	return a.begun.Before(b.begun)
}

// mayAsk says whether c has piece p, does not refuse it, and is the one to be asked for it.
func (s *session) mayAsk(c *conn, p int) bool {
	if !c.have.has(p) || c.choked && !c.allowed[p] {
		return false
	}
	if len(c.refused) > 0 {
		if until, ok := c.refused[p]; ok {
			if s.now().Before(until) {
				return false
			}
			delete(c.refused, p)
		}
	}
	return s.provable(p) && s.siteAllows(c, p)
}

// ask sends one request for the next blocks of op that nobody was asked for.
func (s *session) ask(c *conn, op *openPiece) {
	wanted := func(b int) bool { return op.asked[b] == 0 && !op.got[b] }
	first := 0
	for !wanted(first) { // there is one: op.free > 0
		first++
	}
	most := int(c.maxAsk() / piece.BlockSize)
	end := first + 1
	for end < op.blocks() && end-first < most && wanted(end) {
		end++
	}
	s.send(c, op, first, end)
}

// send asks c for blocks [first, end) of op.
func (s *session) send(c *conn, op *openPiece, first, end int) {
	q := &request{op: op, of: c, lane: c.lane.Load(), across: s.crosses(c) && !c.snubbed, begin: int64(first) * piece.BlockSize, at: s.now()}
	for b := first; b < end; b++ {
		if op.asked[b] == 0 && !op.got[b] {
			op.free--
		}
		op.asked[b]++
		q.length += op.blockLen(b)
	}
	op.asks = append(op.asks, q)
	s.sort(op)
	c.rmu.Lock()
	c.requests[blockKey{uint32(op.index), uint32(q.begin)}] = q
	c.rmu.Unlock()
	if c.asked == 0 {
		c.askedAt = q.at
	}
	c.order = append(c.order, q)
	c.asked++
	c.outstanding += q.length
	c.askedEver += q.length
	s.outstanding[q.lane] += q.length
	if q.across {
		s.across += q.length
	}
	c.out.span(wire.Request, int64(op.index), q.begin, q.length)
}

// answered takes a request off the books; only the first time counts.
func (s *session) answered(q *request) {
	if q.done {
		return
	}
	q.done = true
	op, c := q.op, q.of
	first, end := q.blocks()
	for b := first; b < end; b++ {
		op.asked[b]--
		if op.asked[b] == 0 && !op.got[b] {
			op.free++
		}
	}
	i := slices.Index(op.asks, q)
	op.asks[i] = op.asks[len(op.asks)-1]
	op.asks = op.asks[:len(op.asks)-1]
	s.sort(op)
	c.asked--
	c.outstanding -= q.length
	s.outstanding[q.lane] -= q.length
	if q.across {
		s.across -= q.length
	}
	switch {
	case c.order[0] == q:
		c.order = c.order[1:]
	case len(c.order) > 2*c.asked+16:
		c.order = slices.DeleteFunc(c.order, func(q *request) bool { return q.done })
	}
}

// findRequest is the request that a block or a refusal answers, nil if there is none. Taking it
// makes it the caller's: nobody else can take it back any more.
func (c *conn) findRequest(index, begin, length uint32, take bool) *request {
	key := blockKey{index, begin}
	c.rmu.Lock()
	defer c.rmu.Unlock()
	q := c.requests[key]
	if q == nil || q.length != int64(length) {
		return nil
	}
	if take {
		delete(c.requests, key)
	}
	return q
}

// releaseAll takes back everything that c was asked for, without telling it.
func (s *session) releaseAll(c *conn) {
	c.rmu.Lock()
	clear(c.requests)
	c.rmu.Unlock()
	for _, q := range slices.Clone(c.order) {
		s.answered(q)
		if q.op.owner == c {
			q.op.owner = nil
		}
		s.giveBack(q.op)
	}
	c.at = nil
}

// takeBack takes one request back and tells the peer; false if its answer has just come.
func (s *session) takeBack(q *request) bool {
	c := q.of
	key := blockKey{uint32(q.op.index), uint32(q.begin)}
	c.rmu.Lock()
	ok := c.requests[key] == q && !q.done
	if ok && !c.fast {
		delete(c.requests, key)
	}
	c.rmu.Unlock()
	if ok {
		s.answered(q)
		c.out.span(wire.Cancel, int64(q.op.index), q.begin, q.length)
	}
	return ok
}

// withdraw takes back what is still asked of a piece that needs nothing more.
func (s *session) withdraw(op *openPiece) {
	for _, q := range slices.Clone(op.asks) {
		s.takeBack(q)
	}
}

// dropDuplicates cancels what was asked of op a second time and is here now.
func (s *session) dropDuplicates(op *openPiece) {
	for i := len(op.asks) - 1; i >= 0; i-- { // backwards: the last one takes a removed one's place
		if q := op.asks[i]; q.needless() {
			s.takeBack(q)
		}
	}
}

// needless says whether all that was asked is here.
func (q *request) needless() bool {
	first, end := q.blocks()
	for b := first; b < end; b++ {
		if !q.op.got[b] {
			return false
		}
	}
	return true
}

// rejected takes note that a peer will not send what it was asked for (BEP 6).
func (s *session) rejected(c *conn, m *wire.Message) error {
	q := c.findRequest(m.Index, m.Begin, m.Length, true)
	if q == nil {
		return c.useless("refusals of what was not asked")
	}
	if q.done { // we had cancelled it
		c.cancelled(true)
		return nil
	}
	now := s.now()
	c.broke(now)
	c.rejects++
	c.restUntil = now.Add(refusedTime)
	c.refused[q.op.index] = now.Add(refusedTime)
	s.answered(q)
	if q.op.owner == c {
		q.op.owner = nil
	}
	if q.op.only == c {
		q.op.only = nil
	}
	s.giveBack(q.op)
	s.fillAll()
	return nil
}

const (
	// refusedTime is how long a source is not asked again for a piece that it has refused.
	refusedTime = 2 * time.Second
	// manyRejects in a row, and the source is not asked for anything for that long.
	manyRejects = 64
)
