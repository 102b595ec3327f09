package swarm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"shoal/internal/disk"
)

// prepareFetch opens the fetch's place on disk and finds out what is there: pieces the journal
// vouches for, and pieces to hash because the journal cannot, or because a file by that name
// stands there from before.
func (s *session) prepareFetch(ctx context.Context) error {
	info := s.torrent.Info
	if !s.wantsAny() {
		return ErrNothingSelected
	}
	spec := fetchSpec{dir: s.t.spec.Dir, boot: s.t.node.cfg.boot, want: s.wantsFile, own: s.t.spec.Own}
	if s.t.spec.Keep {
		spec.want = nil
	}
	st, state, err := openStore(spec, info)
	if err != nil {
		return err
	}
	s.store, s.fetch = st, st
	if st.leaves != nil {
		s.leaves = keepLeaves(st.leaves)
	}
	s.wantFiles()
	for p := range info.NumPieces() {
		if state.synced.has(p) || state.trusted.has(p) {
			s.take(p)
		}
	}
	if err := s.rehash(ctx, st, &state.suspect); err != nil {
		return err
	}
	return s.enoughRoom(st)
}

// ErrNothingSelected says that a selection leaves nothing to fetch: it is a mistake, and success would hide it.
var ErrNothingSelected = errors.New("no file is selected")

func (s *session) wantsAny() bool {
	for i := range s.torrent.Files {
		if s.wantsFile(i) {
			return true
		}
	}
	return len(s.torrent.Files) == 0
}

// wantFiles puts the pieces of the selected files among those to fetch.
func (s *session) wantFiles() {
	var bytes int64
	for i := range s.torrent.Files {
		if s.wantsFile(i) {
			first, end := s.torrent.FilePieces(i)
			for p := first; p < end; p++ {
				s.wanted.add(p)
			}
		}
	}
	for p := range s.wanted.n {
		if s.wanted.has(p) {
			bytes += s.contentOf(p)
			s.pick.want(p)
		}
	}
	s.t.counts.wanted.Store(bytes)
}

func (s *session) contentOf(p int) (n int64) {
	for seg := range s.torrent.Segments(int64(p)*s.torrent.PieceLength, s.torrent.PieceLen(p)) {
		n += seg.Length
	}
	return n
}

// forgetUnplaced stops giving away pieces that touch files which were not wanted: their parts are
// gone with the rest of the working directory.
func (s *session) forgetUnplaced() {
	if s.t.spec.Keep {
		return
	}
	for i := range s.torrent.Files {
		if s.torrent.Files[i].Length > 0 && !s.fetch.inPlace(i) {
			first, end := s.torrent.FilePieces(i)
			for p := first; p < end; p++ {
				s.have.remove(p)
				s.v1ok.remove(p)
			}
		}
	}
}

// take counts a piece that was found here.
func (s *session) take(p int) {
	s.pick.begin(p)
	s.v1ok.add(p)
	s.gained(p)
	if s.wanted.has(p) {
		s.t.counts.from[Reuse].Add(s.contentOf(p))
	}
}

// rehash looks at what lies on disk without the journal's word for it: suspect pieces, and files
// that stand under their own name. Files that turn out not to be whole become parts.
func (s *session) rehash(ctx context.Context, st *store, suspect *bitset) error {
	if suspect.set == 0 {
		return nil
	}
	info := s.torrent.Info
	good := newBitset(info.NumPieces())
	s.halves = make(map[int]*halfPiece)
	var mu sync.Mutex
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for ctx.Err() == nil {
				p := int(next.Add(1)) - 1
				if p >= suspect.n {
					return
				}
				if !suspect.has(p) || !s.wanted.has(p) {
					continue
				}
				r := checkPiece(s.store, info, p, allHashes)
				if r.err != nil { // not there, as a rule
					continue
				}
				s.t.counts.checking.Add(info.PieceLen(p))
				if r.ok {
					s.leaves.put(info.FirstLeaf(p), r.leaves)
					mu.Lock()
					good.add(p)
					mu.Unlock()
				} else if h := s.halfOf(p, r.leaves); h != nil {
					mu.Lock()
					s.halves[p] = h
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.displaceOld(ctx, st, &good); err != nil {
		return err
	}
	for p := range good.n {
		if good.has(p) {
			s.take(p)
			if _, err := st.record(p, 'R'); err != nil {
				return err
			}
		}
	}
	s.countHalves()
	return nil
}

// displaceOld settles what becomes of those files in place that were hashed.
func (s *session) displaceOld(ctx context.Context, st *store, good *bitset) error {
	info := s.torrent.Info
	for i := range info.Files {
		if !st.inPlace(i) {
			continue
		}
		whole, some := true, false
		first, end := info.FilePieces(i)
		for p := first; p < end; p++ {
			here := good.has(p) || s.have.has(p)
			whole, some = whole && here, some || here || s.halves[p] != nil
		}
		if err := st.settle(ctx, i, whole, some); err != nil {
			return err
		}
	}
	return nil
}

// enoughRoom compares what is missing with what is free, so that a disk that is too small is
// known before the first byte rather than at the last.
func (s *session) enoughRoom(st *store) error {
	var need int64
	for p := range s.wanted.n {
		if s.lacks(p) {
			need += s.contentOf(p)
		}
	}
	need = max(0, need-st.spare(&s.have))
	free, err := disk.Free(s.t.spec.Dir)
	if err != nil || need <= free {
		return nil // not known: writing will tell
	}
	return &NoRoomError{Dir: s.t.spec.Dir, Need: need, Free: free}
}

// NoRoomError says that content does not fit on a disk; it is syscall.ENOSPC to errors.Is.
type NoRoomError struct {
	Dir        string
	Need, Free int64 // bytes
}

func (e *NoRoomError) Error() string {
	return fmt.Sprintf("%s has %d bytes free and %d are needed", e.Dir, e.Free, e.Need)
}

// Is makes the error one of a full disk.
func (e *NoRoomError) Is(target error) bool { return target == syscall.ENOSPC }
