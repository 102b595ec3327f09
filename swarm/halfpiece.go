package swarm

import (
	"fmt"

	"shoal/piece"
)

// halfPiece is a piece that is not begun, of which some blocks are on disk, verified by its leaves: another version of the content had them (see Parts.Fill).
type halfPiece struct {
	leaves []piece.Hash32
	here   []bool // by block
}

// halfOf looks at a piece that is wrong on disk, where its blocks have the hashes found, with the leaves that are kept of it. Nil: none of it is known to be right.
func (s *session) halfOf(p int, found []piece.Hash32) *halfPiece {
	info := s.torrent.Info
	leaves, ok := s.leaves.get(info.FirstLeaf(p), info.LeafCount(p))
	if !ok || len(found) != len(leaves) || !info.CheckLeaves(p, leaves) {
		return nil
	}
	h := &halfPiece{leaves: leaves, here: make([]bool, len(leaves))}
	some := false
	for b := range leaves {
		h.here[b] = found[b] == leaves[b]
		some = some || h.here[b]
	}
	if !some {
		return nil
	}
	return h
}

// useHalf has op begin with the blocks that are here.
func (s *session) useHalf(op *openPiece) {
	h := s.halves[op.index]
	if h == nil {
		return
	}
	delete(s.halves, op.index)
	op.leaves.Store(&h.leaves)
	for b, here := range h.here {
		if here {
			op.state[b].Store(blockVerified)
			s.arrivedBlock(op, b)
		}
	}
}

// countHalves counts what is here of pieces that are not whole.
func (s *session) countHalves() {
	for p, h := range s.halves {
		for b, here := range h.here {
			if here {
				s.t.counts.from[Reuse].Add(min(piece.BlockSize, s.torrent.PieceLen(p)-int64(b)*piece.BlockSize))
			}
		}
	}
}

// gap is the first stretch of blocks that op lacks, in piece space: all of it, as a rule.
func (op *openPiece) gap() (start, end int64) {
	first := 0
	for first < op.blocks() && op.got[first] {
		first++
	}
	after := first
	for after < op.blocks() && !op.got[after] {
		after++
	}
	return op.offset + int64(first)*piece.BlockSize, op.offset + min(int64(after)*piece.BlockSize, op.length)
}

// extend makes the part of a file as long as the file, so that pieces with holes in them can be read.
func (s *store) extend(file int) error {
	h, err := s.files.get(file, true)
	if err != nil {
		return err
	}
	defer s.files.put(h)
	st, err := h.f.Stat()
	if err != nil || st.Size() >= s.info.Files[file].Length {
		return err
	}
	if err := h.f.Truncate(s.info.Files[file].Length); err != nil {
		return fmt.Errorf("extending %s: %w", s.part(file), err)
	}
	s.journal.touch()
	return nil
}
