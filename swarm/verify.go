package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"time"

	"shoal/piece"
)

// took counts content from any supplier and completes pieces. Of a web seed class is that of whom it has led to.
func (s *session) took(from supplier, class Class, op *openPiece, begin, n int64, r outcome) {
	now := s.now()
	cnt := &s.t.counts
	cnt.from[class].Add(r.fresh)
	cnt.wasted.Add(s.contentIn(op.offset+begin, n) - r.fresh)
	if r.err != nil {
		s.fail(fmt.Errorf("writing: %w", r.err))
		return
	}
	if r.fresh > 0 {
		s.lastUseful = now
	}
	if !r.unproven {
		cnt.proven.Add(r.fresh)
	}
	if r.bad != 0 {
		cnt.badBlocks.Add(int64(bits.OnesCount64(r.bad)))
		s.blame(from, "a block does not match its leaf", op.index)
	}
	if op.closed {
		return
	}
	first := int(begin / piece.BlockSize)
	for i := 0; r.claimed>>i != 0; i++ {
		if r.claimed>>i&1 == 0 {
			continue
		}
		s.arrivedBlock(op, first+i)
		if r.unproven {
			if op.by == nil {
				op.by = make([]supplier, op.blocks())
			}
			op.by[first+i] = from
		}
		if r.sums != nil {
			if op.sums == nil {
				op.sums = make([]piece.Hash32, op.blocks())
			}
			op.sums[first+i] = r.sums[i]
		}
		op.moved = now
	}
	s.sort(op)
	s.dropDuplicates(op)
	if op.here == op.blocks() && !op.checking {
		s.finishPiece(op)
	}
}

// finishPiece verifies a piece of which every block is here.
func (s *session) finishPiece(op *openPiece) {
	if leaves := op.leaves.Load(); leaves != nil {
		proven := true
		for b := range op.state {
			proven = proven && op.state[b].Load() == blockVerified
		}
		if proven {
			s.leaves.put(s.torrent.FirstLeaf(op.index), *leaves)
			s.verified(op, *leaves, false)
			return
		}
	}
	if op.sums != nil && !slices.Contains(op.sums, piece.Hash32{}) && s.torrent.CheckLeaves(op.index, op.sums) {
		s.leaves.put(s.torrent.FirstLeaf(op.index), op.sums)
		s.verified(op, op.sums, false)
		return
	}
	op.checking = true
	s.check(op.index, allHashes, func(r checkResult) { s.checked(op, r) })
}

// checked takes what a look at a piece without proof has found.
func (s *session) checked(op *openPiece, r checkResult) {
	switch {
	case op.closed:
		return
	case r.err != nil:
		s.fail(fmt.Errorf("reading back piece %d: %w", op.index, r.err))
		return
	case r.leaves == nil && (!r.ok || s.suspects[op.index] != nil): // to tell who gave what
		s.check(op.index, onlySHA256, func(blocks checkResult) {
			r.leaves, r.err = blocks.leaves, blocks.err
			s.checked(op, r)
		})
		return
	}
	op.checking = false
	if r.ok {
		s.verified(op, r.leaves, true)
	} else {
		s.badPiece(op, r)
	}
}

// verified takes in a piece whose content is proven; leaves, where known, are its blocks' hashes.
// bySHA1 says that a hybrid's SHA-1 was part of the proof.
func (s *session) verified(op *openPiece, leaves []piece.Hash32, bySHA1 bool) {
	p := op.index
	s.close(op)
	owed := s.torrent.HasV1 && s.torrent.HasV2 && !bySHA1
	kind := byte('R')
	if owed {
		kind = 'L'
	}
	if !s.recordPiece(p, kind) {
		return
	}
	s.gained(p)
	s.withdraw(op)
	if owed {
		s.oweSHA1(p)
	} else {
		s.v1ok.add(p)
	}
	s.fresh = append(s.fresh, p)
	s.convict(p, leaves)
	s.checkDone()
}

// gained counts a piece that is verified and here.
func (s *session) gained(p int) {
	s.have.add(p)
	if s.wanted.has(p) {
		s.t.counts.have.Add(s.contentOf(p))
	}
	s.wakeReaders()
	for _, c := range s.conns {
		if c.introduced && c.have.has(p) {
			c.useful--
			s.interest(c)
		}
	}
}

// suppliers is a set of them, in the order they were found.
type suppliers []supplier

func (l *suppliers) add(x supplier) {
	if !slices.Contains(*l, x) {
		*l = append(*l, x)
	}
}

// suspicion is a piece that failed its hash: what each block was, and who gave it.
type suspicion struct {
	by   []supplier
	sums []piece.Hash32
}

// Suspicions that are kept: rounds of one piece, and pieces.
const (
	maxRounds   = 8
	maxSuspects = 256
)

// badPiece starts over what is wrong of a piece. Leaves say which blocks that is. Without them a
// piece from one source convicts it; one from several is fetched again, from a single source if
// it delivers, and once it is right every block that was different convicts its giver.
func (s *session) badPiece(op *openPiece, r checkResult) {
	s.t.counts.badBlocks.Add(1)
	var guilty suppliers
	if leaves := op.leaves.Load(); leaves != nil {
		for b := range op.state {
			if r.leaves[b] == (*leaves)[b] {
				op.state[b].Store(blockVerified)
				continue
			}
			s.t.counts.wasted.Add(op.blockLen(b))
			if op.by != nil && op.by[b] != nil {
				guilty.add(op.by[b])
				op.by[b] = nil
			}
			s.lostBlock(op, b)
			op.state[b].Store(blockFree)
		}
		s.sort(op)
	} else {
		s.t.counts.wasted.Add(op.length)
		s.close(op)
		s.withdraw(op)
		s.wantAgain(op.index)
		var from suppliers
		for _, x := range op.by {
			if x != nil {
				from.add(x)
			}
		}
		if len(from) == 1 {
			guilty = from
		} else {
			s.suspect(op, r.leaves)
		}
	}
	for _, x := range guilty {
		s.blame(x, "a piece does not match its hash", op.index)
	}
	s.fillAll()
}

// suspect remembers who gave what of a piece that failed.
func (s *session) suspect(op *openPiece, sums []piece.Hash32) {
	rounds := s.suspects[op.index]
	if len(rounds) == maxRounds {
		rounds = rounds[1:]
	}
	if rounds != nil || len(s.suspects) < maxSuspects {
		s.suspects[op.index] = append(rounds, suspicion{op.by, sums})
	}
}

// convict blames those who gave other blocks of p than the right ones, now that these are known.
func (s *session) convict(p int, right []piece.Hash32) {
	rounds := s.suspects[p]
	delete(s.suspects, p)
	var guilty suppliers
	for _, r := range rounds {
		for b, x := range r.by {
			if x != nil && b < len(right) && b < len(r.sums) && r.sums[b] != right[b] {
				guilty.add(x)
			}
		}
	}
	for _, x := range guilty {
		s.blame(x, "blocks of a piece were wrong", p)
	}
}

// loosen frees pieces that were reserved for one source which does not give them.
func (s *session) loosen(now time.Time) {
	if len(s.suspects) == 0 {
		return
	}
	for _, op := range s.open {
		if op.only != nil && (op.only.gone || now.Sub(op.moved) > onlyTime) {
			op.only = nil
		}
	}
}

const onlyTime = 3 * time.Second

const (
	blameEvery = time.Minute // how often a source's bad content is told
	maxBlamed  = 1000        // sources that are remembered for that
)

// ErrBadContent is what a web seed that has sent wrong content is sent away for.
var ErrBadContent = errors.New("its content is not the torrent's")

// blame sends a supplier away for a while.
func (s *session) blame(x supplier, why string, p int) {
	now := s.now()
	s.t.counts.bans.Add(1)
	level := slog.LevelDebug // a source that sends nothing else is worth one line, not one for each piece
	if source := x.String(); now.Sub(s.blamed[source]) > blameEvery {
		level = slog.LevelWarn
		if len(s.blamed) >= maxBlamed {
			clear(s.blamed)
		}
		s.blamed[source] = now
	}
	s.log.Log(context.Background(), level, "bad content", "source", x.String(), "piece", p, "why", why)
	switch x := x.(type) {
	case *conn:
		s.banish(x, why)
	case *webSeed:
		x.ban(now)
		s.t.webError(fmt.Errorf("web seed %s: piece %d: %w", x.name, p, ErrBadContent))
	}
}
