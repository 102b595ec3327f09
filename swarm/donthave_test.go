package swarm

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"shoal/piece"
	"shoal/swarm/wire"
)

// However peers gain and lose pieces, the books stay right.
func TestBooksOfWhatPeersGiveUp(t *testing.T) {
	const pieces = 12
	tor, _, want := makeContent(t, pieces*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(tor, want)
		defer b.stop()
		cs := []*conn{b.peer(1), b.peer(2), b.peer(3)}
		cs[0].role = RoleOrigin // what it shows by a HAVE is lent to us
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c := cs[rapid.IntRange(0, len(cs)-1).Draw(t, "peer")]
			p := rapid.IntRange(0, pieces-1).Draw(t, "piece")
			m := &wire.Message{Type: wire.Have, Index: uint32(p)}
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				m = &wire.Message{Type: wire.HaveAll}
			case 1, 2:
				m = &wire.Message{Type: wire.Extended, ExtID: wire.IDDontHave, Payload: wire.AppendDontHave(nil, 0, uint32(p))[6:]}
			case 3:
				c.choked = false
				b.fill(c)
				continue
			case 4:
				m = &wire.Message{Type: wire.Extended, ExtID: wire.IDShoal, Payload: wire.AppendOpen(nil, wire.IDShoal)[6:]}
			}
			if err := b.handle(c, m); err != nil {
				t.Fatal(err)
			}
			b.audit(t)
			avail, lent := make([]int32, pieces), make([]uint16, pieces)
			seeds := 0
			for _, o := range cs {
				if o.have.full() != o.seed {
					t.Fatalf("a peer with %d pieces is a seed: %v", o.have.set, o.seed)
				}
				if o.seed {
					seeds++
					continue
				}
				for p := range pieces {
					if o.have.has(p) {
						avail[p]++
					}
					if o.leased[p] {
						lent[p]++
					}
				}
			}
			if b.lent != nil && !slices.Equal(lent, b.lent) {
				t.Fatalf("lent to us are %v; the books say %v", lent, b.lent)
			}
			if seeds != b.seeds || !slices.Equal(avail, b.pick.avail) {
				t.Fatalf("%d seeds, others hold %v; the books say %d and %v", seeds, avail, b.seeds, b.pick.avail)
			}
		}
		for _, c := range cs {
			b.leave(c)
		}
		for p := range pieces {
			if b.lent != nil && b.lent[p] != 0 || b.pick.avail[p] != 0 {
				t.Fatalf("piece %d is still held by %d and lent by %d when all are gone", p, b.pick.avail[p], b.lent[p])
			}
		}
	})
}

// What a seed evicts it does not offer or serve any more, and says so to those who understand it.
func TestEvict(t *testing.T) {
	t.Parallel()
	const pieces = 16
	tor, path, want := makeContent(t, pieces*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	s := newMachine(t, Config{})
	tr := add(t, s, Spec{Torrent: tor, Content: path})
	if err := tr.Evict(6, 7); err != nil { // asleep
		t.Fatal(err)
	}
	for _, bad := range [][2]int{{-1, 2}, {3, 2}, {0, maxEvict + 1}} {
		if tr.Evict(bad[0], bad[1]) == nil {
			t.Errorf("evicts %v", bad)
		}
	}
	var gone []uint32
	var refused, served bool
	l := newLiar(t, tor, want, func(c *raw) {
		if !c.shake() {
			return
		}
		h, _ := wire.ExtHandshake{M: map[string]int{wire.NameDontHave: 9}}.Append(nil)
		c.send(wire.AppendPlain(h, wire.Interested))
		var m wire.Message
		for c.r.Next(&m) == nil {
			switch {
			case m.Type == wire.Unchoke:
				if err := errors.Join(tr.Evict(3, 5), tr.Evict(4, 100)); err != nil {
					t.Error(err)
				}
				c.send(wire.AppendSpan(nil, wire.Request, 4, 0, 16<<10))
				c.send(wire.AppendSpan(nil, wire.Request, 2, 0, 16<<10))
			case m.Type == wire.Reject && m.Index == 4:
				refused = true
			case m.Type == wire.Piece && m.Index == 2:
				served = true
			}
			m.Release()
			if served && refused {
				break
			}
		}
		c.l.done()
	})
	l.dial(s.addr, 1)
	soon(t, l.did)
	if !refused || !served {
		t.Errorf("what was evicted is refused: %v, what was not is served: %v", refused, served)
	}
	// The extended id is the liar's own, which its reader does not know: the next one listens to it.
	l2 := newLiar(t, tor, want, func(c *raw) {
		if !c.shake() {
			return
		}
		h, _ := wire.ExtHandshake{M: map[string]int{wire.NameDontHave: int(wire.IDDontHave)}}.Append(nil)
		c.send(h)
		var m wire.Message
		for c.r.Next(&m) == nil {
			if m.Type == wire.Bitfield {
				var left int
				for _, x := range m.Payload {
					for ; x != 0; x &= x - 1 {
						left++
					}
				}
				if left != 3 {
					t.Errorf("a newcomer is told of %d pieces, want 3", left)
				}
				s, err := tr.session()
				if err != nil {
					t.Error(err)
				}
				told := make(chan struct{})
				s.do(func() { // once its handshake is in
					go func() {
						until(t, "the handshake is in", func() bool {
							in := make(chan bool)
							s.do(func() { in <- len(s.conns) > 0 && s.conns[len(s.conns)-1].theirDontHave != 0 })
							return <-in
						})
						close(told)
					}()
				})
				<-told
				tr.Evict(0, 2)
			}
			if m.Type == wire.Extended && m.ExtID == wire.IDDontHave {
				p, err := wire.ParseDontHave(m.Payload)
				if err != nil {
					t.Error(err)
				}
				if gone = append(gone, p); len(gone) == 2 {
					break
				}
			}
		}
		c.l.done()
	}, called("-LIAR2-", 2))
	go l2.dial(s.addr, 1)
	soon(t, l2.did)
	if !slices.Equal(gone, []uint32{0, 1}) {
		t.Errorf("told of %v, want 0 and 1", gone)
	}
	if st := tr.Stats(); st.Have != st.Wanted {
		t.Errorf("%d of %d bytes: want a seed that is complete with what it has left", st.Have, st.Wanted)
	}
}

// A fetch under way gives up nothing.
func TestEvictWhileFetching(t *testing.T) {
	t.Parallel()
	tor, _, _ := makeContent(t, 1<<20, piece.BuildConfig{})
	m := newMachine(t, Config{})
	tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{"127.0.0.1:1"}})
	if err := tr.Evict(0, 1); err == nil {
		t.Error("it gives up a piece that it wants")
	}
}
