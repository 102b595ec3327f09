package swarm

import (
	"context"
	"time"
)

// Wants says whether file i was selected; only once the metadata is known.
func (t *Transfer) Wants(i int) bool {
	x := t.Torrent()
	f := &x.Files[i]
	if t.spec.SelectIndex != nil && !t.spec.SelectIndex(i) {
		return false
	}
	return t.spec.Select == nil || t.spec.Select(f.Name(x.Info))
}

// ReadAt reads verified content at off of piece space; it waits until all of it is here.
func (t *Transfer) ReadAt(ctx context.Context, b []byte, off int64) error {
	for {
		s, err := t.session()
		if err != nil {
			return err
		}
		ready := make(chan bool, 1)
		if !s.do(func() { ready <- s.holds(off, int64(len(b))) }) {
			if err := t.Err(); err != nil {
				return err
			}
			return errClosed
		}
		select {
		case ok := <-ready:
			if ok {
				return s.store.ReadAt(b, off)
			}
		case <-s.ended:
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// holds says whether all of [off, off+n) is verified and here.
func (s *session) holds(off, n int64) bool {
	if s.pick == nil {
		return false
	}
	for p := off / s.torrent.PieceLength; p*s.torrent.PieceLength < off+n; p++ {
		if !s.have.has(int(p)) && !s.placed {
			return false
		}
	}
	for seg := range s.torrent.Segments(off, n) {
		if s.placed && !s.t.spec.Keep && !s.fetch.inPlace(seg.File) {
			return false
		}
	}
	return true
}
