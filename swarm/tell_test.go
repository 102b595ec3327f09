package swarm

import (
	"net/netip"
	"testing"

	"shoal/piece"
)

// told is the pieces that a connection was told of, and in how many bytes.
func told(c *conn) (pieces, bytes int) {
	control, _ := c.out.take(0)
	return c.revealed.set, len(control)
}

func TestManyNewPiecesAreToldByABitfield(t *testing.T) {
	const pieces = 400
	tor, _, want := makeContent(t, pieces*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	b := newBench(tor, want)
	defer b.stop()
	shoal, other := b.peer(1), b.peer(2)
	shoal.shoal, other.shoal = true, false
	told(shoal)
	told(other)
	for p := range 20 {
		b.owns(p)
		b.fresh = append(b.fresh, p)
	}
	b.flushHaves()
	if n, size := told(shoal); n != 20 || size != 5+pieces/8 {
		t.Errorf("a Shoal peer was told of %d pieces in %d bytes, want 20 in %d", n, size, 5+pieces/8)
	}
	if n, size := told(other); n != 20 || size != 20*9 {
		t.Errorf("another was told of %d pieces in %d bytes, want 20 in %d", n, size, 20*9)
	}
	for p := range 10 { // a fast fetch has so many each 20 ms
		b.owns(20 + p)
		b.fresh = append(b.fresh, 20+p)
	}
	b.flushHaves()
	if n, size := told(shoal); n != 30 || size != 10*9 {
		t.Errorf("at once after a bitfield a Shoal peer was told of %d pieces in %d more bytes, want 30 in %d: many bitfields are a flood", n, size, 10*9)
	}
}

// Beyond the border one machine of each place is told at once of what nobody else has, a gate of it; the other gates, and
// of the rest all, a moment later, and machines that are no gates later still. An origin that lends us a piece counts for nobody.
func TestOneOfEachPlaceIsToldAtOnce(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	for _, b := range newSite(t, 3, tor, want).machines { // with 2 gates one of them is none
		var far []*conn
		add := func(n byte, place func(c *conn, i byte)) {
			for i := range n {
				c := b.peer(byte(10 + len(far)))
				c.shoal, c.theirShoal, c.claim = true, 2, uint64(len(far)+1)*0x1234567
				place(c, i)
				far = append(far, c)
			}
		}
		add(4, func(c *conn, i byte) { // places that are told apart by an address
			c.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113 + i/2, i}), 7070)
		})
		add(3, func(c *conn, _ byte) { c.site = "a" }) // and by a name
		b.lanStale = true
		b.findNeighbours()
		near := b.lan
		b.toldGates, b.toldAll = b.now(), b.now()
		only, common := 0, 1
		b.pick.gained(common)
		b.pick.gained(only) // an origin has it, which shows it to us alone
		b.lends(b.peer(99), only)
		for _, p := range []int{only, common} {
			b.owns(p)
		}
		b.fresh = []int{only, common}
		b.flushHaves()
		for i, c := range near {
			if n, _ := told(c); n != 2 {
				t.Errorf("neighbour %d was told of %d pieces, want 2", i, n)
			}
		}
		for at, place := range [][]*conn{far[:2], far[2:4], far[4:]} {
			n, rest := 0, 0
			for _, c := range place {
				if c.revealed.has(only) {
					n++
					if !c.gate {
						t.Errorf("of place %d one that is no gate was told at once", at)
					}
				}
				if c.revealed.has(common) {
					rest++
				}
			}
			if n != 1 || rest != 0 {
				t.Errorf("of place %d %d machines were told at once of what only we have, want 1, and %d of what others have, want 0", at, n, rest)
			}
		}
		b.toldGates = b.now().Add(-borderTime)
		b.flushHaves()
		for i, c := range far {
			if got := c.revealed.has(common); got != (b.gate && c.gate) {
				t.Errorf("machine %d beyond the border knows of what others have: %v; we are a gate: %v, so is it: %v", i, got, b.gate, c.gate)
			}
		}
		b.toldAll = b.now().Add(-slowBorderTime)
		b.flushHaves()
		for i, c := range far {
			if n, _ := told(c); n != 2 {
				t.Errorf("machine %d beyond the border was told of %d pieces in the end, want 2", i, n)
			}
		}
		if !b.haveDue.IsZero() || len(b.inside) > 0 {
			t.Errorf("%d pieces are still to be told of", len(b.inside))
		}
	}
}

// When an origin leases no more, peers of our kind are told of everything at once, and others piece by piece.
func TestAnOriginOpensInOneWord(t *testing.T) {
	const pieces = 64
	tor, _, want := makeContent(t, pieces*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	ours, foreign := b.peer(1), b.peer(2)
	ours.shoal, ours.theirShoal = true, 2
	for p := range pieces {
		b.owns(p)
	}
	for _, c := range []*conn{ours, foreign} {
		c.revealed.add(7) // it was leased to it
		told(c)
	}
	b.openAll()
	for c, wanted := range map[*conn]int{ours: 6 + 1 + (5 + pieces/8), foreign: (pieces - 1) * 9} { // "open", and a bitfield; HAVEs
		if n, size := told(c); n != pieces || size != wanted {
			t.Errorf("a peer that is ours: %v, was told by %d bytes of %d pieces, want %d bytes of %d", c.shoal, size, n, wanted, pieces)
		}
	}
	b.openAll()
	for _, c := range []*conn{ours, foreign} {
		if _, size := told(c); size > 10 {
			t.Errorf("told twice, by %d bytes", size)
		}
	}
}
