package piece

import (
	"context"
	"crypto/sha256"
	"hash"

	"shoal/piece/internal/lanes"
)

// A worker takes batches of pieces until there are none.
type worker struct {
	*hashRun
	ctx   context.Context
	buf   []byte
	sha1  hash.Hash
	both  lanes.SHA1
	found [2]pieceHash
	flat  []byte // leaves of the pieces from the piece from on, still to be written
	from  int
}

func (w *worker) loop() error {
	for {
		first := int(w.next.Add(1)-1) * w.batch
		if first >= w.in.pieces {
			return nil
		}
		end := min(first+w.batch, w.in.pieces)
		for p := first; p < end; {
			n := 1
			if p+1 < end && w.pairs(p) {
				n = 2
			}
			if err := w.pieces(p, n); err != nil {
				return err
			}
			p += n
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
}

// pieces hashes n pieces, one or two, and hands over what was found.
func (w *worker) pieces(p, n int) error {
	if n < 2 || w.hashBoth(p) != nil {
		for i := range n {
			if w.wanted(p + i) {
				w.hash(p+i, &w.found[i])
			}
		}
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	for i := range n {
		if err := w.handOver(p+i, &w.found[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) wanted(p int) bool { return w.want == nil || w.want(p) }

// handOver tells what was found for piece p, and that its files are done with.
func (w *worker) handOver(p int, h *pieceHash) error {
	keep := false
	if w.wanted(p) {
		var err error
		if keep, err = w.piece(p, h); err != nil {
			return err
		}
	}
	if err := w.keep(p, keep, h.leaves); err != nil {
		return err
	}
	off, n := w.in.PieceSpan(p)
	for s := range w.in.Segments(off, n) {
		if err := w.src.done(s.File); err != nil {
			if err := w.changed(s.File, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep gathers the leaves of a batch's pieces for one write. Each piece has its full room in the file, also where it has fewer leaves.
func (w *worker) keep(p int, keep bool, leaves []Hash32) error {
	if w.leaves == nil || !w.v2 {
		return nil
	}
	if !keep {
		return w.flush()
	}
	if len(w.flat) == 0 {
		w.from = p
	}
	room := (p - w.from) * int(w.in.PieceLength/BlockSize) * 32
	w.flat = append(w.flat, make([]byte, room-len(w.flat))...)
	for i := range leaves {
		w.flat = append(w.flat, leaves[i][:]...)
	}
	return nil
}

func (w *worker) flush() error {
	if len(w.flat) == 0 {
		return nil
	}
	_, err := w.leaves.WriteAt(w.flat, w.in.FirstLeaf(w.from)*32)
	w.flat = w.flat[:0]
	return err
}

// hash reads piece p and leaves its hashes, or an error, in h.
func (w *worker) hash(p int, h *pieceHash) {
	w.sha1.Reset()
	h.leaves, h.err = h.leaves[:0], nil
	off, n := w.in.PieceSpan(p)
	at, end := off, off+w.in.PieceLenV1(p)
	for s := range w.in.Segments(off, n) {
		w.pad(s.Offset - at)
		if s.Length == w.in.PieceLength && w.src.hole(s.File, s.FileOffset, s.Length) {
			w.useHole(n, h)
			return
		}
		if err := w.segment(s, h); err != nil {
			h.err, h.file = err, s.File
			return
		}
		at = s.Offset + s.Length
	}
	w.pad(end - at)
	if w.v1 {
		w.sha1.Sum(h.v1[:0])
	}
}

// segment feeds a stretch of a file to both hashes.
func (w *worker) segment(s Segment, h *pieceHash) error {
	for s.Length > 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		b := w.buf[:min(s.Length, int64(len(w.buf)))]
		if err := w.src.read(s.File, b, s.FileOffset); err != nil {
			return err
		}
		s.FileOffset += int64(len(b))
		s.Length -= int64(len(b))
		w.feed(b, h)
		w.count(int64(len(b)))
	}
	return nil
}

// feed hashes two blocks after two, so that the second hash finds them where the first left them. Only a file's last block is shorter.
func (w *worker) feed(b []byte, h *pieceHash) {
	if !w.v2 {
		w.sha1.Write(b)
		return
	}
	for len(b) > 0 {
		part := b[:min(len(b), 2*BlockSize)]
		b = b[len(part):]
		if w.v1 {
			w.sha1.Write(part)
		}
		h.leaves = AppendLeaves(h.leaves, part)
	}
}

// pad feeds a gap to the SHA-1.
func (w *worker) pad(n int64) {
	for w.v1 && n > 0 {
		b := zeros[:min(n, int64(len(zeros)))]
		w.sha1.Write(b)
		n -= int64(len(b))
	}
}

func (w *worker) count(n int64) {
	done := w.done.Add(n)
	if w.progress != nil {
		w.progress(done, w.total)
	}
}

// useHole gives the hashes of a whole piece of zeros, which are computed once.
func (w *worker) useHole(n int64, h *pieceHash) {
	w.hole.Do(func() {
		w.pad(n)
		if w.v1 {
			w.sha1.Sum(w.holeV1[:0])
		}
		w.holeLeaf = sha256.Sum256(zeros[:BlockSize])
	})
	h.v1 = w.holeV1
	for i := int64(0); w.v2 && i < leavesIn(n); i++ {
		h.leaves = append(h.leaves, w.holeLeaf)
	}
	w.count(n)
}
