package swarm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/piece"
)

// session is a transfer while it is awake: one goroutine, run, owns all of its state, and
// everything else talks to it by functions that do puts into its queue.
type session struct {
	t      *Transfer
	log    *slog.Logger
	world  world
	inbox  chan func()
	ended  chan struct{} // closed when the loop has ended
	closed chan struct{} // closed when everything else has, and the files are closed
	stop   func()        // ends run
	wg     sync.WaitGroup

	// All below belongs to run.
	torrent     *piece.Torrent // nil until a magnet's metadata is here
	store       storage
	fetch       ledger // store, when it is a fetch
	leaves      *leafStore
	me          uint64 // our claim to pieces of the site
	gate        bool   // content comes into the site through us
	wanted      bitset // pieces that are wanted
	have        bitset // pieces that are verified and here
	v1ok        bitset // hybrids: those of them whose SHA-1 was checked too
	pick        *picker
	open        map[int]*openPiece   // begun and not verified
	halves      map[int]*halfPiece   // not begun, and some of them is here
	spare       []*openPiece         // those of them with blocks that nobody was asked for
	suspects    map[int][]suspicion  // pieces that failed their hash, until they are right
	blamed      map[string]time.Time // when a source's bad content was last told
	offeredAt   time.Time            // when we last told some that we have nothing to do
	lent        []uint16             // per piece: how many origins that do not count as seeds show it to us alone; nil while none has
	lines       [lanes]wayOut
	holding     bool         // lines are looked at again within holdTime
	queued      [lanes]int64 // bytes that peers have asked for and writers were not handed
	outstanding [lanes]int64 // bytes asked of all peers and not answered
	conns       []*conn      // in the order they joined; one that leaves is missing in a new slice, so that this one can be ranged over
	asking      connSet
	writing     connSet
	lan         []*conn // conns of our site
	lanStale    bool    // lan is to be made anew
	seeds       int     // conns that have everything
	book        *book
	reached     reached
	self        netip.AddrPort // as others see us, if they said
	metas       map[*conn]*metaFetch
	describing  map[*conn]time.Time // Shoal peers that are being given the description, and since when
	described   bool                // peers were told that we have it
	webs        []*webSeed
	firstWebs   int       // of them: those that are no spares, which come first
	reveal      *revealer // nil unless this is an origin that leases
	spent       bool      // the ration is, so that peers are choked
	tight       bool      // what is left of the ration was too little for a request
	extras      map[int]*extra
	layers      layerState
	computed    leafCache
	rnd         *rand.Rand

	fresh        []int     // verified since the last HAVEs went out
	inside       []int     // of those before, what was not told beyond the site's border
	toldGates    time.Time // of what is in inside, gates beyond it
	toldAll      time.Time // everybody
	haveSince    time.Time // since when some of them wait; zero: none do
	haveDue      time.Time // when they go out
	owed         []int     // pieces of a hybrid whose SHA-1 is still to be checked
	owedSince    time.Time
	checksV1     int // such checks under way
	placing      bool
	placed       bool
	failed       error
	started      time.Time
	lastUseful   time.Time // last content from anyone
	lastPeer     time.Time // last content from a peer
	lastChoke    time.Time
	exchanged    time.Time // when it was last looked who is to be told of whom
	lastSync     time.Time
	accounted    time.Time // when it was last looked what holds us back
	syncing      bool
	delivery     delivery
	slowSince    time.Time // since when peers bring too little
	companySince time.Time // since when there are useful ones
	idleSince    time.Time
	learned      bool // the metadata has just come: prepare
	meter        meter
	slotTurn     uint64
	mostPeers    int            // MaxPeers when it was last looked
	served       int64          // conn.served of who was given something last
	steady       atomic.Bool    // a queue that is met may well be others' doing; see governor
	acrossRate   float64        // bytes per second over the site's border
	arrives      [lanes]float64 // bytes per second that come over each lane, of late
	across       int64          // bytes asked over it and not answered
	siteWait     waits          // pieces that another machine of the site should fetch

	readers []*reader // that wait, see Transfer.ReadAt
}

func newSession(t *Transfer, x *piece.Torrent) *session {
	w := t.node.world
	began := w.now()
	return &session{
		t: t, world: w, torrent: x, log: t.node.cfg.Log.With("infohash", fmt.Sprintf("%x", t.hashes()[0][:6])),
		inbox: make(chan func(), 256), ended: make(chan struct{}), closed: make(chan struct{}),
		open: make(map[int]*openPiece), suspects: make(map[int][]suspicion), blamed: make(map[string]time.Time), extras: make(map[int]*extra),
		metas: make(map[*conn]*metaFetch), describing: make(map[*conn]time.Time), book: newBook(), rnd: w.random(), started: began, lastSync: began,
		mostPeers: t.node.Limits().MaxPeers,
		meter:     meter{lastDown: []reading{{began, t.counts.came()}}},
		asking:    connSet{id: asking}, writing: connSet{id: writing},
	}
}

// now is the loop's clock.
func (s *session) now() time.Time { return s.world.now() }

// beside does work next to the loop, and then has the loop run what work returns.
func (s *session) beside(work func() (then func())) { s.world.beside(s, work) }

// around goes through the connections beginning at a random one, so that none is always the first.
func (s *session) around() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		conns := s.conns
		if len(conns) == 0 {
			return
		}
		at := s.rnd.IntN(len(conns))
		for i := range conns {
			if c := conns[(at+i)%len(conns)]; !c.gone && !yield(c) {
				return
			}
		}
	}
}

// do has the loop run f. It says no when the loop has ended.
func (s *session) do(f func()) bool {
	select {
	case s.inbox <- f:
		return true
	case <-s.ended:
		return false
	}
}

// call has the loop run f, and waits until it has. It says no when the loop ended before.
func (s *session) call(f func()) bool {
	done := make(chan struct{})
	if !s.do(func() { f(); close(done) }) {
		return false
	}
	select {
	case <-done:
		return true
	case <-s.ended:
		return false
	}
}

// idleTime is how long a seed without connections stays awake.
const idleTime = 30 * time.Second

func (s *session) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	s.stop = cancel
	defer func() {
		cancel()
		s.t.asleep(s)
		close(s.ended) // nobody waits for the loop any more
		s.wg.Wait()
		s.drain()
		if s.store != nil {
			s.store.Close()
		}
		s.leaves.close()
		for _, w := range s.webs {
			w.src.Close()
		}
		if r := s.t.spec.Ration; r != nil {
			r.met(nil, 0)
		}
		s.t.counts.peers.Store(0)
		s.t.counts.seeds.Store(0)
		s.t.counts.describers.Store(0)
		s.t.counts.downRate.Store(0)
		s.t.counts.upRate.Store(0)
		s.t.forget(s)
		close(s.closed)
	}()
	s.addPinned(s.t.spec.Peers)
	s.wg.Go(func() { // the loop's context also ends with the transfer
		select {
		case <-s.t.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	s.learned = s.torrent != nil
	s.idleSince = s.now()
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	slow := false
	haves := time.NewTimer(time.Hour) // runs while haveDue is set
	defer haves.Stop()
	hold := time.NewTimer(time.Hour) // runs while a line is full
	defer hold.Stop()
	for s.failed == nil {
		if s.learned && ctx.Err() == nil {
			s.learned = false
			if err := s.prepare(ctx); err != nil {
				s.fail(err)
				return
			}
			s.dialSome()
		}
		select {
		case <-ctx.Done():
			s.t.finish(ctx.Err())
			return
		case f := <-s.inbox:
			f()
			for n := len(s.inbox); n > 0 && s.failed == nil && !s.learned; n-- { // what has piled up, before looking around
				f := <-s.inbox
				f()
			}
			if in, soon := s.collectHaves(); soon {
				haves.Reset(in)
			}
		case <-haves.C:
			s.flushHaves()
		case <-hold.C:
			s.holding = false
			s.serve(s.now())
		case now := <-tick.C:
			s.tick(now)
			if !slow && s.quiet() {
				slow = true
				tick.Reset(quietTime)
			}
		}
		if in, soon := s.holdSoon(); soon {
			hold.Reset(in)
		}
		if slow && !s.quiet() {
			slow = false
			tick.Reset(tickTime)
		}
		if s.asleepNow() {
			return
		}
	}
}

// quiet says whether there is nothing to do but to wait for others: a seed that nobody asks.
func (s *session) quiet() bool {
	if !s.complete() || s.fetch != nil && !s.placed || s.reveal != nil && s.reveal.exclusive || s.book.dialing > 0 {
		return false
	}
	return !s.gives()
}

// gives says whether somebody waits for content of ours.
func (s *session) gives() bool {
	return len(s.asking.conns) > 0 || slices.ContainsFunc(s.writing.conns, func(c *conn) bool { return c.inflight > 0 })
}

// drain empties the inbox after the end, so that blocks' buffers are not lost sight of.
func (s *session) drain() {
	for {
		select {
		case <-s.inbox:
		default:
			return
		}
	}
}

// asleepNow says whether a seed has been without company for long enough to forget its torrent.
func (s *session) asleepNow() bool {
	if len(s.conns) > 0 || s.t.spec.Content == "" || s.book.dialing > 0 {
		s.idleSince = s.now()
		return false
	}
	return s.now().Sub(s.idleSince) > idleTime && len(s.t.spec.Peers) == 0
}

// fail ends the session and, if it was still fetching, the transfer.
func (s *session) fail(err error) {
	if s.failed != nil {
		return
	}
	s.failed = err
	if !errors.Is(err, context.Canceled) {
		s.log.Debug("transfer ends", "err", err)
	}
	s.t.finish(err)
}

// prepare opens the storage once the torrent is known, and finds out what is here already.
func (s *session) prepare(ctx context.Context) error {
	info := s.torrent.Info
	n := info.NumPieces()
	s.wanted, s.have, s.v1ok = newBitset(n), newBitset(n), newBitset(n)
	s.pick = newPicker(n, s.rnd, s.t.spec.InOrder)
	if s.t.spec.Content != "" {
		s.have.fill()
		s.v1ok.fill()
		s.wanted.fill()
		s.t.counts.wanted.Store(info.Length)
		s.t.counts.have.Store(info.Length)
		if s.t.node.cfg.Role == RoleOrigin {
			s.reveal = newRevealer(n, s.rnd)
		}
	}
	if err := s.world.open(ctx, s); err != nil {
		return err
	}
	s.evict()
	s.t.learn(s.torrent)
	s.t.counts.prepared.Store(true)
	if s.fetch != nil && !info.HasLayers() {
		s.beginLayers(s.now())
	}
	for _, c := range s.conns {
		s.introduce(c)
	}
	if s.fetch != nil {
		s.tickLayers(s.now())
	}
	s.tellDescribed()
	s.checkDone()
	if s.failed == nil {
		s.startWebSeeds(ctx)
	}
	return s.failed
}

// complete says whether everything that is wanted is verified and here.
func (s *session) complete() bool {
	return s.pick != nil && s.missing() == 0
}

// missing counts wanted pieces that are not here.
func (s *session) missing() int { return s.pick.left() + len(s.open) }
