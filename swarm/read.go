package swarm

import (
	"context"
	"errors"
	"io/fs"
	"slices"
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

// reader waits for a stretch of piece space.
type reader struct {
	off, n int64
	wake   chan struct{} // has room for one
}

// placeTime is how long a reader waits for a file that is just being given its name.
const placeTime = 20 * time.Millisecond

// ReadAt reads verified content at off of piece space; it waits until all of it is here. What is waited for is fetched before anything else.
func (t *Transfer) ReadAt(ctx context.Context, b []byte, off int64) error {
	for {
		s, err := t.session()
		if err != nil {
			return err
		}
		ok, err := s.await(ctx, off, int64(len(b)))
		if err != nil {
			return err
		}
		if ok {
			err := s.store.ReadAt(b, off)
			if moved := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed); !moved || errors.Is(err, ErrChanged) {
				return err
			}
		} else if err := t.Err(); err != nil {
			return err
		} else if s.t.closedForGood() {
			return errClosed
		}
		select { // the file has just got its name, or the loop has gone to sleep
		case <-time.After(placeTime):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *Transfer) closedForGood() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// await waits until [off, off+n) is verified and here; false: the loop has ended before that.
func (s *session) await(ctx context.Context, off, n int64) (bool, error) {
	r := &reader{off: off, n: n, wake: make(chan struct{}, 1)}
	ready := make(chan bool, 1)
	begin := func() {
		here := s.holds(off, n)
		if !here {
			s.readers = append(s.readers, r)
			s.hurry()
		}
		ready <- here
	}
	if !s.do(begin) {
		return false, nil
	}
	select {
	case here := <-ready:
		if here {
			return true, nil
		}
	case <-s.ended:
		return false, nil
	}
	select {
	case <-r.wake:
		return true, nil
	case <-s.ended:
		return false, nil
	case <-ctx.Done():
		s.do(func() { s.readers = slices.DeleteFunc(s.readers, func(o *reader) bool { return o == r }) })
		return false, ctx.Err()
	}
}

// wakeReaders tells those who have all that they wait for. It is called when more is here.
func (s *session) wakeReaders() {
	s.readers = slices.DeleteFunc(s.readers, func(r *reader) bool {
		here := s.holds(r.off, r.n)
		if here {
			r.wake <- struct{}{}
		}
		return here
	})
}

// hurry has sources asked again: there is something that is wanted before the rest.
func (s *session) hurry() {
	if s.pick == nil {
		return
	}
	for _, w := range s.webs {
		for r := range w.runs {
			if !w.whole && s.delays(r) {
				s.takeFrom(r, 0)
			}
		}
	}
	for _, c := range s.conns {
		c.dry = false
	}
	s.fillAll()
}

// delays says whether a web seed's request comes to what a reader waits for only after other pieces: up to 64 MiB of them. Cut off behind the piece that it is at,
// it makes way for one that begins there.
func (s *session) delays(r *webRun) bool {
	first, end := r.rest()
	if end-first < 2 {
		return false
	}
	for _, x := range s.readers[:min(len(s.readers), maxUrgent)] {
		for p := x.off / s.torrent.PieceLength; p*s.torrent.PieceLength < x.off+x.n; p++ {
			if s.have.has(int(p)) {
				continue
			}
			if slices.ContainsFunc(r.ops[first+1:end], func(op *openPiece) bool { return op.index == int(p) }) {
				return true
			}
			break // the reader's first piece comes next, or from elsewhere
		}
	}
	return false
}

// maxUrgent is how many readers are looked at for what to fetch next: those that wait longest.
const maxUrgent = 64

// urgent is a piece to begin that a reader waits for, and that ok accepts; -1: there is none.
func (s *session) urgent(ok func(p int) bool) int {
	for _, r := range s.readers[:min(len(s.readers), maxUrgent)] {
		for p := r.off / s.torrent.PieceLength; p*s.torrent.PieceLength < r.off+r.n; p++ {
			if s.pick.waits(int(p)) && ok(int(p)) {
				return int(p)
			}
		}
	}
	return -1
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
		if s.placed && !s.t.spec.Keep && s.fetch != nil && !s.fetch.inPlace(seg.File) {
			return false
		}
	}
	return true
}
