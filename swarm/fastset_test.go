package swarm

import (
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// The vectors of BEP 6.
func TestFastSet(t *testing.T) {
	var hash [20]byte
	for i := range hash {
		hash[i] = 0xaa
	}
	want := []int{1059, 431, 808, 1217, 287, 376, 1188, 353, 508}
	for _, k := range []int{7, 9} {
		for _, ip := range []string{"80.4.4.200", "80.4.4.1", "::ffff:80.4.4.7"} {
			if got := fastSet(netip.MustParseAddr(ip), hash, 1313, k); !slices.Equal(got, want[:k]) {
				t.Errorf("%s, %d pieces: %v, want %v", ip, k, got, want[:k])
			}
		}
	}
	if got := fastSet(netip.MustParseAddr("2001:db8::1"), hash, 1313, 9); got != nil {
		t.Errorf("IPv6 has %v", got)
	}
	for pieces := range 14 { // fewer than there are to allow: each once
		got := fastSet(netip.MustParseAddr("80.4.4.200"), hash, pieces, 10)
		slices.Sort(got)
		if n := min(pieces, 10); len(got) != n || len(slices.Compact(got)) != n {
			t.Errorf("of %d pieces %v", pieces, got)
		}
	}
}

// A stranger that is choked gets a few pieces, and of those not more than it can use.
func TestChokedStrangersGetAFewPieces(t *testing.T) {
	t.Parallel()
	const pieces = 200
	tor, path, want := makeContent(t, pieces*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	s := newMachine(t, Config{})
	add(t, s, Spec{Torrent: tor, Content: path})
	var granted []uint32
	got := make(map[uint32]int)
	refused := make(map[uint32]int)
	l := newLiar(t, tor, want, func(c *raw) {
		if !c.shake() || c.send(wire.AppendPlain(nil, wire.HaveNone)) != nil { // and never interested: it stays choked
			return
		}
		var m wire.Message
		for answers := 0; answers < 4; {
			if c.r.Next(&m) != nil {
				return
			}
			switch m.Type {
			case wire.Unchoke:
				t.Error("it is unchoked")
			case wire.AllowedFast:
				if granted = append(granted, m.Index); len(granted) == fastPieces {
					other := uint32(0)
					for slices.Contains(granted, other) {
						other++
					}
					for _, p := range []uint32{m.Index, m.Index, m.Index, other} { // the third is once too often
						c.send(wire.AppendSpan(nil, wire.Request, p, 0, 16<<10))
					}
				}
			case wire.Piece:
				got[m.Index]++
				answers++
			case wire.Reject:
				refused[m.Index]++
				answers++
			}
			m.Release()
		}
		c.l.done()
	})
	l.dial(s.addr, 1)
	soon(t, l.did)
	last := granted[len(granted)-1]
	if len(granted) != fastPieces || got[last] != 2 || refused[last] != 1 || len(refused) != 2 {
		t.Errorf("allowed %v; got %v, refused %v", granted, got, refused)
	}
}

// What a peer allows us is asked for though it never lets us in.
func TestWhatIsAllowedIsAskedFor(t *testing.T) {
	t.Parallel()
	const pieces = 8
	tor, _, want := makeContent(t, pieces*16<<10, piece.BuildConfig{PieceLength: 16 << 10, Format: piece.V1})
	l := newLiar(t, tor, want, func(c *raw) {
		if !c.shake() {
			return
		}
		b := wire.AppendPlain(nil, wire.HaveAll)
		for p := range pieces {
			b = wire.AppendIndex(b, wire.AllowedFast, uint32(p))
		}
		c.send(b)
		var m wire.Message
		for c.r.Next(&m) == nil {
			if m.Type == wire.Request {
				at := int(m.Index)*16<<10 + int(m.Begin)
				c.send(append(wire.AppendPieceHeader(nil, m.Index, m.Begin, int(m.Length)), c.l.want[at:at+int(m.Length)]...))
			}
		}
	})
	m := newMachine(t, Config{})
	dir := t.TempDir()
	wait(t, add(t, m, Spec{Torrent: tor, Dir: dir, Peers: []string{l.addr}}), 20*time.Second)
	sameFile(t, filepath.Join(dir, "release.bin"), want)
	// Nothing else is asked of who chokes us.
	b := newBench(tor, want)
	defer b.stop()
	c := b.peer(1)
	b.handle(c, &wire.Message{Type: wire.HaveAll})
	b.handle(c, &wire.Message{Type: wire.AllowedFast, Index: 3})
	b.handle(c, &wire.Message{Type: wire.AllowedFast, Index: 1 << 30})
	for _, q := range c.order {
		if q.op.index != 3 {
			t.Errorf("piece %d is asked for", q.op.index)
		}
	}
	if len(c.order) != 1 {
		t.Errorf("%d requests, want one", len(c.order))
	}
	for p := range uint32(1000) {
		b.handle(c, &wire.Message{Type: wire.AllowedFast, Index: 100 + p})
	}
	if len(c.allowed) > maxAllowed {
		t.Errorf("%d pieces are remembered", len(c.allowed))
	}
}
