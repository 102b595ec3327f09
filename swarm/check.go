package swarm

import (
	"crypto/sha1"
	"fmt"
	"hash"

	"shoal/piece"
	"shoal/swarm/wire"
)

// checkResult is what a look at a whole piece on disk found.
type checkResult struct {
	ok     bool
	leaves []piece.Hash32 // of each block, if SHA-256 was computed
	err    error
	split  bool // the halves of a hybrid disagree about it
}

// which hashes of a piece to compare.
type hashes uint8

const (
	allHashes  hashes = iota
	onlySHA1          // of a hybrid's piece whose leaves have proven it already
	onlySHA256        // for the hashes of a piece's blocks, also of one that has only v1
)

// ErrInconsistent says that the v1 and v2 halves of a hybrid describe different content.
var ErrInconsistent = fmt.Errorf("the SHA-1 and the SHA-256 half of this torrent disagree: %w", piece.ErrCorrupt)

// check hashes piece p from disk beside the loop, and then has the loop run then.
func (s *session) check(p int, which hashes, then func(checkResult)) {
	s.beside(func() func() {
		r, ok := s.world.hash(s, p, which)
		if !ok {
			return nil
		}
		return func() {
			if s.failed == nil {
				if r.split {
					s.fail(fmt.Errorf("%w: piece %d", ErrInconsistent, p))
					return
				}
				then(r)
			}
		}
	})
}

// checkPiece reads piece p and compares it with the hashes that are known for it. It holds one
// block's worth of memory, however long the piece is.
func checkPiece(from storage, info *piece.Info, p int, which hashes) (r checkResult) {
	v1, v2 := info.HasV1 && which != onlySHA256, info.HasV2 && which != onlySHA1 || which == onlySHA256
	off, content := info.PieceSpan(p)
	n := content
	var sum hash.Hash
	if v1 {
		n = info.PieceLenV1(p)
		sum = sha1.New()
	}
	if v2 {
		r.leaves = make([]piece.Hash32, 0, info.LeafCount(p))
	}
	b, release := wire.Block(wire.MaxBlock)
	defer release()
	for at := int64(0); at < n; at += int64(len(b)) {
		b = b[:min(int64(len(b)), n-at)]
		if r.err = from.ReadAt(b, off+at); r.err != nil {
			return r
		}
		if v1 {
			sum.Write(b)
		}
		if v2 && at < content {
			r.leaves = piece.AppendLeaves(r.leaves, b[:min(int64(len(b)), content-at)])
		}
	}
	okV1 := v1 && piece.Hash20(sum.Sum(nil)) == info.PieceHashV1(p)
	okV2, knownV2 := false, false
	if v2 && info.HasV2 {
		if _, knownV2 = info.PieceRoot(p); knownV2 {
			okV2 = info.CheckLeaves(p, r.leaves)
		}
	}
	r.split = v1 && knownV2 && okV1 != okV2
	r.ok = !r.split && (okV1 || okV2)
	return r
}
