package swarm

import (
	"fmt"
	"slices"
	"time"

	"shoal/piece"
)

// A hybrid's piece that its leaves have proven is checked against SHA-1 as well: v1 peers get it only then, and a
// torrent whose halves disagree is found out before anything gets its name. Nobody waits for that but v1 peers, so
// that pieces are collected and hashed side by side: one after the other it was two fifths of what a fetch cost.

// owedTime is how long a piece may wait for others.
const owedTime = time.Second

// oweSHA1 notes that a piece's SHA-1 is to be checked.
func (s *session) oweSHA1(p int) {
	if len(s.owed) == 0 {
		s.owedSince = s.now()
	}
	s.owed = append(s.owed, p)
	s.payOwed(s.now())
}

// payOwed has SHA-1 checked of what is owed, if it is enough to be worth it or somebody waits.
func (s *session) payOwed(now time.Time) {
	if len(s.owed) == 0 {
		return
	}
	most := s.world.sums()
	waits := s.complete() || now.Sub(s.owedSince) >= owedTime || slices.ContainsFunc(s.conns, func(c *conn) bool { return !c.v2 })
	for len(s.owed) >= most || len(s.owed) > 0 && waits {
		n := min(len(s.owed), most)
		pieces := slices.Clone(s.owed[:n])
		s.owed, s.owedSince = s.owed[n:], now
		s.checksV1++
		s.beside(func() func() {
			results, ok := s.world.hashV1(s, pieces)
			if !ok {
				return nil
			}
			return func() { s.paid(pieces, results) }
		})
	}
}

// paid takes what a look at the SHA-1 of pieces has found.
func (s *session) paid(pieces []int, results []checkResult) {
	s.checksV1--
	for i, p := range pieces {
		r := results[i]
		switch {
		case s.failed != nil:
			return
		case r.err != nil:
			s.fail(fmt.Errorf("reading back piece %d: %w", p, r.err))
		case !r.ok: // whose fault is it?
			s.check(p, allHashes, func(checkResult) {
				s.fetch.distrust()
				s.fail(fmt.Errorf("piece %d on disk is not what was written there: %w", p, ErrChanged))
			})
			s.checksV1++ // until then nothing is complete
		case s.recordPiece(p, 'R'):
			s.v1ok.add(p)
			s.fresh = append(s.fresh, p)
		}
	}
	s.checkDone()
}

// checkV1 compares pieces with their SHA-1, those that are whole side by side.
func checkV1(from storage, info *piece.Info, pieces []int) []checkResult {
	results := make([]checkResult, len(pieces))
	var whole []int // indices
	for i, p := range pieces {
		if info.PieceLenV1(p) == info.PieceLength {
			whole = append(whole, i)
		}
	}
	if len(whole) < 2 {
		whole = nil
	}
	for i, p := range pieces {
		if !slices.Contains(whole, i) {
			results[i] = checkPiece(from, info, p, onlySHA1)
		}
	}
	for some := range slices.Chunk(whole, piece.MaxSums) {
		sums, err := piece.SumsSHA1(len(some), info.PieceLength, func(k int, b []byte, off int64) error {
			return from.ReadAt(b, int64(pieces[some[k]])*info.PieceLength+off)
		})
		for k, i := range some {
			results[i] = checkResult{err: err}
			if err == nil {
				results[i].ok = sums[k] == info.PieceHashV1(pieces[i])
			}
		}
	}
	return results
}
