package swarm

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/piece"
	"shoal/swarm/wire"
)

// crowdBench is a machine of a crowd, that has as many peers as asked for, of Shoal, and pieces of 64 KiB.
func crowdBench(t *testing.T, pieces, peers int) (*bench, []*conn) {
	t.Helper()
	tor, _, want := makeContent(t, pieces*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	t.Cleanup(b.stop)
	return b, b.crowd(peers)
}

// crowd connects so many peers of our kind.
func (b *bench) crowd(peers int) (cs []*conn) {
	for i := range peers {
		c := b.peer(byte(1 + i))
		c.shoal, c.theirShoal, c.choking, c.choked = true, 2, false, false
		cs = append(cs, c)
	}
	return cs
}

// Who is asked for nothing in a crowd says so to some of those who lack what it has, and to none of them again at once.
func TestTheIdleOfACrowdSaySo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		peers int
		set   func(b *bench, cs []*conn)
		want  int
	}{
		{"a crowd", manySources + 1, func(*bench, []*conn) {}, offers},
		{"few", manySources, func(*bench, []*conn) {}, 0},
		{"one asks", manySources + 1, func(b *bench, cs []*conn) { b.asks(cs[0], 1) }, 0},
		{"nobody lacks what is here", manySources + 1, func(_ *bench, cs []*conn) {
			for _, c := range cs {
				c.wants = false
			}
		}, 0},
		{"who wanted something has it by now", manySources + 1, func(b *bench, cs []*conn) {
			for _, c := range cs {
				c.have.add(0)
			}
		}, 0},
		{"an origin that leases", manySources + 1, func(b *bench, _ []*conn) { b.reveal = newRevealer(2, b.rnd) }, 0},
	} {
		b, cs := crowdBench(t, 2, tt.peers)
		b.have.add(0)
		for _, c := range cs {
			c.wants = true
			c.out.take(0)
		}
		tt.set(b, cs)
		told := func() (n int) {
			for _, c := range cs {
				if control, _ := c.out.take(0); len(control) > 0 {
					n++
					if l, ok := wire.ParseLoad(control[6:]); !ok || l.Queued != 0 {
						t.Errorf("%s: told %x, want that nothing waits", tt.name, control)
					}
				}
			}
			return n
		}
		now := b.now()
		b.offer(now)
		if n := told(); n != tt.want {
			t.Errorf("%s: %d were told, want %d", tt.name, n, tt.want)
		}
		b.offer(now)
		if n := told(); n > 0 {
			t.Errorf("%s: %d more were told at once", tt.name, n)
		}
		for range tt.peers {
			b.offeredAt = time.Time{}
			b.offer(now)
		}
		if n := told(); tt.want > 0 && n != tt.peers-tt.want {
			t.Errorf("%s: then %d were told, want the %d others, each once", tt.name, n, tt.peers-tt.want)
		}
		b.offer(now.Add(offerTime))
		if n := told(); n != tt.want {
			t.Errorf("%s: a moment later %d were told, want %d", tt.name, n, tt.want)
		}
	}
}

// Who hears that one has nothing to do has it bring the piece that has waited longest elsewhere, if nothing of it is here.
func TestWhatIsOfferedIsTaken(t *testing.T) {
	b, cs := crowdBench(t, 3, manySources+1)
	slow, idle := cs[0], cs[1]
	for _, c := range cs {
		c.choked = c != slow
	}
	if err := b.handle(idle, &wire.Message{Type: wire.HaveAll}); err != nil {
		t.Fatal(err)
	}
	for p := range 3 {
		op := b.begin(p)
		for block := range 4 {
			b.send(slow, op, block, block+1)
		}
	}
	b.deliver(slow.order[0], true) // of piece 0 some is here
	idle.choked = false
	brings := func() (l []int) {
		for _, q := range idle.order {
			if !q.done && !slices.Contains(l, q.op.index) {
				l = append(l, q.op.index)
			}
		}
		return l
	}
	say := func(queued uint32) {
		t.Helper()
		idle.offeredAt = time.Time{}
		if err := b.shoalMessage(idle, wire.AppendLoad(nil, wire.IDShoal, wire.Load{Queued: queued})[6:]); err != nil {
			t.Fatal(err)
		}
	}
	say(0)
	if got := brings(); len(got) > 0 {
		t.Errorf("pieces %v are taken over that have just been asked for", got)
	}
	for _, q := range slow.order {
		q.at = q.at.Add(-2 * offerTime)
	}
	say(1 << 20)
	if got := brings(); len(got) > 0 {
		t.Errorf("pieces %v are taken over by one who has something to do", got)
	}
	say(0)
	if got := brings(); !slices.Equal(got, []int{1}) || idle.outstanding != 64<<10 {
		t.Errorf("%d bytes of pieces %v are taken over, want all of piece 1", idle.outstanding, got)
	}
	say(0)
	if got := brings(); !slices.Equal(got, []int{1}) {
		t.Errorf("pieces %v are asked of one who has just been asked for piece 1", got)
	}
}

// Who offers to bring a piece and turns it down, or says nothing, is not believed again at once.
func TestEmptyOffersAreNotTaken(t *testing.T) {
	for _, name := range []string{"turned down", "nothing comes"} {
		b, cs := crowdBench(t, 2, manySources+1)
		slow, idle := cs[0], cs[1]
		for _, c := range cs {
			c.choked = c != slow
		}
		if err := b.handle(idle, &wire.Message{Type: wire.HaveAll}); err != nil {
			t.Fatal(err)
		}
		for p := range 2 {
			b.send(slow, b.begin(p), 0, 4)
		}
		for _, q := range slow.order {
			q.at = q.at.Add(-2 * offerTime)
		}
		idle.choked = false
		now := b.now()
		b.offered(idle, now)
		q := idle.oldest()
		if q == nil {
			t.Fatalf("%s: an offer was not taken", name)
		}
		if name == "turned down" {
			if err := b.handle(idle, &wire.Message{Type: wire.Reject, Index: uint32(q.op.index), Begin: uint32(q.begin), Length: uint32(q.length)}); err != nil {
				t.Fatal(err)
			}
		} else {
			idle.askedAt, idle.choked = now.Add(-snubTime), true
			b.steal(now)
			idle.choked = false
			b.releaseAll(idle)
		}
		clear(idle.refused)
		b.offered(idle, now.Add(offerTime))
		if idle.asked > 0 {
			t.Errorf("%s: the next offer was taken", name)
		}
		for _, q := range slow.order {
			q.at = q.at.Add(-emptyOffer)
		}
		b.releaseAll(idle)
		if b.offered(idle, now.Add(emptyOffer+offerTime)); idle.asked == 0 {
			t.Errorf("%s: no offer was taken again later", name)
		}
	}
}

// A piece's turn ends by time, whatever one who is slow still has on the way, and who asks for a piece again begins anew.
func TestATurnEnds(t *testing.T) {
	b, cs := crowdBench(t, 2, manySources+1)
	now := b.now()
	c, l := cs[0], cs[0].line()
	for rate, turn := range map[float64]time.Duration{0: pieceTurn, 1e6: 65536 * time.Microsecond} {
		l.rate, l.flat, l.begun, l.onWay = rate, startFlat, now, 128<<10
		l.again = now.Add(time.Hour) // what is on the way is not looked at anew
		if b.mayBegin(l, now.Add(turn-time.Millisecond)) || !b.mayBegin(l, now.Add(turn)) {
			t.Errorf("on a line of %v B/s a turn does not end after %v", rate, turn)
		}
	}
	c.lastPiece, c.given = 1, 48<<10
	r := upRequest{piece: 1, begin: 48 << 10, length: 16 << 10}
	if !c.goesOn(r) {
		t.Error("the rest of a piece is not what goes on")
	}
	if c.given = 2 * 64 << 10; c.goesOn(r) {
		t.Error("who was given a piece twice goes on with it")
	}
}

// In a crowd pieces go out one after the other, on a line that is not slow.
func TestPiecesOfACrowdGoOutInTurn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		peers int
		rate  float64
		want  []int64 // what was handed to the writers, the most first
	}{
		{"not known", manySources + 1, 0, []int64{64 << 10}},
		{"fast", manySources + 1, 2e6, []int64{64 << 10, 64 << 10}}, // 130 KB may be there when another is begun, and 200 in all
		{"slow", manySources + 1, 0.5e6, []int64{16 << 10, 16 << 10, 16 << 10, 16 << 10}},
		{"few", slots + 1, 0, []int64{64 << 10, 64 << 10, 64 << 10, 64 << 10}},
	} {
		b, cs := crowdBench(t, 2, tt.peers)
		now := b.now()
		for p := range 2 {
			b.owns(p)
			b.pick.avail[p] = 1
		}
		l := cs[0].line()
		l.rate, l.flat = tt.rate, startFlat
		for i, c := range cs {
			c.queuedAt, c.lastSent = now, now
			for begin := range uint32(4) {
				c.queue = append(c.queue, upRequest{begin: begin * 16 << 10, length: 16 << 10, at: int64(4*i) + int64(begin)})
			}
			b.asks(c, 64<<10)
		}
		b.serve(now)
		var got []int64
		for _, c := range cs {
			if c.inflight > 0 {
				got = append(got, c.inflight)
			}
		}
		slices.Sort(got)
		slices.Reverse(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: handed out are %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Who was lent a piece by an origin counts it as nobody else's in a crowd: it tells of it at once, and gives it before others.
func TestWhatIsLentGoesFirst(t *testing.T) {
	b, cs := crowdBench(t, 2, manySources+1)
	origin, c := cs[0], cs[1]
	origin.role = RoleOrigin
	for _, m := range []struct {
		c *conn
		p uint32
	}{{origin, 1}, {cs[2], 0}, {cs[3], 0}, {cs[4], 0}} {
		if err := b.handle(m.c, &wire.Message{Type: wire.Have, Index: m.p}); err != nil {
			t.Fatal(err)
		}
	}
	for p := range 2 {
		b.owns(p)
	}
	now := b.now()
	c.queuedAt, c.lastSent = now, now
	c.queue = []upRequest{{piece: 0, length: 16 << 10, at: 1}, {piece: 1, length: 16 << 10, at: 2}}
	if i, r := b.nextOf(c, now); i != 1 || r.held != 0 {
		t.Errorf("request %d goes first, of a piece that %d others have; want the piece that was lent", i, r.held)
	}
	b.asks(c, 32<<10)
	for p, want := range map[int]time.Duration{1: leastHaveDelay, 0: time.Duration(len(b.conns)) * havePeerTime} {
		b.fresh = []int{p}
		if got := b.haveDelay(); got != want {
			t.Errorf("piece %d is told of after %v, want %v", p, got, want)
		}
	}
	if err := b.handle(cs[5], &wire.Message{Type: wire.Have, Index: 1}); err != nil {
		t.Fatal(err)
	}
	if n := b.others(1); n != 1 {
		t.Errorf("%d others have the piece that was lent, want the one that told of it", n)
	}
}

// Of who is passed over because a piece was given in one go and nothing of it waits, nothing of it waits, whatever was asked for and taken back.
func TestWhoIsThroughWaitsForNothingOfThePiece(t *testing.T) {
	tor, _, want := makeContent(t, 3*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(tor, want)
		defer b.stop()
		for p := range 3 {
			b.owns(p)
		}
		cs := b.crowd(manySources + 1)
		for _, c := range cs {
			c.fast = true
		}
		l := cs[0].line()
		l.rate, l.flat = 2e6, startFlat
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			c := cs[rapid.IntRange(0, 2).Draw(t, "peer")]
			m := &wire.Message{Type: wire.Request, Index: uint32(rapid.IntRange(0, 2).Draw(t, "piece")), Begin: uint32(rapid.IntRange(0, 3).Draw(t, "block")) << 14, Length: 16 << 10}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
			case 2:
				m.Type = wire.Cancel
			case 3: // the writer and the line are done with what they were given
				if _, blocks := c.out.take(1 << 30); len(blocks) > 0 {
					b.wrote(c, blocks, c.inflight)
				}
				l.onWay, l.begun = 0, time.Time{}
				b.serve(b.now())
				continue
			}
			if err := b.handle(c, m); err != nil {
				t.Skip(err)
			}
			for _, c := range cs {
				if c.through && slices.ContainsFunc(c.queue, c.goesOn) {
					t.Fatalf("piece %d, of which %d bytes were given, is taken to be through, with %v in the queue", c.lastPiece, c.given, c.queue)
				}
			}
		}
	})
}

func TestWhoIsThrough(t *testing.T) {
	b, cs := crowdBench(t, 2, manySources+1)
	c, now := cs[0], b.now()
	c.queuedAt, c.lastSent, c.lastPiece, c.given = now, now, 0, 64<<10
	block := func(p, i uint32) upRequest { return upRequest{piece: p, begin: i << 14, length: 16 << 10} }
	look := func(want bool, name string) {
		t.Helper()
		c.through = false // as when something is asked for
		if b.nextOf(c, now); c.through != want {
			t.Errorf("%s: through is %v, want %v", name, c.through, want)
		}
	}
	c.queue = []upRequest{block(1, 0)}
	look(true, "nothing of the piece waits")
	c.queue = []upRequest{block(1, 0), block(0, 0)}
	look(false, "some of it waits")
	c.queue = nil
	for i := range uint32(mostRanked) {
		c.queue = append(c.queue, block(1, i%4))
	}
	c.queue = append(c.queue, block(0, 3))
	look(false, "some of it waits behind what is looked at")
	c.queue, c.given = []upRequest{block(0, 0)}, 2*64<<10
	look(true, "it had the piece twice")
	c.fast, c.inflight = true, 16<<10
	c.out.block(block(0, 1))
	if err := b.cancelled(c, &wire.Message{Type: wire.Cancel, Index: 0, Begin: 1 << 14, Length: 16 << 10}); err != nil {
		t.Fatal(err)
	}
	if c.through && c.goesOn(c.queue[0]) {
		t.Error("it had less than twice the piece after all, and is passed over")
	}
}
