package swarm

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// Virtual is a node with one torrent in a simulated swarm: the session is the real one, and its
// clock, network and disk are a [Fabric]'s. All its methods, and those of its connections, are to be
// called by one goroutine. Content is not moved: whatever is delivered is right, unless it comes
// from a liar.
type Virtual struct {
	s      *session
	fabric Fabric
	liar   bool
	leaves io.ReaderAt
	rnd    *rand.Rand
	bad    map[int64]bool // leaves of the piece space on the disk that are wrong
	reader *wire.Reader   // decodes control messages
	buf    *bytesReader
	slow   bool // the loop looks at the clock once a second only
	done   bool
	lanes  [lanes]virtualLane
	ticks  int                     // the ticks that were ordered last; those before are void
	coarse int                     // VirtualSpec.Coarse, 1 at least
	heard  map[netip.AddrPort]bool // neighbours that have announced themselves
}

// Fabric is what a simulation gives to its nodes.
type Fabric interface {
	Now() time.Time
	// After has f called once d has passed, if v is still there then.
	After(v *Virtual, d time.Duration, f func())
	// Dial opens a connection: it makes its two ends by NewConn and joins them, first the one that is dialled.
	Dial(v *Virtual, to netip.AddrPort, done func(*VirtualConn, error))
	// Poke says that c may have something to send: it is to be pulled when there is room for it.
	Poke(c *VirtualConn)
	// Close says that c was closed by its own end; the other end is to learn of it by FarClosed.
	Close(c *VirtualConn)
	// Gauge tells what a system knows of its end: bytes acknowledged ever, bytes written and not acknowledged,
	// the round trip and the shortest.
	Gauge(c *VirtualConn) (acked uint64, queued int64, rtt, least time.Duration)
	// Unsent bounds what c's socket takes beyond what is on its way.
	Unsent(c *VirtualConn, n int)
	// Finished says that v has everything.
	Finished(v *Virtual)
}

// VirtualSpec is what a virtual node does.
type VirtualSpec struct {
	Torrent *piece.Torrent
	// Description is what it knows of that at first.
	Description Description
	// Seed says that it has all of it.
	Seed bool
	// Liar says that all it sends is wrong.
	Liar bool
	// Leaves are the SHA-256 of each 16 KiB leaf, as piece.Build writes them.
	Leaves io.ReaderAt
	// Near are the networks that the node is attached to.
	Near []netip.Prefix
	// Ration is how many copies it gives away in a day; 0: any number.
	Ration float64
	// Coarse has it look at the clock, its writers paced, and its lines looked at when they are full, in steps that
	// are so many times longer, so that less happens in a large simulation; 0: as in production.
	Coarse int
	// Seed1 and Seed2 are all the chance there is.
	Seed1, Seed2 uint64
}

// Description says how much of a torrent a virtual node knows when it begins.
type Description int

const (
	Whole    Description = iota // all of it
	Referred                    // its info hashes: peers know the rest
)

// NewVirtual makes a node; cfg.PeerID must be set.
func NewVirtual(cfg Config, spec VirtualSpec, f Fabric) *Virtual {
	cfg.boot = "virtual"
	v := &Virtual{fabric: f, liar: spec.Liar, leaves: spec.Leaves, rnd: rand.New(rand.NewPCG(spec.Seed1, spec.Seed2)), buf: &bytesReader{}, coarse: max(spec.Coarse, 1)}
	v.reader = wire.NewReader(v.buf)
	n := New(cfg)
	n.world = v
	n.links.read = time.Unix(1<<40, 0) // never again
	n.links.prefixes = spec.Near
	x := spec.Torrent
	t := &Transfer{node: n, spec: Spec{Dir: "virtual"}}
	if spec.Seed {
		t.spec = Spec{Content: "virtual"}
		if spec.Ration > 0 {
			t.spec.Ration = NewRation(x.Length, spec.Ration)
		}
	}
	t.id.Store(&infoHashes{v1: x.V1, v2: x.V2, hasV1: x.HasV1, hasV2: x.HasV2})
	t.known, t.done, t.ended = make(chan struct{}), make(chan struct{}), make(chan struct{})
	if spec.Description == Referred {
		x = nil
	}
	v.s = newSession(t, x)
	v.s.stop = func() {}
	v.s.learned = x != nil
	return v
}

// Start begins the node's life.
func (v *Virtual) Start() error {
	s := v.s
	s.idleSince = s.now()
	v.tickIn(time.Duration(v.rnd.Int64N(int64(tickTime))))
	v.turn()
	return s.failed
}

// prepare does so once the torrent is known.
func (v *Virtual) prepare() {
	s := v.s
	if !s.learned {
		return
	}
	s.learned = false
	if err := s.prepare(context.Background()); err != nil {
		s.fail(err)
		return
	}
	s.dialSome()
}

// Refers says whether somebody who asks the node for the torrent's description is left to its peers.
func (v *Virtual) Refers() bool { return v.s.t.Refers(v.s.torrent, v.s.now()) }

// Turn takes the turn of somebody who is. The function it returns says how long to wait before it is asked again; 0: he may be told.
func (v *Virtual) Turn() (wait func() time.Duration) {
	x := v.s.t.refer(v.s.now())
	return func() time.Duration { return x.wait(v.s.now()) }
}

// Heard tells of peers, as a tracker does.
func (v *Virtual) Heard(peers []netip.AddrPort) {
	for _, a := range peers {
		v.s.book.heard(a, v.s.now())
	}
	v.s.dialSome()
	v.turn()
}

// Neighbour tells of an announcement on the LAN, of a machine that listens at a; told says that it was an answer to our
// own. It says whether the neighbour was not known.
func (v *Virtual) Neighbour(a netip.AddrPort, told bool) (fresh bool) {
	if v.heard == nil {
		v.heard = make(map[netip.AddrPort]bool)
	}
	fresh = !v.heard[a]
	v.heard[a] = true
	v.s.neighbour(a, told, v.s.now())
	v.turn()
	return fresh
}

func (v *Virtual) announced(_ *Transfer, a netip.AddrPort) bool { return v.heard[a] }

func (v *Virtual) tickIn(d time.Duration) {
	v.ticks++
	mine := v.ticks
	v.fabric.After(v, d, func() {
		if mine != v.ticks || v.s.failed != nil {
			return
		}
		v.s.tick(v.s.now())
		v.slow = v.s.quiet()
		if v.slow {
			v.tickIn(quietTime)
		} else {
			v.tickIn(tickTime * time.Duration(v.coarse))
		}
		v.turn()
	})
}

// turn is what the loop does after each thing that happens.
func (v *Virtual) turn() {
	v.prepare()
	if !v.done && v.Done() {
		v.done = true
		v.fabric.Finished(v)
	}
	if v.slow && !v.s.quiet() {
		v.slow = false
		v.tickIn(tickTime)
	}
	if in, soon := v.s.holdSoon(); soon {
		v.fabric.After(v, in*time.Duration(v.coarse), func() {
			v.s.holding = false
			v.s.serve(v.s.now())
			v.turn()
		})
	}
	if in, soon := v.s.collectHaves(); soon {
		v.fabric.After(v, in, func() {
			if due := v.s.haveDue; !due.IsZero() && !v.s.now().Before(due) {
				v.s.flushHaves()
			}
		})
	}
}

// Stats answers what has happened so far.
func (v *Virtual) Stats() Stats { return v.s.t.Stats() }

// Failed is why the node has given up, nil if it has not.
func (v *Virtual) Failed() error { return v.s.failed }

// Done says whether everything is verified and in place.
func (v *Virtual) Done() bool { return v.s.complete() && (v.s.fetch == nil || v.s.placed) }

// Missing counts the pieces that are not here.
func (v *Virtual) Missing() int { return v.s.missing() }

// Has says whether a piece is verified and here.
func (v *Virtual) Has(p int) bool { return p < v.s.have.n && v.s.have.has(p) }

// Exclusive says whether the node leases pieces at the moment.
func (v *Virtual) Exclusive() bool { return v.s.reveal != nil && v.s.reveal.exclusive }

// Bad counts blocks on the disk that are wrong although their piece is counted as here.
func (v *Virtual) Bad() (n int) {
	for leaf := range v.bad {
		if v.s.have.has(int(leaf / (v.s.torrent.PieceLength / piece.BlockSize))) {
			n++
		}
	}
	return n
}

// What a session asks of its world.

func (v *Virtual) now() time.Time { return v.fabric.Now() }

func (v *Virtual) random() *rand.Rand { return v.rnd }

func (v *Virtual) open(_ context.Context, s *session) error {
	d := &virtualDisk{}
	s.store, s.leaves = d, &leafStore{d, v.leaves, nil}
	if s.t.spec.Content == "" {
		s.fetch = d
		s.wantFiles()
	}
	return nil
}

func (v *Virtual) beside(s *session, work func() (then func())) {
	if then := work(); then != nil {
		v.fabric.After(v, 0, func() {
			then()
			v.turn()
		})
	}
}

func (v *Virtual) hash(s *session, p int, which hashes) (checkResult, bool) {
	r := checkResult{ok: true}
	first, n := s.torrent.FirstLeaf(p), s.torrent.LeafCount(p)
	if which != onlySHA1 && s.torrent.HasV2 {
		r.leaves, _ = s.leaves.get(first, n)
	}
	for i := range n {
		if v.bad[first+int64(i)] {
			r.ok = false
			if r.leaves != nil {
				r.leaves[i] = piece.Hash32{}
			}
		}
	}
	return r, true
}

func (v *Virtual) hashV1(s *session, pieces []int) (all []checkResult, ok bool) {
	for _, p := range pieces {
		r, _ := v.hash(s, p, onlySHA1)
		all = append(all, r)
	}
	return all, true
}

func (v *Virtual) sums() int { return 1 }

func (v *Virtual) dial(s *session, addr string, e *entry) {
	v.fabric.Dial(v, netip.MustParseAddrPort(addr), func(vc *VirtualConn, err error) {
		if err != nil {
			s.dialled(addr, e, nil, err)
			return
		}
		s.dialled(addr, e, vc.c, nil)
		vc.entry = e
	})
}

// ingest is session.ingest without content.
func (v *Virtual) ingest(op *openPiece, begin, n int64, bad bool) (r outcome) {
	leaves := op.leaves.Load()
	first := int(begin / piece.BlockSize)
	r.unproven = leaves == nil
	for i, at := first, int64(0); at < n; i, at = i+1, at+piece.BlockSize {
		if op.state[i].Load() != blockFree { // here already
			continue
		}
		if leaves != nil && bad {
			r.bad |= 1 << (i - first)
			continue
		}
		mark := blockWritten
		if leaves != nil {
			mark = blockVerified
		}
		op.state[i].Store(mark)
		r.claimed |= 1 << (i - first)
		r.fresh += min(piece.BlockSize, n-at)
		leaf := op.offset/piece.BlockSize + int64(i)
		if bad {
			if v.bad == nil {
				v.bad = make(map[int64]bool)
			}
			v.bad[leaf] = true
		} else if v.bad != nil {
			delete(v.bad, leaf)
		}
	}
	return r
}

// virtualDisk is a disk that everything fits on and nothing is read from.
type virtualDisk struct{}

func (*virtualDisk) ReadAt([]byte, int64) error     { return errors.New("nothing is written to this disk") }
func (*virtualDisk) WriteAt([]byte, int64) error    { return nil }
func (*virtualDisk) Close() error                   { return nil }
func (*virtualDisk) record(int, byte) (bool, error) { return false, nil }
func (*virtualDisk) sync() error                    { return nil }
func (*virtualDisk) distrust()                      {}
func (*virtualDisk) place(func(int) bool) error     { return nil }
func (*virtualDisk) clean() error                   { return nil }
func (*virtualDisk) inPlace(int) bool               { return true }
