package swarm

import (
	"testing"
	"time"

	"shoal/piece"
	"shoal/swarm/wire"
)

// site is the machines of one site as each of them sees the others, and one outside of it that has
// everything.
type site struct {
	machines  []*bench
	neighbour [][]*conn // neighbour[i][j] is j as i sees it
	outside   []*conn
}

func newSite(t testing.TB, n int, tor *piece.Torrent, want []byte) *site {
	t.Helper()
	x := &site{}
	for i := range n {
		b := newBench(tor, want)
		t.Cleanup(b.stop)
		b.t.node.cfg.PeerID = [20]byte{byte(1 + i)}
		row := make([]*conn, n)
		for j := range n {
			if j != i {
				row[j] = b.peer(byte(1 + j))
				row[j].class, row[j].theirShoal, row[j].choked = LAN, 2, false
			}
		}
		origin := b.peer(200)
		origin.choked = false
		if err := b.handle(origin, &wire.Message{Type: wire.HaveAll}); err != nil {
			t.Fatal(err)
		}
		b.lanStale = true
		x.machines, x.neighbour, x.outside = append(x.machines, b), append(x.neighbour, row), append(x.outside, origin)
	}
	return x
}

// Of each piece exactly one machine of the site may ask outside; the others follow one by one.
func TestEachPieceHasOneOwner(t *testing.T) {
	const pieces = 400
	tor, _, want := makeContent(t, pieces*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	const n = 5
	x := newSite(t, n, tor, want)
	owned := make([]int, n)
	for i, b := range x.machines {
		b.crosses(x.outside[i]) // has it look for its gates
	}
	for p := range pieces {
		may := 0
		for i, b := range x.machines {
			if b.siteAllows(x.outside[i], p) {
				may++
				owned[i]++
			}
		}
		if may != 1 {
			t.Fatalf("%d machines may ask for piece %d outside, want one", may, p)
		}
	}
	found := 0
	for i, k := range owned {
		switch b := x.machines[i]; {
		case !b.gate && k > 0:
			t.Errorf("machine %d owns %d pieces though it is no gate", i, k)
		case b.gate && (k < pieces/gates*3/4 || k > pieces/gates*5/4):
			t.Errorf("gate %d owns %d of %d pieces, want about %d", i, k, pieces, pieces/gates)
		case b.gate:
			found++
		}
	}
	if found != gates {
		t.Errorf("the site has %d gates, want %d", found, gates)
	}
	for i, b := range x.machines { // everybody has waited for long enough
		b.siteWait.start = b.siteWait.start.Add(-time.Duration(n) * ownerTime)
		for p := range pieces {
			if !b.siteAllows(x.outside[i], p) {
				t.Fatalf("machine %d may not ask for piece %d though its owner did nothing", i, p)
			}
		}
	}
}

// What a neighbour has, or says that it fetches, is not asked outside, as long as it gives it.
func TestNeighboursComeFirst(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	x := newSite(t, 2, tor, want)
	b, out, next := x.machines[0], x.outside[0], x.neighbour[0][1]
	mine := -1
	for p := range 20 {
		if b.siteAllows(out, p) {
			mine = p
		}
	}
	if mine < 0 {
		t.Fatal("no piece is ours")
	}
	if op := b.open[mine]; op != nil { // it has not told the site of it
		op.told = time.Time{}
	}
	fetching := wire.AppendFetching(nil, wire.IDShoal, uint32(mine))[6:]
	if err := b.shoalMessage(next, fetching); err != nil {
		t.Fatal(err)
	}
	if b.siteAllows(out, mine) {
		t.Error("asked outside what a neighbour says it fetches")
	}
	if !b.siteAllows(next, mine) {
		t.Error("the neighbour itself may not be asked")
	}
	next.fetching[mine] = time.Now().Add(-fetchingTime)
	if !b.siteAllows(out, mine) {
		t.Error("a neighbour's word holds for ever")
	}
	b.handle(next, &wire.Message{Type: wire.Have, Index: uint32(mine)})
	if b.siteAllows(out, mine) {
		t.Error("asked outside what a neighbour has")
	}
	next.choked = true
	if !b.siteAllows(out, mine) {
		t.Error("not asked outside what the neighbour keeps to itself")
	}
	next.choked = false
	next.asked, next.askedAt = 1, time.Now().Add(-helpTime)
	if !b.siteAllows(out, mine) {
		t.Error("not asked outside though the neighbour does not answer")
	}
	next.asked = 0
	if b.siteAllows(out, mine) {
		t.Error("asked outside what a neighbour has and gives")
	}
	out.leased[mine] = true
	if !b.siteAllows(out, mine) {
		t.Error("what the origin shows to us alone is not fetched")
	}
	if err := b.shoalMessage(next, wire.AppendFetching(nil, wire.IDShoal, 1<<30)[6:]); err == nil {
		t.Error("a piece that does not exist is being fetched")
	}
}

// Of several that have begun with a piece one goes on: if each left it to the others, nobody would for as long as their
// words hold.
func TestOneOfSeveralGoesOn(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	const n = 4
	x := newSite(t, n, tor, want)
	for p := range 20 {
		may := 0
		for i, b := range x.machines {
			b.begin(p).told = time.Now()
			for j, o := range x.neighbour[i] {
				if j != i {
					o.fetching[p] = time.Now()
				}
			}
			if b.siteAllows(x.outside[i], p) {
				may++
			}
		}
		if may != 1 {
			t.Errorf("%d of %d machines that have begun with piece %d go on, want one", may, n, p)
		}
	}
}

// What an origin shows while it leases is the machine's own to fetch; what it shows when it has stopped is not.
func TestWhatIsShownToAllIsNoLease(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	x := newSite(t, 2, tor, want)
	b := x.machines[0]
	origin := b.peer(201)
	origin.role, origin.choked = RoleOrigin, false
	show := func(p uint32) {
		t.Helper()
		if err := b.handle(origin, &wire.Message{Type: wire.Have, Index: p}); err != nil {
			t.Fatal(err)
		}
	}
	show(1)
	if err := b.shoalMessage(origin, wire.AppendOpen(nil, wire.IDShoal)[6:]); err != nil {
		t.Fatal(err)
	}
	show(2)
	if !origin.leased[1] || origin.leased[2] {
		t.Errorf("leased: %v, want piece 1 alone", origin.leased)
	}
	if err := b.tookDontHave(origin, 2); err != nil { // it hides what it will lease again
		t.Fatal(err)
	}
	show(2)
	if !origin.leased[2] {
		t.Error("what is shown after that is not leased")
	}
}

// A stranger's word about the site means nothing.
func TestStrangersAreNotOfTheSite(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	b := newBench(tor, want)
	defer b.stop()
	out, stranger := b.peer(200), b.peer(2)
	b.handle(out, &wire.Message{Type: wire.HaveAll})
	b.handle(stranger, &wire.Message{Type: wire.Have, Index: 3})
	if err := b.shoalMessage(stranger, wire.AppendFetching(nil, wire.IDShoal, 4)[6:]); err != nil {
		t.Fatal(err)
	}
	for p := range 20 {
		if !b.siteAllows(out, p) {
			t.Errorf("piece %d is not asked for because of a stranger", p)
		}
	}
	if len(stranger.fetching) > 0 {
		t.Error("a stranger's word is kept")
	}
}

// An origin that is of the site itself, such as one on the LAN, is not beyond its border.
func TestOriginAtHome(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	x := newSite(t, 3, tor, want)
	b, origin := x.machines[0], x.outside[0]
	may := func() (n int) {
		for p := range 20 {
			if b.siteAllows(origin, p) {
				n++
			}
		}
		return n
	}
	if n := may(); n == 20 {
		t.Error("far away it may be asked for all")
	}
	b.t.node.cfg.Site, b.t.node.cfg.SiteKey = "a", "correct horse"
	origin.role, origin.site, origin.key.proven = RoleOrigin, "a", true
	b.reclassify(origin)
	if n := may(); n != 20 || origin.class != Origin {
		t.Errorf("%d of 20 pieces may be asked of it, class %v", n, origin.class)
	}
}

// What an edge of the site has is not asked outside: not of an edge of another site either.
func TestEdgeOfTheSiteComesFirst(t *testing.T) {
	tor, _, want := makeContent(t, 20*16<<10, piece.BuildConfig{PieceLength: 16 << 10})
	x := newSite(t, 2, tor, want)
	b, out, edge := x.machines[0], x.outside[0], x.neighbour[0][1]
	b.t.node.cfg.Site, b.t.node.cfg.SiteKey = "a", "correct horse"
	edge.role, edge.site, edge.key.proven = RoleEdge, "a", true
	out.role, out.site = RoleEdge, "b"
	b.reclassify(edge)
	b.reclassify(out)
	if edge.class != Edges || out.class != Edges {
		t.Fatalf("classes %v and %v", edge.class, out.class)
	}
	for p := range 20 {
		b.handle(edge, &wire.Message{Type: wire.Have, Index: uint32(p)})
	}
	may := func() (n int) {
		for p := range 20 {
			if b.siteAllows(out, p) {
				n++
			}
		}
		return n
	}
	if n := may(); n > 0 {
		t.Errorf("%d of 20 pieces may be asked elsewhere", n)
	}
	if edge.choked = true; may() == 0 {
		t.Error("nothing may be asked elsewhere though the edge gives nothing")
	}
}
