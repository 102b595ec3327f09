package swarm

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/piece"
	"shoal/swarm/wire"
)

// While we fetch, those that give us most are unchoked, and one more.
func TestTitForTat(t *testing.T) {
	now := time.Now()
	var want []*conn
	for i := range 10 {
		want = append(want, &conn{rateDown: float64(100 * (i % 7)), choking: true, sent: int64(i)})
	}
	regular, lucky := chooseUnchoked(want, false, now, rand.New(rand.NewPCG(1, 2)))
	least := 1e9
	for _, c := range regular {
		least = min(least, c.rateDown)
	}
	for _, c := range want {
		if c.rateDown > least && !slices.Contains(regular, c) {
			t.Errorf("a peer that gives %v has no slot, one that gives %v has", c.rateDown, least)
		}
	}
	if len(regular) != foreignSlots || lucky == nil || slices.Contains(regular, lucky) {
		t.Errorf("%d slots and lucky %v, want %d and another one", len(regular), lucky, foreignSlots)
	}
}

// A seed gives everybody a turn, which lasts.
func TestSeedsGiveTurns(t *testing.T) {
	now := time.Now()
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []*conn
	for range 13 {
		want = append(want, &conn{choking: true})
	}
	served := map[*conn]time.Duration{}
	for range 30 * 13 / 4 { // each round is ten seconds
		regular, lucky := chooseUnchoked(want, true, now, rnd)
		for _, c := range want {
			in := c == lucky || slices.Contains(regular, c)
			switch {
			case in && c.choking:
				c.choking, c.unchokedAt = false, now
			case !in && !c.choking:
				if d := now.Sub(c.unchokedAt); d < turnTime && !c.optimistic {
					t.Fatalf("a turn was over after %v", d)
				}
				c.choking, c.chokedAt = true, now
			}
			c.optimistic = c == lucky
			if in {
				served[c] += chokeTime
			}
		}
		now = now.Add(chokeTime)
	}
	var least, most time.Duration = 1 << 60, 0
	for _, c := range want {
		least, most = min(least, served[c]), max(most, served[c])
	}
	if least == 0 || most > 2*least {
		t.Errorf("one had slots for %v, another for %v", most, least)
	}
}

func TestChooseUnchokedProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now()
		var want []*conn
		for range rapid.IntRange(0, 20).Draw(t, "peers") {
			c := &conn{rateDown: float64(rapid.IntRange(0, 3).Draw(t, "rate")), sent: int64(rapid.IntRange(0, 3).Draw(t, "sent"))}
			c.choking = rapid.Bool().Draw(t, "choked")
			c.unchokedAt = now.Add(-time.Duration(rapid.IntRange(0, 60).Draw(t, "ago")) * time.Second)
			want = append(want, c)
		}
		if len(want) > 0 {
			want[0].optimistic = !want[0].choking
		}
		before := slices.Clone(want)
		regular, lucky := chooseUnchoked(want, rapid.Bool().Draw(t, "seeding"), now, rand.New(rand.NewPCG(1, 1)))
		if !slices.Equal(before, want) {
			t.Fatal("it changed what it was given")
		}
		if len(regular) != min(len(want), foreignSlots) || (lucky != nil) != (len(want) > foreignSlots) || slices.Contains(regular, lucky) {
			t.Fatalf("%d regular of %d, lucky %v", len(regular), len(want), lucky != nil)
		}
	})
}

// Free slots are filled at once, by those that have waited longest, and are never more than five.
func TestFreeSlots(t *testing.T) {
	tor, _, want := makeContent(t, 64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	var cs []*conn
	for i := range 8 {
		c := b.peer(byte(1 + i))
		c.near = true
		cs = append(cs, c)
		b.handle(c, &wire.Message{Type: wire.Interested})
	}
	open := func() (n int) {
		for _, c := range cs {
			if !c.choking && !c.gone {
				n++
			}
		}
		return n
	}
	if open() != foreignSlots+1 {
		t.Fatalf("%d are unchoked, want %d", open(), foreignSlots+1)
	}
	for _, c := range cs[:3] {
		b.end(c, nil)
		if open() != foreignSlots+1 {
			t.Fatalf("%d are unchoked after one left, want %d", open(), foreignSlots+1)
		}
	}
}

func TestUploadOrder(t *testing.T) {
	in := []upRank{ // as they are to be served
		{late: true, held: 9, got: 9, at: 9},
		{next: true, held: 9, got: 9, at: 9},
		{held: 0, gift: 1, got: 9, at: 9},
		{held: 0, wait: 2, got: 9, at: 8},
		{held: 0, got: 5, at: 4},
		{held: 0, got: 5, at: 7},
		{held: 0, got: 6, at: 1},
		{held: 0, gift: -1, wait: 3, at: 2},
		{held: 2, gift: 1, got: 7, at: 3},
		{held: 2, got: 0, at: 5},
		{held: 1, got: 1, at: 6},
		{held: 2, got: 1, at: 0},
	}
	for i, a := range in {
		for j, b := range in {
			if a.before(b) != (i < j) {
				t.Errorf("%+v before %+v: %v, want %v", a, b, a.before(b), i < j)
			}
		}
	}
}

// The rarest piece goes first, then who has got least; four are served at a time, and a standard
// peer that has waited too long is not forgotten.
func TestServe(t *testing.T) {
	tor, _, want := makeContent(t, 16*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	for p := range tor.NumPieces() {
		b.pick.begin(p)
		b.owns(p)
		b.pick.avail[p] = 5
	}
	b.pick.avail[7] = 1
	var cs []*conn
	for i := range 7 {
		c := b.peer(byte(1 + i))
		c.near, c.shoal = true, i < 6
		c.choking = false
		cs = append(cs, c)
	}
	ask := func(c *conn, p int) {
		c.queue = append(c.queue, upRequest{piece: uint32(p), length: 16 << 10, at: int64(len(c.queue))})
		b.asks(c, 16<<10)
	}
	now := time.Now()
	for i, c := range cs {
		c.served = int64(i * 1000)
		c.queuedAt = now
		for p := range 16 {
			ask(c, p)
		}
	}
	served := func() (l []int) {
		for i, c := range cs {
			if c.inflight > 0 {
				l = append(l, i)
			}
		}
		return l
	}
	b.serve(now)
	if got := served(); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("served are %v, want the four that got least", got)
	}
	for _, i := range served() {
		if first := cs[i].out.blocks[0].piece; first != 7 {
			t.Errorf("peer %d gets piece %d first, want the rarest", i, first)
		}
	}
	for _, c := range cs[:4] { // all is written
		c.inflight, c.lastSent = 0, now
	}
	now = now.Add(foreignPatience + time.Second)
	b.serve(now)
	if cs[6].inflight == 0 {
		t.Error("a standard peer that has waited for six seconds is not served")
	}
}

// Who has just asked is being given something, though no rate says so yet.
func TestGivingBeginsWithTheFirstRequest(t *testing.T) {
	tor, _, want := makeContent(t, 2*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	for p := range tor.NumPieces() {
		b.owns(p)
	}
	c := b.peer(1)
	c.choking = false
	if b.t.Stats().Giving {
		t.Error("given before anybody has asked")
	}
	if err := b.handle(c, &wire.Message{Type: wire.Request, Index: 1, Length: 16 << 10}); err != nil {
		t.Fatal(err)
	}
	if !b.t.Stats().Giving {
		t.Error("nobody is given anything though a peer has asked")
	}
	b.t.counts.asked.Store(b.now().Add(-askedTime).UnixNano())
	if b.t.Stats().Giving {
		t.Error("given long after the last request, at no rate")
	}
}

// In a crowd, and where a piece takes long, a peer is given the piece that it has some of to its end, and not in turn with the others.
func TestACrowdIsServedPieceByPiece(t *testing.T) {
	tor, _, want := makeContent(t, 2*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	now := b.now()
	c := b.peer(1)
	c.queuedAt, c.lastSent, c.given = now, now, 16<<10
	c.queue = []upRequest{{piece: 1, begin: 16 << 10, length: 16 << 10, at: 1}, {piece: 0, length: 16 << 10, at: 2}} // of piece 0 its first block is left
	if _, r := b.nextOf(c, now); r.next {
		t.Error("among few a piece is given in one go")
	}
	fast := c.line().rate
	c.line().rate = 100e3
	if i, r := b.nextOf(c, now); i != 1 || !r.next {
		t.Errorf("among few on a slow line comes request %d, %+v, want the rest of the piece that was begun", i, r)
	}
	for i := range byte(manySources) {
		b.peer(2 + i)
	}
	for _, rate := range []float64{fast, 100e3} {
		c.line().rate = rate
		if i, r := b.nextOf(c, now); i != 1 || !r.next {
			t.Errorf("in a crowd on a line of %v B/s comes request %d, %+v, want the rest of the piece that was begun", rate, i, r)
		}
	}
	b.reveal = newRevealer(2, b.rnd) // an origin, to whom 64 KiB are long at 100 kB/s, and not at 10 MB/s
	for rate, want := range map[float64]bool{100e3: true, 10e6: false} {
		c.line().rate = rate
		if _, r := b.nextOf(c, now); r.next != want {
			t.Errorf("an origin that leases goes on with the piece on a line of %v B/s: %v, want %v", rate, r.next, want)
		}
	}
	b.reveal = nil
	d := b.peer(byte(manySources) + 2)
	d.queuedAt, d.lastSent = now.Add(-2*foreignPatience), now.Add(-2*foreignPatience)
	d.queue = []upRequest{{piece: 0, length: 16 << 10, at: 3}}
	for rate, goesOn := range map[float64]bool{100e3: true, 10e3: false} { // 64 KiB take 0.7 and 6.6 s
		c.line().rate = rate
		_, begun := b.nextOf(c, now)
		if _, late := b.nextOf(d, now); begun.before(late) != goesOn {
			t.Errorf("on a line of %v B/s the rest of a piece goes before who has waited too long: %v, want %v", rate, !goesOn, goesOn)
		}
	}
}

// Who is not Shoal and gives less than it takes has half a share of the uplink while we fetch, and a whole one of a seed's.
func TestShareOfOneWhoTakes(t *testing.T) {
	tor, _, want := makeContent(t, 2*64<<10, piece.BuildConfig{PieceLength: 64 << 10})
	b := newBench(tor, want)
	defer b.stop()
	shoal, takes, gives := b.peer(1), b.peer(2), b.peer(3)
	shoal.shoal = true
	for _, c := range []*conn{shoal, takes, gives} {
		c.near, c.introduced, c.sent = true, true, 1000
	}
	gives.received = 1001
	for _, c := range []struct {
		what string
		of   *conn
		want int64
	}{{"a shoal peer", shoal, 1}, {"one who gives", gives, 1}, {"one who takes", takes, 2}} {
		if got := c.of.weight(); got != c.want {
			t.Errorf("a byte to %s counts %d times, want %d", c.what, got, c.want)
		}
	}
}
