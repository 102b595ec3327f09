package swarm

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
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
	ticks  int // the ticks that were ordered last; those before are void
	coarse int // VirtualSpec.Coarse, 1 at least
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
	// Coarse has its writers paced, and its lines looked at when they are full, in steps that are so many times
	// longer, so that less happens in a large simulation; 0: as in production.
	Coarse int
	// Seed1 and Seed2 are all the chance there is.
	Seed1, Seed2 uint64
}

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
	t := &Transfer{node: n, spec: Spec{Torrent: x, Dir: "virtual"}}
	if spec.Seed {
		t.spec = Spec{Torrent: x, Content: "virtual"}
		if spec.Ration > 0 {
			t.spec.Ration = NewRation(x.Length, spec.Ration)
		}
	}
	t.id.Store(&infoHashes{v1: x.V1, v2: x.V2, hasV1: x.HasV1, hasV2: x.HasV2})
	t.known, t.done, t.ended = make(chan struct{}), make(chan struct{}), make(chan struct{})
	v.s = newSession(t, x)
	v.s.stop = func() {}
	return v
}

// Start begins the node's life.
func (v *Virtual) Start() error {
	s := v.s
	s.idleSince = s.now()
	if err := s.prepare(context.Background()); err != nil {
		return err
	}
	s.dialSome()
	v.tickIn(time.Duration(v.rnd.Int64N(int64(tickTime))))
	v.turn()
	return nil
}

// Heard tells of peers, as a tracker does.
func (v *Virtual) Heard(peers []netip.AddrPort) {
	for _, a := range peers {
		v.s.book.heard(a, v.s.now())
	}
	v.s.dialSome()
	v.turn()
}

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
			v.tickIn(tickTime)
		}
		v.turn()
	})
}

// turn is what the loop does after each thing that happens.
func (v *Virtual) turn() {
	if !v.done && v.Done() {
		v.done = true
		v.fabric.Finished(v)
	}
	if v.slow && !v.s.quiet() {
		v.slow = false
		v.tickIn(tickTime)
	}
	if v.s.holdSoon() {
		v.fabric.After(v, holdTime*time.Duration(v.coarse), func() {
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

func (v *Virtual) dial(s *session, addr, pin string, e *entry) {
	v.fabric.Dial(v, netip.MustParseAddrPort(addr), func(vc *VirtualConn, err error) {
		if err != nil {
			s.dialled(addr, e, nil, err)
			return
		}
		s.dialled(addr, e, vc.c, nil)
		vc.c.pin, vc.entry = pin, e
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

// virtualLane is a governor's goroutine, and the pace of a lane.
type virtualLane struct {
	conns   []*VirtualConn // those that write
	free    time.Time      // when the next byte may pass
	looks   bool
	waiting []*VirtualConn // writers that wait for that, in turn
	timed   bool           // a timer runs for the first of them
}

// await has a connection's writer wait for its turn: slice by slice, as [Pace] has them.
func (v *Virtual) await(l *virtualLane, vc *VirtualConn) {
	vc.waits = true
	l.waiting = append(l.waiting, vc)
	v.wake(l, l.free.Sub(v.now()))
}

// wake has the writers of a lane go on one after the other, from when the next byte may pass.
func (v *Virtual) wake(l *virtualLane, in time.Duration) {
	if l.timed || len(l.waiting) == 0 {
		return
	}
	l.timed = true
	v.fabric.After(v, in, func() {
		l.timed = false
		if wait := l.free.Sub(v.now()); wait > 0 {
			v.wake(l, wait)
			return
		}
		vc := l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		vc.waits, vc.turn = false, true
		v.fabric.Poke(vc)
		v.wake(l, 0)
	})
}

// paces says whether a connection's writer may write n bytes now, and counts them if so.
func (vc *VirtualConn) paces(l *virtualLane, n int64) bool {
	rate, now := vc.c.upRate(), vc.v.now()
	if rate == 0 {
		return true
	}
	if slack := vc.c.governor().pace.slack; l.free.Before(now.Add(-slack)) {
		l.free = now.Add(-slack)
	}
	if l.free.After(now) {
		return false
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return true
}

// writes takes note that a connection writes content.
func (vc *VirtualConn) writes() {
	i := vc.c.lane.Load()
	l := &vc.v.lanes[i]
	vc.used = vc.v.now()
	if !vc.gauged {
		vc.gauged = true
		l.conns = append(l.conns, vc)
		vc.bound()
	}
	if !l.looks {
		l.looks = true
		vc.v.fabric.After(vc.v, gaugeTime, func() { vc.v.govern(i) })
	}
}

// bound sets how much may lie unsent.
func (vc *VirtualConn) bound() {
	n := notSent
	if vc.c.governor().pace.Rate() > 0 {
		n = notSentPaced
	}
	vc.v.fabric.Unsent(vc, n)
}

// govern is governor.look.
func (v *Virtual) govern(i lane) {
	l, g := &v.lanes[i], v.s.t.node.governors[i]
	var s sight
	keep := l.conns[:0]
	for _, vc := range l.conns {
		if vc.over || v.now().Sub(vc.used) > restTime {
			vc.gauged, vc.known = false, false
			continue
		}
		keep = append(keep, vc)
		var m gauge
		m.acked, m.queued, m.rtt, m.least = v.fabric.Gauge(vc)
		if vc.known && m.acked > vc.acked {
			s.add(m, int64(m.acked-vc.acked), v.s.steady.Load())
		}
		vc.acked, vc.known = m.acked, true
	}
	clear(l.conns[len(keep):])
	l.conns = keep
	before := g.pace.Rate()
	g.pace.Set(g.link.look(v.now(), s))
	if (before > 0) != (g.pace.Rate() > 0) {
		for _, vc := range l.conns {
			vc.bound()
		}
	}
	if l.looks = len(l.conns) > 0; l.looks {
		v.fabric.After(v, gaugeTime, func() { v.govern(i) })
	}
}

// VirtualConn is one end of a connection.
type VirtualConn struct {
	// Far is the other end, Link is the fabric's own.
	Far  *VirtualConn
	Link any

	v       *Virtual
	c       *conn
	entry   *entry // what was dialled
	far     net.TCPAddr
	rtt     time.Duration
	over    bool
	begun   int64 // bytes of blocks[0] that are written
	waits   bool  // the writer waits for its time
	turn    bool  // it has waited
	gauged  bool  // among those that write
	known   bool  // acked is
	acked   uint64
	used    time.Time
	control []byte      // taken from the outbox and not pulled
	blocks  []upRequest // the same
	gather  []upRequest // the blocks that the writer is at
}

// NewConn makes one end of a connection to a node, whose handshake has just come.
func (v *Virtual) NewConn(far *Virtual, addr netip.AddrPort, rtt time.Duration, inbound bool) *VirtualConn {
	vc := &VirtualConn{v: v, rtt: rtt, far: *net.TCPAddrFromAddrPort(addr)}
	h := far.s.t.handshake(far.s.t.node.cfg.PeerID)
	vc.c = newConn(v.s, (*virtualSocket)(vc), h, inbound)
	vc.c.out.wake = func() { v.fabric.Poke(vc) }
	return vc
}

// Node is whose end it is.
func (vc *VirtualConn) Node() *Virtual { return vc.v }

// Join takes the connection in; an error says that the node will not have it, and closes it.
func (vc *VirtualConn) Join() error {
	s := vc.v.s
	err := s.join(vc.c)
	if err == nil {
		s.wg.Done() // there are no goroutines to wait for
	} else {
		vc.c.why = err
		vc.c.close()
	}
	vc.v.turn()
	return err
}

// FarClosed says that the other end has closed the connection.
func (vc *VirtualConn) FarClosed() { vc.end(io.EOF) }

// end is what happens when a connection's reader ends.
func (vc *VirtualConn) end(err error) {
	if vc.over {
		return
	}
	vc.over = true
	c, s := vc.c, vc.v.s
	c.close()
	if c.why == nil {
		c.why = err
	}
	s.leave(c)
	if vc.entry != nil {
		s.hungUp(vc.entry, c.why)
	}
	vc.v.turn()
}

// VirtualMessage is something that was pulled from one end and is to be delivered to the other.
type VirtualMessage struct {
	Bytes   int // in the stream
	control []byte
	block   upRequest
	bad     bool
}

// Control says whether it is no content.
func (m *VirtualMessage) Control() bool { return m.control != nil }

// Pull is the connection's writer: it answers what to write next, control messages or one block.
func (vc *VirtualConn) Pull() (m VirtualMessage, ok bool) {
	if len(vc.control) == 0 && len(vc.blocks) == 0 {
		if len(vc.gather) > 0 {
			var n int64
			for _, r := range vc.gather {
				n += int64(r.length)
			}
			gather := vc.gather
			vc.gather = nil
			vc.v.s.wrote(vc.c, gather, n)
			vc.v.turn()
		}
		if vc.c.gone {
			return m, false
		}
		gather := int64(maxGather)
		if vc.c.upRate() > 0 {
			gather = 1
		}
		vc.control, vc.blocks = vc.c.out.take(gather)
		for len(vc.control) < maxGather/4 {
			f := vc.c.out.nextLazy()
			if f == nil {
				break
			}
			vc.control = f(vc.control)
		}
		vc.gather = vc.blocks
	}
	switch {
	case len(vc.control) > 0:
		m.control = append([]byte(nil), vc.control...)
		m.Bytes = len(m.control)
		vc.control = nil
	case len(vc.blocks) > 0:
		if vc.waits {
			return m, false
		}
		n := int64(vc.blocks[0].length) - vc.begun // written in slices, where writes are paced
		n = min(n, int64(vc.v.coarse)*vc.c.governor().pace.slice(vc.c.up().slice(n)))
		if l := &vc.v.lanes[vc.c.lane.Load()]; !vc.turn && len(l.waiting) > 0 || !vc.paces(l, n) {
			vc.v.await(l, vc)
			return m, false
		}
		vc.turn = false
		vc.writes()
		m.Bytes = int(n)
		if vc.begun == 0 {
			m.Bytes += 13
		}
		if vc.begun += n; vc.begun == int64(vc.blocks[0].length) {
			m.block, m.bad = vc.blocks[0], vc.v.liar
			vc.blocks, vc.begun = vc.blocks[1:], 0
		}
	default:
		return m, false
	}
	return m, true
}

// Deliver is the connection's reader: what the other end has sent is here.
func (vc *VirtualConn) Deliver(m VirtualMessage) {
	s, c := vc.v.s, vc.c
	if c.gone || s.failed != nil {
		return
	}
	if m.control == nil {
		if m.block.length > 0 { // else it was a part
			vc.deliverBlock(m)
		}
	} else if err := vc.deliverControl(m.control); err != nil && !c.gone {
		s.end(c, err)
	}
	vc.v.turn()
}

func (vc *VirtualConn) deliverBlock(m VirtualMessage) {
	s, c, b := vc.v.s, vc.c, m.block
	q := c.findRequest(b.piece, b.begin, b.length, true)
	if q == nil {
		s.unasked(c, int64(b.length))
		return
	}
	s.arrived(c, q, vc.v.ingest(q.op, q.begin, q.length, m.bad))
}

func (vc *VirtualConn) deliverControl(b []byte) error {
	s, c := vc.v.s, vc.c
	vc.v.buf.b = b
	var m wire.Message
	for len(vc.v.buf.b) > 0 || vc.v.reader.Buffered() > 0 {
		if err := vc.v.reader.Next(&m); err != nil {
			vc.v.reader = wire.NewReader(vc.v.buf)
			return err
		}
		c.lastIn = s.now()
		if err := s.handle(c, &m); err != nil || c.gone {
			vc.v.buf.b = nil
			vc.v.reader = wire.NewReader(vc.v.buf)
			return err
		}
	}
	return nil
}

// virtualSocket is a VirtualConn as the session sees it.
type virtualSocket VirtualConn

func (x *virtualSocket) Close() error {
	vc := (*VirtualConn)(x)
	vc.v.fabric.Close(vc)
	vc.v.fabric.After(vc.v, 0, func() { vc.end(errClosed) })
	return nil
}

func (x *virtualSocket) gauge() (m gauge) {
	vc := (*VirtualConn)(x)
	m.acked, m.queued, m.rtt, m.least = vc.v.fabric.Gauge(vc)
	return m
}

func (x *virtualSocket) RTT() time.Duration               { return x.rtt }
func (x *virtualSocket) RemoteAddr() net.Addr             { return &x.far }
func (x *virtualSocket) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (x *virtualSocket) Read([]byte) (int, error)         { return 0, errClosed }
func (x *virtualSocket) Write([]byte) (int, error)        { return 0, errClosed }
func (x *virtualSocket) SetDeadline(time.Time) error      { return nil }
func (x *virtualSocket) SetReadDeadline(time.Time) error  { return nil }
func (x *virtualSocket) SetWriteDeadline(time.Time) error { return nil }

// bytesReader hands out a slice.
type bytesReader struct{ b []byte }

func (r *bytesReader) Read(b []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.b)
	r.b = r.b[n:]
	return n, nil
}
