package swarm

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"shoal/piece"
)

// world is what a session decides in: its clock, its chance, and all that takes time or reaches
// beyond its own memory. [realWorld] is the one there is; a simulator brings its own, and the same loop
// decides the same in it.
type world interface {
	now() time.Time
	random() *rand.Rand
	// open opens the storage, and finds out what of the content is here already.
	open(ctx context.Context, s *session) error
	// beside does work next to the loop, and then has the loop run what work returns, if anything.
	beside(s *session, work func() (then func()))
	// hash compares a piece that is on disk with its hashes; false when the session has ended meanwhile.
	hash(s *session, p int, which hashes) (checkResult, bool)
	// hashV1 compares the SHA-1 of pieces that are on disk, sums of them at most; false as before.
	hashV1(s *session, pieces []int) ([]checkResult, bool)
	// sums is how many pieces are worth waiting for to have their SHA-1 computed side by side.
	sums() int
	// dial opens a connection and tells the loop by dialled, runs it, and at its end tells by hungUp.
	dial(s *session, addr string, e *entry)
	// announced says whether a machine on a network that we are attached to has announced one of the torrent's names
	// there, and that it listens at a.
	announced(t *Transfer, a netip.AddrPort) bool
}

// realWorld is the world that there is.
type realWorld struct{}

func (realWorld) now() time.Time { return time.Now() }

func (realWorld) random() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

func (realWorld) open(ctx context.Context, s *session) error {
	spec := s.t.spec
	if spec.Content == "" {
		return s.prepareFetch(ctx)
	}
	c, err := openContent(spec.Content, s.torrent.Info, spec.Stamps)
	if err != nil {
		return err
	}
	s.store = c
	s.leaves, err = openLeaves(spec.Leaves, s.torrent.Info)
	if err != nil {
		s.log.Debug("leaves are computed as they are asked for", "err", err)
	}
	return nil
}

func (realWorld) beside(s *session, work func() (then func())) {
	s.wg.Go(func() {
		if then := work(); then != nil {
			s.do(then)
		}
	})
}

// verifying does work that keeps a processor busy once there is one; false when the session has ended meanwhile.
func (s *session) verifying(work func()) bool {
	select {
	case s.t.node.verifying <- struct{}{}:
	case <-s.ended:
		return false
	}
	work()
	<-s.t.node.verifying
	return true
}

func (realWorld) sums() int { return piece.MaxSums }

func (realWorld) hashV1(s *session, pieces []int) (r []checkResult, ok bool) {
	ok = s.verifying(func() { r = checkV1(s.store, s.torrent.Info, pieces) })
	return r, ok
}

func (realWorld) hash(s *session, p int, which hashes) (checkResult, bool) {
	var r checkResult
	if !s.verifying(func() { r = checkPiece(s.store, s.torrent.Info, p, which) }) {
		return r, false
	}
	if r.ok && len(r.leaves) > 0 {
		s.leaves.put(s.torrent.FirstLeaf(p), r.leaves)
	}
	return r, true
}

func (realWorld) dial(s *session, addr string, e *entry) {
	try, known := e.fails, e.way
	s.wg.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.wg.Go(func() {
			select {
			case <-s.ended:
				cancel()
			case <-ctx.Done():
			}
		})
		c, err := s.connect(ctx, addr, e, try, known)
		s.do(func() { s.dialled(addr, e, c, err) })
		if err != nil {
			return
		}
		err = s.runConn(ctx, c)
		s.reached.release(c.addr)
		s.log.Debug("connection to a peer ended", "peer", addr, "err", err)
		s.do(func() { s.hungUp(e, err) })
	})
}

// dialled takes note of how a dial went. A failure is tried again, later and later.
func (s *session) dialled(addr string, e *entry, c *conn, err error) {
	s.book.dialing--
	e.dialing = false
	if t, ok := errors.AsType[twice](err); ok {
		e.next = s.now().Add(twiceBackoff)
		s.same(e, t)
		return
	}
	if err != nil {
		e.self, e.way = err == errSelf, anyWay
		e.fails++
		e.next = s.now().Add(min(time.Second<<min(e.fails-1, 6), maxBackoff))
		s.log.Debug("dialling", "peer", addr, "err", err)
		s.t.peerError(e, err)
		return
	}
	s.t.peerError(e, nil)
	e.conn, e.id, e.way = true, c.id, c.took
	c.pin = e.pin
}

// hungUp takes note of the end of a connection that was dialled; it may never have joined.
func (s *session) hungUp(e *entry, err error) {
	e.conn = false
	if now := s.now(); e.next.Before(now) {
		e.fails++
		e.next = now.Add(min(time.Second<<min(e.fails-1, 6), maxBackoff))
		if errors.Is(err, errTwice) {
			e.next = now.Add(twiceBackoff)
		}
	}
	if e.fails > 0 { // it gave nothing
		s.t.peerError(e, err)
	}
}
