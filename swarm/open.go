package swarm

import (
	"slices"
	"sync/atomic"
	"time"

	"shoal/piece"
)

// The state of a block of an open piece. Readers of connections move it on, so it is atomic.
const (
	blockFree     uint32 = iota // not here
	blockBusy                   // somebody is writing it this moment
	blockWritten                // on disk, not verified
	blockVerified               // on disk, verified by its leaf
	blockClosed                 // the piece was given up before anything of it came
)

// openPiece is a piece that was begun.
type openPiece struct {
	index  int
	offset int64 // in piece space
	length int64
	state  []atomic.Uint32
	leaves atomic.Pointer[[]piece.Hash32] // nil until known

	// All below belongs to the loop, which hears of blocks after they were written.
	got      []bool         // per block: it is here
	asked    []uint8        // per block: how many requests are out for it, two at most
	by       []supplier     // per block: who gave it without a leaf to vouch for it; nil while nobody has
	sums     []piece.Hash32 // per block: the SHA-256 of what was written, zero where nobody knows; nil while nobody has
	asks     []*request     // the requests that are out
	spare    bool           // in the session's list of pieces with such blocks
	free     int            // blocks neither here nor asked for
	here     int            // blocks that are here
	closed   bool           // verified or given up
	checking bool
	begun    time.Time
	moved    time.Time // when a block last came
	told     time.Time // when the site last heard that we fetch it
	only     *conn     // after a failed hash: the one source to take it from
	owner    *conn     // who is asked for it from front to back
	web      *webRun   // or which web seed's request covers it
}

// supplier is whoever content comes from: a *conn or a *webSeed. Blame goes to suppliers.
type supplier interface {
	String() string
}

func (op *openPiece) blocks() int { return len(op.state) }

func (op *openPiece) blockLen(b int) int64 {
	return min(piece.BlockSize, op.length-int64(b)*piece.BlockSize)
}

// retire closes a piece of which nothing is here, so that no late block is written to it any
// more: it may be begun anew and be verified before that one comes. False if a block is being
// written this moment.
func (op *openPiece) retire() bool {
	for i := range op.state {
		if !op.state[i].CompareAndSwap(blockFree, blockClosed) {
			for i--; i >= 0; i-- {
				op.state[i].Store(blockFree)
			}
			return false
		}
	}
	return true
}

// begin opens piece p.
func (s *session) begin(p int) *openPiece {
	off, n := s.torrent.PieceSpan(p)
	now := s.now()
	op := &openPiece{index: p, offset: off, length: n, begun: now, moved: now}
	blocks := int((n + piece.BlockSize - 1) / piece.BlockSize)
	op.state = make([]atomic.Uint32, blocks)
	op.got = make([]bool, blocks)
	op.asked = make([]uint8, blocks)
	op.free = blocks
	s.pick.begin(p)
	for _, c := range s.conns {
		if c.introduced && c.have.has(p) {
			c.fresh--
		}
	}
	s.open[p] = op
	s.siteWait.forget(p)
	if !s.torrent.HasV2 {
		for b := range blocks { // blocks that are nothing but padding are here by themselves
			empty := true
			for range s.torrent.Segments(off+int64(b)*piece.BlockSize, op.blockLen(b)) {
				empty = false
			}
			if empty {
				op.state[b].Store(blockWritten)
				s.arrivedBlock(op, b)
			}
		}
	}
	s.useHalf(op)
	s.sort(op)
	return op
}

// giveBack has a piece begun anew that nothing has come of. It says no when something has.
func (s *session) giveBack(op *openPiece) bool {
	if op.closed || op.here > 0 || len(op.asks) > 0 || !op.retire() {
		return false
	}
	s.close(op)
	s.wantAgain(op.index)
	return true
}

// close takes an open piece off the books.
func (s *session) close(op *openPiece) {
	op.closed = true
	if s.open[op.index] == op {
		delete(s.open, op.index)
	}
	s.sort(op)
}

// wantAgain puts a piece back among those to begin.
func (s *session) wantAgain(p int) {
	if s.pick.waits(p) {
		return
	}
	s.pick.want(p)
	for _, c := range s.conns {
		if c.introduced && c.have.has(p) {
			c.fresh++
			c.dry = false
		}
	}
}

// sort keeps the set of pieces with blocks to ask for: choose looks at those only.
func (s *session) sort(op *openPiece) {
	spare := op.free > 0 && op.web == nil && !op.closed
	switch {
	case spare == op.spare:
		return
	case spare:
		s.spare = append(s.spare, op)
	default:
		i := slices.Index(s.spare, op)
		s.spare = slices.Delete(s.spare, i, i+1)
	}
	op.spare = spare
}

// lend leaves a piece to a web seed's request, nil takes it back.
func (s *session) lend(op *openPiece, to *webRun) {
	op.web = to
	s.sort(op)
}

// arrivedBlock notes that block b is here.
func (s *session) arrivedBlock(op *openPiece, b int) {
	if op.got[b] {
		return
	}
	op.got[b] = true
	op.here++
	if op.asked[b] == 0 {
		op.free--
	}
}

// lostBlock notes that block b turned out to be wrong.
func (s *session) lostBlock(op *openPiece, b int) {
	if !op.got[b] {
		return
	}
	op.got[b] = false
	op.here--
	if op.asked[b] == 0 {
		op.free++
	}
}

// outcome is what became of received content. Blocks are bits, counted from the first.
type outcome struct {
	fresh    int64          // bytes that were needed and are on disk
	claimed  uint64         // blocks that were needed and are on disk
	bad      uint64         // blocks whose leaf says they are wrong
	unproven bool           // those on disk had no leaf yet
	sums     []piece.Hash32 // of the blocks; nil: not computed
	err      error          // of the disk
}

// ingest verifies (where the leaves are known) and writes content of an open piece. Any goroutine
// may call it; begin is on a block's border, b ends on one or with the piece, and is 64 blocks at most.
func (s *session) ingest(op *openPiece, begin int64, b []byte) (r outcome) {
	leaves := op.leaves.Load()
	first := int(begin / piece.BlockSize)
	flush := func(from, to int, mark uint32) { // blocks [from, to) are claimed and go to disk
		if from == to {
			return
		}
		lo := int64(from-first) * piece.BlockSize
		hi := min(int64(to-first)*piece.BlockSize, int64(len(b)))
		if err := s.store.WriteAt(b[lo:hi], op.offset+begin+lo); err != nil {
			r.err = err
			mark = blockFree
		} else {
			r.fresh += s.contentIn(op.offset+begin+lo, hi-lo)
			r.claimed |= (1<<(to-from) - 1) << (from - first)
		}
		for i := from; i < to; i++ {
			op.state[i].Store(mark)
		}
	}
	if s.torrent.HasV2 { // also where no leaf is known yet: else the piece would have to be read back
		r.sums = piece.AppendLeaves(make([]piece.Hash32, 0, (len(b)+piece.BlockSize-1)/piece.BlockSize), b)
	}
	mark := blockVerified
	if leaves == nil {
		mark, r.unproven = blockWritten, true
	}
	from := first
	i := first
	for ; int64(i-first)*piece.BlockSize < int64(len(b)); i++ {
		switch {
		case !op.state[i].CompareAndSwap(blockFree, blockBusy): // here already
		case leaves != nil && r.sums[i-first] != (*leaves)[i]:
			op.state[i].Store(blockFree)
			r.bad |= 1 << (i - first)
		default:
			continue
		}
		flush(from, i, mark)
		from = i + 1
	}
	flush(from, i, mark)
	return r
}

// contentIn is how many of n bytes at off are content: all, but for the padding of v1 torrents.
func (s *session) contentIn(off, n int64) int64 {
	if s.torrent.HasV2 {
		return n
	}
	sum := int64(0)
	for seg := range s.torrent.Segments(off, n) {
		sum += seg.Length
	}
	return sum
}
