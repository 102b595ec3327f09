package swarm

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"shoal/piece"
	"shoal/swarm/webfetch"
	"shoal/swarm/wire"
)

// webRun is one request to a web seed: pieces in the order of piece space. Its back part can be
// taken away while it runs, when others have room for it.
type webRun struct {
	w     *webSeed
	start int64 // in piece space: where it begins, perhaps within the first piece
	end   int64 // and where it ends, perhaps within the last one
	begun time.Time
	ops   []*openPiece
	stop  context.CancelFunc
	at    atomic.Int64  // how far it has come, in piece space
	moved atomic.Int64  // when it last moved, unix ns
	heard atomic.Bool   // something has come
	led   atomic.Uint32 // the class of whom the web seed has led to, one more than that; 0: it answers itself
	hung  bool          // stopped for its silence; belongs to the loop

	mu      sync.Mutex
	claimed int // ops[:claimed] are written, or about to be
	limit   int // ops[limit:] were taken away
}

// answered notes who has answered. An edge leads to the origin for what it does not keep, or to another edge.
func (r *webRun) answered(by webfetch.Answer) {
	switch {
	case !by.Led:
		r.led.Store(0)
	case by.Edge:
		r.led.Store(1 + uint32(Edges))
	default:
		r.led.Store(1 + uint32(Origin))
	}
}

// class is that of whom the run gets content from.
func (r *webRun) class() Class {
	if led := r.led.Load(); led > 0 {
		return Class(led - 1)
	}
	return r.w.sourceClass()
}

// claim says whether ops[i] still belongs to the run, which from then on it does for good.
func (r *webRun) claim(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i >= r.limit {
		return false
	}
	r.claimed = max(r.claimed, i+1)
	return true
}

// cut takes away what is left of ops[from:].
func (r *webRun) cut(from int) []*openPiece {
	r.mu.Lock()
	defer r.mu.Unlock()
	from = max(from, r.claimed)
	if from >= r.limit {
		return nil
	}
	cut := r.ops[from:r.limit]
	r.limit = from
	return cut
}

// rest is which pieces the run has not begun: ops[first:end].
func (r *webRun) rest() (first, end int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.claimed, r.limit
}

// wait is how long the run will take to its end at its pace so far.
func (r *webRun) wait(now time.Time) time.Duration {
	first, end := r.rest()
	if end == 0 || first == end {
		return 0
	}
	last := r.ops[end-1]
	at := r.at.Load()
	if at == r.start || now.UnixNano()-r.moved.Load() > int64(webStall) {
		return now.Sub(r.begun)
	}
	left := float64(last.offset + last.length - at)
	return time.Duration(left / float64(at-r.start) * float64(now.Sub(r.begun)))
}

// takeHalf takes the back half of what a run has not begun, and puts it among the pieces to begin.
func (s *session) takeHalf(r *webRun) bool {
	first, end := r.rest()
	return s.takeFrom(r, first+(end-first)/2)
}

// takeFrom is takeHalf from a piece on, and says whether there was any.
func (s *session) takeFrom(r *webRun, piece int) bool {
	ops := r.cut(piece)
	for _, op := range ops {
		s.lend(op, nil)
		s.giveBack(op)
	}
	return len(ops) > 0
}

// splitAge is how long a request must take on for its back half to be worth a connection, which
// ends with whatever is in flight when it is cut.
const splitAge = time.Second

// splitWeb finds work for a web seed when all pieces are begun: the back half of the request that
// will take longest. One that hangs is stopped: what it was asked for is free when it has ended.
func (s *session) splitWeb(w *webSeed, now time.Time) bool {
	var longest *webRun
	most := splitAge
	for _, o := range s.webs {
		for r := range o.runs {
			if now.UnixNano()-r.moved.Load() > int64(webStall) && !r.hung {
				r.hung = true
				r.stop()
				continue
			}
			if d := r.wait(now); d > most && !(r.w == w && w.whole) {
				longest, most = r, d
			}
		}
	}
	return longest != nil && s.takeHalf(longest)
}

// stealFromWeb gives peers that have room the back half of what a web seed is asked for, and all
// of it when the web seed hangs.
func (s *session) stealFromWeb() {
	if len(s.webs) == 0 || s.pick.left() > 0 {
		return
	}
	now := s.now()
	for _, w := range s.webs {
		for r := range w.runs {
			if !s.idlePeer(r) {
				continue
			}
			if now.UnixNano()-r.moved.Load() > int64(webStall) {
				r.hung = true
				r.stop()
			} else if s.takeHalf(r) {
				s.fillAll()
			}
		}
	}
}

// idlePeer says whether some peer has room, and any of what r was asked for.
func (s *session) idlePeer(r *webRun) bool {
	for _, c := range s.conns {
		if c.outstanding < c.window/2 && s.canAsk(c) {
			for _, op := range r.ops {
				if op.web == r && !op.closed && s.mayAsk(c, op.index) {
					return true
				}
			}
		}
	}
	return false
}

var errShortened = errors.New("the rest comes from elsewhere")

// assembler puts the stretches of content that a web seed sends together to blocks.
type assembler struct {
	s     *session
	ctx   context.Context
	run   *webRun
	next  int        // index in run.ops
	op    *openPiece // the one before; nil at first
	begin int64      // of buf, in op
	block []byte     // room for the largest block
	buf   []byte     // what is put together in it; its capacity is what is handed on at once
}

// fetch makes the request. What came before an error counts.
func (a *assembler) fetch() error {
	buf, release := wire.Block(wire.MaxBlock)
	defer release()
	a.block = buf
	a.empty()
	err := a.run.w.src.FetchFrom(a.ctx, a.run.start, a.run.end-a.run.start, a.run.answered, a.take)
	if err == nil || errors.Is(err, errShortened) {
		return errors.Join(a.finish(), err)
	}
	a.buf = a.buf[:len(a.buf)/piece.BlockSize*piece.BlockSize]
	return errors.Join(a.flush(), err)
}

// take is called with content at off of piece space, in order.
func (a *assembler) take(off int64, b []byte) error {
	a.run.heard.Store(true)
	for len(b) > 0 {
		if a.op == nil || off >= a.op.offset+a.op.length {
			if err := a.nextOp(off); err != nil {
				return err
			}
		}
		if skip := a.op.offset - off; skip > 0 { // a piece between that is here already
			skip = min(skip, int64(len(b)))
			b, off = b[skip:], off+skip
			continue
		}
		if gap := off - a.op.offset - a.begin - int64(len(a.buf)); gap > 0 { // padding between files
			n := min(gap, int64(cap(a.buf)-len(a.buf)))
			at := len(a.buf)
			a.buf = a.buf[:at+int(n)]
			clear(a.buf[at:])
		} else {
			n := min(int64(len(b)), int64(cap(a.buf)-len(a.buf)), a.op.offset+a.op.length-off)
			a.buf = append(a.buf, b[:n]...)
			b, off = b[n:], off+n
		}
		if len(a.buf) == cap(a.buf) || a.begin+int64(len(a.buf)) == a.op.length {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// nextOp goes on to the piece that off lies in, or the next one that is wanted.
func (a *assembler) nextOp(off int64) error {
	if err := a.finish(); err != nil {
		return err
	}
	for ; a.next < len(a.run.ops); a.next++ {
		if op := a.run.ops[a.next]; off < op.offset+op.length {
			if !a.run.claim(a.next) {
				return errShortened
			}
			a.op = op
			a.next++
			a.begin = max(off-op.offset, 0) / piece.BlockSize * piece.BlockSize
			return nil
		}
	}
	return errShortened
}

// finish hands on what is left of a piece, which may end in padding (v1).
func (a *assembler) finish() error {
	if len(a.buf) == 0 {
		return nil
	}
	if rest := min(a.op.length, a.run.end-a.op.offset) - a.begin - int64(len(a.buf)); rest > 0 {
		at := len(a.buf)
		a.buf = a.buf[:at+int(min(rest, int64(cap(a.buf)-at)))]
		clear(a.buf[at:])
	}
	return a.flush()
}

// empty makes room for what is handed on next: what a limit lets through in 50 ms, in whole blocks, so that four requests
// side by side do not each hold much more than that back.
func (a *assembler) empty() {
	n := int64(len(a.block))
	if rate := a.s.rateIn(away); rate > 0 {
		n = min(n, max(rate/20/piece.BlockSize, 1)*piece.BlockSize)
	}
	a.buf = a.block[:0:n]
}

// flush hands on what was put together: whole blocks, or all up to the end of the piece.
func (a *assembler) flush() error {
	if len(a.buf) == 0 {
		return nil
	}
	s, op, begin, n := a.s, a.op, a.begin, int64(len(a.buf))
	for _, down := range s.inbound(away) {
		if down.Rate() == 0 {
			continue
		}
		a.run.moved.Store(math.MaxInt64) // it waits for us
		if err := spend(a.ctx, down, n); err != nil {
			return err
		}
	}
	r := s.ingest(op, begin, a.buf)
	a.begin += n
	a.empty()
	a.run.at.Store(op.offset + a.begin)
	a.run.moved.Store(s.now().UnixNano())
	w, class := a.run.w, a.run.class()
	if !s.do(func() {
		w.got += r.fresh
		s.brings(w)
		s.t.counts.fromWeb.Add(r.fresh)
		s.took(w, class, op, begin, n, r)
	}) {
		return errClosed
	}
	return r.err
}

// lacks notes a file that w does not have. One that seems to have none is not asked again.
func (w *webSeed) lacks(file int) {
	w.without[file] = true
	w.dead = w.dead || w.got == 0 && len(w.without) >= min(maxWithout, len(w.s.torrent.Files))
}
