package piece

import "shoal/piece/internal/lanes"

// A SHA-1 waits for itself most of the time, so two pieces are hashed at once where both are plain: whole, and each from one file. That is nearly all of a
// large file, and what it bought is 1.7 times the rate in v1.

// pairs reports whether pieces p and p+1 are to be hashed at once.
func (w *worker) pairs(p int) bool {
	return w.v1 && lanes.Two && w.plain(p) && w.plain(p+1)
}

// plain reports whether piece p is wanted, whole, from one file, and not worth a look for holes.
func (w *worker) plain(p int) bool {
	s := w.only(p)
	return s.Length == w.in.PieceLength && s.Length%BlockSize == 0 && !w.src.files[s.File].sparse && w.wanted(p)
}

// only is the first stretch of piece p.
func (w *worker) only(p int) (first Segment) {
	for s := range w.in.Segments(w.in.PieceSpan(p)) {
		return s
	}
	return first
}

// hashBoth does for pieces p and p+1 what hash does for one. If one of them cannot be read, it leaves both to hash, which finds out which.
func (w *worker) hashBoth(p int) error {
	a, b := w.only(p), w.only(p+1)
	w.both.Reset()
	for i := range w.found {
		w.found[i].leaves, w.found[i].err = w.found[i].leaves[:0], nil
	}
	half := len(w.buf) / 2
	for at := int64(0); at < a.Length; {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		n := int(min(a.Length-at, int64(half)))
		one, two := w.buf[:n], w.buf[half:half+n]
		err := w.src.read(a.File, one, a.FileOffset+at)
		if err == nil {
			err = w.src.read(b.File, two, b.FileOffset+at)
		}
		if err != nil {
			w.done.Add(-2 * at)
			return err
		}
		w.feedBoth(one, two)
		at += int64(n)
		w.count(2 * int64(n))
	}
	w.found[0].v1, w.found[1].v1 = w.both.Sum()
	return nil
}

// feedBoth feeds stretches of two pieces, in whole blocks.
func (w *worker) feedBoth(a, b []byte) {
	for ; len(a) > 0; a, b = a[BlockSize:], b[BlockSize:] {
		w.both.Write(a[:BlockSize], b[:BlockSize])
		if w.v2 {
			x, y := lanes.Leaves((*[BlockSize]byte)(a), (*[BlockSize]byte)(b))
			w.found[0].leaves = append(w.found[0].leaves, x)
			w.found[1].leaves = append(w.found[1].leaves, y)
		}
	}
}
