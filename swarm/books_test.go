package swarm

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/piece"
	"shoal/swarm/wire"
)

// bench is a fetching session without its loop: the test is the loop, and plays the peers as well.
type bench struct {
	*session
	want []byte
}

func newBench(tor *piece.Torrent, want []byte) *bench {
	n := New(Config{})
	tr := &Transfer{node: n, spec: Spec{Torrent: tor, Dir: "nowhere"}}
	tr.id.Store(&infoHashes{v1: tor.V1, v2: tor.V2, hasV1: tor.HasV1, hasV2: tor.HasV2})
	tr.known, tr.done, tr.ended = make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := newSession(tr, tor)
	pieces := tor.NumPieces()
	s.store = memory(make([]byte, len(want)))
	s.wanted, s.have, s.v1ok = newBitset(pieces), newBitset(pieces), newBitset(pieces)
	s.pick = newPicker(pieces, s.rnd, false)
	for p := range pieces {
		s.wanted.add(p)
		s.pick.want(p)
	}
	return &bench{s, want}
}

// A window comes down to what its source answers in time with one answer that was late, and not below two blocks; it grows by each answer that was not.
func TestWindowFollowsTheDelay(t *testing.T) {
	tor, _, want := makeContent(t, 8*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	c := b.peer(1)
	c.way = time.Millisecond
	answer := func(p int, window int64, late time.Duration) int64 {
		op := b.begin(p)
		c.window = window
		b.send(c, op, 0, 4)
		q := c.order[len(c.order)-1]
		q.at = q.at.Add(-late)
		b.arrived(c, q, b.ingest(op, 0, want[p*64<<10:][:q.length]))
		return c.window
	}
	if got := answer(0, 512<<10, 6*time.Second); got < 50<<10 || got > 52<<10 {
		t.Errorf("512 KiB that take 6 s become %d bytes, want what takes 0.6 s", got)
	}
	if got := answer(1, 512<<10, 700*time.Millisecond); got > 448<<10 || got < 420<<10 {
		t.Errorf("512 KiB that take 0.7 s become %d bytes, want a block less", got)
	}
	if got := answer(2, 40<<10, time.Minute); got != 2*piece.BlockSize {
		t.Errorf("the least window is %d bytes, want two blocks", got)
	}
	if got := answer(3, 64<<10, 0); got != 128<<10 {
		t.Errorf("64 KiB that come at once become %d bytes, want a request more", got)
	}
}

// owns has the session have a piece that both kinds of peers may be told of.
func (b *bench) owns(p int) {
	b.have.add(p)
	b.v1ok.add(p)
}

// memory is content that lies in memory, of one file.
type memory []byte

func (m memory) ReadAt(b []byte, off int64) error  { clear(b[copy(b, m[off:]):]); return nil }
func (m memory) WriteAt(b []byte, off int64) error { copy(m[off:], b); return nil }
func (m memory) Close() error                      { return nil }

func (b *bench) stop() {
	close(b.ended)
	b.wg.Wait()
}

// pump runs what has been put into the loop's queue, and waits for pieces that are being hashed.
func (b *bench) pump() {
	for {
		hashing := b.checksV1 > 0
		for _, op := range b.open {
			hashing = hashing || op.checking
		}
		if hashing {
			(<-b.inbox)()
			continue
		}
		select {
		case f := <-b.inbox:
			f()
		default:
			return
		}
	}
}

// peer adds a connection that nobody reads or writes.
func (b *bench) peer(id byte) *conn {
	here, there := net.Pipe()
	there.Close()
	c := newConn(b.session, here, wire.Handshake{Fast: true, PeerID: [20]byte{id}}, false)
	if err := b.join(c); err != nil {
		panic(err)
	}
	b.wg.Done() // join counts runConn, which does not run here
	return c
}

// deliver plays the reader of q's connection: the block comes, right or wrong.
func (b *bench) deliver(q *request, right bool) {
	if b.take(q) == nil {
		return
	}
	data := make([]byte, q.length)
	if right {
		copy(data, b.want[q.op.offset+q.begin:])
	}
	b.arrived(q.of, q, b.ingest(q.op, q.begin, data))
}

// take plays the reader's part of taking the request that a block answers.
func (b *bench) take(q *request) *request {
	return q.of.findRequest(uint32(q.op.index), uint32(q.begin), uint32(q.length), true)
}

// audit compares all books with each other.
func (b *bench) audit(t *rapid.T) {
	t.Helper()
	var outstanding int64
	for _, c := range b.conns {
		live, bytes := 0, int64(0)
		for _, q := range c.order {
			if !q.done {
				live++
				bytes += q.length
			}
		}
		if live != c.asked || bytes != c.outstanding {
			t.Fatalf("conn has %d requests of %d bytes, its books say %d of %d", live, bytes, c.asked, c.outstanding)
		}
		outstanding += bytes
		useful, fresh := 0, 0
		for p := range c.have.n {
			if c.have.has(p) && b.lacks(p) {
				useful++
			}
			if c.have.has(p) && b.pick.waits(p) {
				fresh++
			}
		}
		if useful != c.useful || fresh != c.fresh {
			t.Fatalf("conn has %d useful pieces and %d to begin, its books say %d and %d", useful, fresh, c.useful, c.fresh)
		}
	}
	if outstanding != b.outstanding[away]+b.outstanding[near] {
		t.Fatalf("%d bytes are outstanding, the session's books say %d", outstanding, b.outstanding)
	}
	for p, op := range b.open {
		asked := make([]uint8, op.blocks())
		for _, q := range op.asks {
			if q.done || q.op != op {
				t.Fatalf("piece %d lists a request that is answered or another's", p)
			}
			first, end := q.blocks()
			for i := first; i < end; i++ {
				asked[i]++
			}
		}
		free, here := 0, 0
		for i := range asked {
			if asked[i] != op.asked[i] || asked[i] > 2 {
				t.Fatalf("block %d of piece %d is asked of %d, its books say %d; two is the most", i, p, asked[i], op.asked[i])
			}
			if op.got[i] {
				here++
			} else if asked[i] == 0 {
				free++
			}
		}
		spare := slices.Contains(b.spare, op)
		if free != op.free || here != op.here || spare != (free > 0) || op.closed {
			t.Fatalf("piece %d: %d free, %d here, its books say %d and %d, spare %v, closed %v", p, free, here, op.free, op.here, spare, op.closed)
		}
		if b.pick.waits(p) || b.have.has(p) {
			t.Fatalf("piece %d is open and yet to begin, or here", p)
		}
	}
	for _, op := range b.spare {
		if b.open[op.index] != op {
			t.Fatalf("piece %d is spare and not open", op.index)
		}
	}
}

// Whatever peers do, each request is answered exactly once, no block is asked of more than two,
// and a good peer at the end completes the transfer.
func TestBooksBalance(t *testing.T) {
	for _, f := range []piece.Format{piece.Hybrid, piece.V1} {
		const length = 40*64<<10 + 777
		tor, _, want := makeContent(t, length, piece.BuildConfig{Format: f, PieceLength: 64 << 10})
		t.Run(f.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { checkBooks(t, tor, want) })
		})
	}
}

func checkBooks(t *rapid.T, tor *piece.Torrent, want []byte) {
	b := newBench(tor, want)
	defer b.stop()
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	var conns []*conn
	ids := byte(0)
	some := func() *conn {
		for _, i := range rnd.Perm(len(conns)) {
			if !conns[i].gone {
				return conns[i]
			}
		}
		return nil
	}
	draw := func(c *conn) *request {
		var l []*request
		for _, q := range c.order {
			if !q.done {
				l = append(l, q)
			}
		}
		if len(l) == 0 {
			return nil
		}
		return l[rnd.IntN(len(l))]
	}
	now := time.Now()
	liars := map[*conn]bool{}
	var halfway []*request // taken by a reader, and not reported yet
	for range rapid.IntRange(0, 300).Draw(t, "steps") {
		c := some()
		step := rnd.IntN(14)
		if c == nil {
			step = 0
		}
		switch step {
		case 0, 1:
			if len(b.conns) < 6 {
				ids++
				c := b.peer(ids)
				conns = append(conns, c)
				liars[c] = rnd.IntN(3) == 0
				if rnd.IntN(2) == 0 {
					b.handle(c, &wire.Message{Type: wire.HaveAll})
				}
				b.handle(c, &wire.Message{Type: wire.Unchoke})
			}
		case 2:
			b.handle(c, &wire.Message{Type: wire.Have, Index: uint32(rnd.IntN(tor.NumPieces()))})
		case 3:
			b.handle(c, &wire.Message{Type: wire.Choke})
			if rnd.IntN(2) == 0 {
				b.handle(c, &wire.Message{Type: wire.Unchoke})
			}
		case 4:
			if q := draw(c); q != nil {
				b.handle(c, &wire.Message{Type: wire.Reject, Index: uint32(q.op.index), Begin: uint32(q.begin), Length: uint32(q.length)})
			}
		case 5: // a reader is at a block while its connection ends, or another delivers
			if q := draw(c); q != nil && b.take(q) != nil {
				halfway = append(halfway, q)
			}
		case 6:
			for _, q := range halfway {
				b.arrived(q.of, q, b.ingest(q.op, q.begin, want[q.op.offset+q.begin:][:q.length]))
			}
			halfway = nil
		case 7:
			b.end(c, io.EOF)
		case 8:
			now = now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			b.snub(now)
			b.loosen(now)
			b.steal(now)
		case 9:
			for _, c := range b.conns {
				c.window = int64(1+rnd.IntN(32)) * piece.BlockSize
			}
		default:
			for range 1 + rnd.IntN(8) {
				if q := draw(c); q != nil {
					b.deliver(q, !liars[c])
				}
			}
		}
		b.pump()
		b.audit(t)
	}
	for _, c := range conns {
		if !c.gone {
			b.end(c, io.EOF)
		}
	}
	for _, q := range halfway {
		b.arrived(q.of, q, b.ingest(q.op, q.begin, want[q.op.offset+q.begin:][:q.length]))
	}
	b.pump()
	b.audit(t)
	for _, c := range conns {
		if c.asked != 0 || c.outstanding != 0 {
			t.Fatalf("a connection that is gone was asked for %d, %d bytes", c.asked, c.outstanding)
		}
	}
	for p, op := range b.open {
		if len(op.asks) > 0 || op.here == 0 {
			t.Fatalf("piece %d is open with %d blocks here and %d requests, though nobody is left", p, op.here, len(op.asks))
		}
	}
	good := b.peer(255)
	b.handle(good, &wire.Message{Type: wire.HaveAll})
	b.handle(good, &wire.Message{Type: wire.Unchoke})
	for i := 0; !b.complete(); i++ {
		for _, q := range append([]*request(nil), good.order...) {
			b.deliver(q, true)
		}
		b.pump()
		b.loosen(now.Add(time.Hour))
		b.fillAll()
		if b.failed != nil || i > 1000 {
			t.Fatalf("a good peer did not help: failed %v, %d open, %d to begin", b.failed, len(b.open), b.pick.left())
		}
	}
	b.pump()
	b.audit(t)
	got := make([]byte, len(want))
	if err := b.store.ReadAt(got, 0); err != nil || string(got) != string(want) {
		t.Fatalf("content differs, %v", err)
	}
}
