package swarm

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/swarm/wire"
)

// leasing is an origin with a clock of its own and peers that are only their habits.
type leasing struct {
	*revealer
	now   time.Time
	crowd crowd
	rate  int64 // bytes per second that the origin sends
	peers []*habits
	shut  *habits // nobody passes it anything
}

const leasePiece = 64 << 10

// habits is what a peer does with what it is leased.
type habits struct {
	*conn
	has   []bool
	asks  bool    // for what it is shown
	slow  bool    // takes a block in two seconds, whatever is there for it
	one   bool    // asks for one piece after the other
	other bool    // is not Shoal
	relay float64 // pieces per second that it passes on
	lies  bool    // claims what it has not
	deaf  bool    // takes nothing any more, and says nothing
	owed  float64
	gone  bool
	slept time.Duration
}

func newLeasing(pieces int, rnd *rand.Rand) *leasing {
	l := &leasing{revealer: newRevealer(pieces, rnd), now: time.Unix(1e9, 0), rate: 10 * leasePiece}
	l.crowd = crowd{
		room: 4 * leasePiece, rate: float64(l.rate),
		wants: func(c *conn, p int) bool {
			for _, h := range l.peers {
				if h.conn == c {
					return !h.gone && !h.has[p]
				}
			}
			return false
		},
		deaf:   func(c *conn) bool { return l.of(c).deaf },
		length: func(int) int64 { return leasePiece },
	}
	return l
}

func (l *leasing) join(h *habits) *habits {
	h.conn = &conn{revealed: newBitset(len(l.order)), shoal: !h.other}
	h.has = make([]bool, len(l.order))
	l.peers = append(l.peers, h)
	l.crowd.leechers++
	h.open = !l.joins(h.conn, l.crowd.leechers, l.now)
	return h
}

func (l *leasing) leave(h *habits) {
	h.gone = true
	l.crowd.leechers--
	l.gone(h.conn)
}

// step lets a tenth of a second pass: the origin sends, peers pass on, leases are granted.
func (l *leasing) step() {
	l.now = l.now.Add(tickTime)
	budget := l.rate / 10
	for p, x := range l.leases {
		h := l.of(x.to)
		if h.asks && !(h.one && slices.ContainsFunc(l.revealer.peers[x.to].leases, func(y *lease) bool { return y != x && y.asked && !y.sent() })) {
			l.asked(h.conn, p, leasePiece, l.now)
		}
		if x.sent() || !x.asked || h.deaf || h.slow && h.slept < 2*time.Second {
			continue
		}
		n := min(budget, x.bytes-x.out)
		if h.slow {
			n, h.slept = min(n, 16<<10), 0
		}
		budget -= n
		if n > 0 {
			l.sent(h.conn, p, n, x.bytes, l.now)
		}
		if x.sent() && !h.has[p] {
			h.has[p] = true
			l.revealer.has(h.conn, p, l.now)
		}
	}
	for _, h := range l.peers {
		h.slept += tickTime
		if h.gone || h.deaf {
			continue
		}
		if h.lies {
			l.revealer.has(h.conn, l.rnd.IntN(len(l.order)), l.now)
		}
		for h.owed += h.relay / 10; h.owed >= 1; h.owed-- {
			l.pass(h)
		}
	}
	grants, _ := l.plan(l.now, l.crowd)
	for _, g := range grants {
		g.to.revealed.add(g.piece)
	}
}

// pass has h give some piece to somebody who lacks it.
func (l *leasing) pass(h *habits) {
	for _, i := range l.rnd.Perm(len(l.peers)) {
		to := l.peers[i]
		for p := range h.has {
			if h.has[p] && !to.has[p] && !to.gone && to != h && to != l.shut {
				to.has[p] = true
				l.revealer.has(to.conn, p, l.now)
				return
			}
		}
	}
}

func (l *leasing) of(c *conn) *habits {
	for _, h := range l.peers {
		if h.conn == c {
			return h
		}
	}
	return nil
}

// audit checks the revealer's books.
func (l *leasing) audit(t interface {
	Helper()
	Fatalf(string, ...any)
}) {
	t.Helper()
	var unsent int64
	n := 0
	for p, x := range l.leases {
		unsent += x.unsent()
		if x.piece != p || l.revealer.peers[x.to] == nil || !slices.Contains(l.revealer.peers[x.to].leases, x) {
			t.Fatalf("lease of piece %d is not in its lessee's books", p)
		}
	}
	if unsent != l.unsent {
		t.Fatalf("%d bytes are leased and unsent, the books say %d", unsent, l.unsent)
	}
	for _, r := range l.revealer.peers {
		n += len(r.leases)
	}
	if n != len(l.leases) {
		t.Fatalf("peers have %d leases, there are %d", n, len(l.leases))
	}
	seen := map[int]int{}
	for _, p := range l.returned {
		seen[p]++
	}
	for p := range l.leases {
		seen[p]++
	}
	for _, p := range l.order[l.next:] {
		seen[p]++
	}
	for p, times := range seen {
		if times > 1 {
			t.Fatalf("piece %d is %d times among those to lease and leased", p, times)
		}
	}
}

// Whatever the peers do, the books balance, no claim of another settles a lease whose lessee has
// nothing, and the exclusive phase ends by time.
func TestRevealerInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		pieces := rapid.IntRange(1, 60).Draw(t, "pieces")
		l := newLeasing(pieces, rnd)
		for range rapid.IntRange(2, 12).Draw(t, "peers") {
			h := &habits{asks: rnd.IntN(5) > 0, slow: rnd.IntN(4) == 0, one: rnd.IntN(4) == 0, other: rnd.IntN(4) == 0, lies: rnd.IntN(4) == 0}
			if rnd.IntN(4) > 0 {
				h.relay = 20 * rnd.Float64()
			}
			l.join(h)
		}
		bound := phaseTime + 2*time.Minute + time.Duration(slack*float64(pieces)/10*float64(time.Second))
		began := l.now
		for l.exclusive {
			if rnd.IntN(50) == 0 {
				h := l.peers[rnd.IntN(len(l.peers))]
				if !h.gone {
					had := map[int]bool{}
					for p, x := range l.leases {
						had[p] = x.to == h.conn
					}
					l.leave(h)
					l.audit(t)
					for p, his := range had {
						if his && l.leases[p] != nil {
							t.Fatalf("piece %d is still leased to a peer that is gone", p)
						}
					}
				}
			}
			if h := l.peers[rnd.IntN(len(l.peers))]; rnd.IntN(50) == 0 {
				h.deaf = !h.deaf
			}
			before := map[int]bool{} // leases whose lessee has nothing yet
			for p, x := range l.leases {
				before[p] = x.out == 0 && !x.given
			}
			for _, h := range l.peers { // everybody claims everything
				if !h.gone && !h.deaf && rnd.IntN(30) == 0 {
					for p := range pieces {
						if x := l.leases[p]; x == nil || x.to != h.conn {
							l.revealer.has(h.conn, p, l.now)
						}
					}
				}
			}
			for p, bare := range before {
				if bare && l.leases[p] == nil {
					t.Fatalf("the lease of piece %d was settled by another's claim", p)
				}
			}
			l.step()
			l.audit(t)
			for _, h := range l.peers {
				if l.exclusive && h.deaf && !h.gone && len(l.revealer.peers[h.conn].leases) > 0 {
					t.Fatal("a peer that takes nothing keeps leases")
				}
			}
			if l.now.Sub(began) > bound {
				t.Fatalf("the exclusive phase lasts for %v", l.now.Sub(began))
			}
		}
		for _, h := range l.peers {
			for p := range pieces {
				if !h.gone && !l.allows(h.conn, p) {
					t.Fatalf("piece %d is still withheld", p)
				}
			}
		}
	})
}

// Among peers that pass on, each piece leaves the origin once.
func TestEachPieceLeavesOnce(t *testing.T) {
	l := newLeasing(200, rand.New(rand.NewPCG(1, 2)))
	for range 8 {
		l.join(&habits{asks: true, relay: 20})
	}
	for l.exclusive {
		l.step()
		l.audit(t)
	}
	var sent int64
	for _, n := range l.sentOf {
		sent += n
	}
	if l.left != 0 || sent > 204*leasePiece {
		t.Errorf("%d pieces did not leave, and %.2f copies did, want one of each", l.left, float64(sent)/(200*leasePiece))
	}
	if took := l.now.Sub(time.Unix(1e9, 0)); took > 22*time.Second {
		t.Errorf("one copy took %v, want 20 s at this rate", took)
	}
}

// newCrowd is a crowd that is just large enough to be left alone.
func newCrowd(pieces int) *leasing {
	l := newLeasing(pieces, rand.New(rand.NewPCG(1, 2)))
	for range manyLeechers + 1 {
		l.join(&habits{asks: true, relay: 5})
	}
	return l
}

// giveAll goes on until every piece has left.
func (l *leasing) giveAll(t *testing.T) {
	for l.left > 0 {
		l.step()
		l.audit(t)
	}
}

// A large crowd that has everything between its machines is left to itself for as long as it gets on, and no longer.
func TestALargeCrowdIsLeftAlone(t *testing.T) {
	l := newCrowd(100)
	sent := func() (n int64) {
		for _, k := range l.sentOf {
			n += k
		}
		return n
	}
	l.giveAll(t)
	for range 20 {
		l.step()
	}
	if !l.exclusive || sent() > 120*leasePiece {
		t.Errorf("while the crowd gets on it is given %.2f copies (leases: %v), want about one", float64(sent())/(100*leasePiece), l.exclusive)
	}
	for _, h := range l.peers {
		h.relay = 0
	}
	for range 60 {
		l.step()
	}
	if l.exclusive {
		t.Error("a crowd that does not get on is left alone")
	}
}

// A large crowd is not left alone when it gives one of its machines nothing.
func TestNobodyIsLeftOutOfACrowd(t *testing.T) {
	l := newCrowd(400)
	out := l.join(&habits{asks: true})
	l.giveAll(t)
	l.step()
	if !l.exclusive || !l.alone {
		t.Fatal("a crowd that gets on is not left alone")
	}
	l.shut = out // nobody gives it anything from now on
	for range 60 {
		l.step()
	}
	if l.exclusive {
		t.Error("a machine that others give nothing gets nothing from the origin either")
	}
}

// A lessee that gets and passes on its pieces keeps them, however long the queue is.
func TestAQueueIsNoStall(t *testing.T) {
	l := newLeasing(100, rand.New(rand.NewPCG(3, 4)))
	l.crowd.room = 100 * leasePiece // all of it is leased at once
	a := l.join(&habits{})
	b := l.join(&habits{})
	a.open, b.open = false, false
	l.step()
	var queue []*lease
	for _, x := range l.leases {
		queue = append(queue, x)
	}
	if len(queue) != 100 {
		t.Fatalf("%d leases, want all", len(queue))
	}
	slices.SortFunc(queue, func(x, y *lease) int { return len(l.revealer.peers[x.to].leases) - len(l.revealer.peers[y.to].leases) })
	for i, x := range queue[:50] { // 25 s for half of it, each seen elsewhere half a second after it left
		l.now = l.now.Add(500 * time.Millisecond)
		for _, x := range queue {
			l.asked(x.to, x.piece, leasePiece, l.now)
		}
		l.sent(x.to, x.piece, x.bytes, x.bytes, l.now)
		if i > 0 {
			before := queue[i-1]
			l.revealer.has(map[*conn]*conn{a.conn: b.conn, b.conn: a.conn}[before.to], before.piece, l.now)
		}
		l.plan(l.now, l.crowd)
		l.audit(t)
	}
	if len(l.returned) > 0 {
		t.Errorf("%d leases were taken from peers that were at work", len(l.returned))
	}
	for _, r := range l.revealer.peers {
		if !r.penalty.IsZero() {
			t.Error("a peer at work was penalised")
		}
	}
}

// Each way of doing nothing costs a lease, by time.
func TestLeasesEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		h    habits
		most time.Duration
	}{
		{"never asks", habits{}, askTime + stallTime},
		{"takes a block in two seconds", habits{asks: true, slow: true}, 12 * time.Second},
		{"does not pass on", habits{asks: true}, 2*stallTime + 2*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLeasing(1000, rand.New(rand.NewPCG(5, 6)))
			bad := l.join(&c.h)
			for range 3 {
				l.join(&habits{asks: true, relay: 50})
			}
			bad.open = false
			began := l.now
			for l.revealer.peers[bad.conn].penalty.IsZero() {
				if len(l.revealer.peers[bad.conn].leases) == 0 {
					began = l.now
				}
				l.step()
				l.audit(t)
				if !l.exclusive {
					t.Fatal("the phase ended before")
				}
				if l.now.Sub(began) > c.most+2*time.Second {
					t.Fatalf("it still has leases after %v", l.now.Sub(began))
				}
			}
		})
	}
}

// Who takes no longer than all others to pass on is not in the way: of large pieces, and among very many, all take long.
func TestPatienceGrowsWithWhatAllTake(t *testing.T) {
	l := newLeasing(100, rand.New(rand.NewPCG(3, 4)))
	a, b := l.join(&habits{}), l.join(&habits{})
	a.open, b.open = false, false
	// lease has the next piece leased, sent, and seen elsewhere after a while, and says whether it was given back.
	lease := func(p int, after time.Duration) (lost bool) {
		x := l.grant(a.conn, p, leasePiece, l.now)
		l.asked(a.conn, p, leasePiece, l.now)
		l.sent(a.conn, p, x.bytes, x.bytes, l.now)
		l.revealer.has(a.conn, p, l.now)
		before := len(l.returned)
		for range after / (100 * time.Millisecond) {
			l.now = l.now.Add(100 * time.Millisecond)
			l.review(l.now, 100*time.Millisecond, l.crowd)
		}
		l.revealer.has(b.conn, p, l.now)
		return len(l.returned) > before
	}
	if lease(0, stallTime-time.Second) || !lease(1, stallTime+time.Second) {
		t.Error("at first a piece is not given back when it was not seen elsewhere for stallTime")
	}
	for p := range 30 {
		lease(2+p, stallTime-time.Second)
	}
	if lease(40, 2*stallTime-time.Second) {
		t.Error("a piece was given back that took little more than all others")
	}
	if !lease(41, 4*stallTime) {
		t.Error("a piece was not given back that took much more than all others")
	}
	for p := range 40 {
		lease(42+p, time.Minute)
	}
	if got := l.patience(); got != stallMost {
		t.Errorf("where nobody passes on, a lessee has %v, want %v at most", got, stallMost)
	}
}

// Peers that cannot reach each other end the phase soon: the origin gives to each what it asks.
func TestNobodyPassesOn(t *testing.T) {
	l := newLeasing(1000, rand.New(rand.NewPCG(7, 8)))
	for range 5 {
		l.join(&habits{asks: true})
	}
	began := l.now
	for l.exclusive {
		l.step()
		l.audit(t)
	}
	if took := l.now.Sub(began); took > relayTime+2*time.Second {
		t.Errorf("it took %v to see that nobody passes on", took)
	}
}

// A swarm of one needs no leases; when a second comes the phase begins again.
func TestAloneAgain(t *testing.T) {
	l := newLeasing(100, rand.New(rand.NewPCG(9, 1)))
	a := l.join(&habits{asks: true, relay: 5})
	if l.exclusive || !l.allows(a.conn, 3) {
		t.Error("a single leecher is not shown everything")
	}
	b := l.join(&habits{asks: true, relay: 5})
	if !l.exclusive {
		t.Fatal("two leechers are no crowd")
	}
	l.step()
	l.leave(b)
	l.step()
	l.audit(t)
	if l.exclusive || l.over || len(l.leases) > 0 {
		t.Errorf("alone again: exclusive %v, over %v, %d leases", l.exclusive, l.over, len(l.leases))
	}
	l.join(&habits{asks: true, relay: 5})
	if !l.exclusive {
		t.Error("a new second leecher does not begin the phase again")
	}
}

// What the first leecher has asked for while it was alone stays its own when a second comes; the rest is leased, so
// that it can be taken back from it. When all have gone nothing is anybody's.
func TestFirstComerKeepsWhatItAskedFor(t *testing.T) {
	l := newLeasing(100, rand.New(rand.NewPCG(4, 2)))
	a := l.join(&habits{asks: true, relay: 5})
	l.asked(a.conn, 3, leasePiece, l.now)
	b := l.join(&habits{asks: true, relay: 5})
	if l.untouched(3) || !l.untouched(4) {
		t.Errorf("asked for: piece 3 untouched %v, piece 4 %v", l.untouched(3), l.untouched(4))
	}
	for range 20 {
		l.step()
		l.audit(t)
	}
	if x := l.leases[3]; x != nil {
		t.Errorf("a piece that is on its way to one peer was leased to another: %+v", x)
	}
	l.leave(a)
	l.leave(b)
	if l.touched.set != 0 {
		t.Errorf("%d pieces are still asked for by those who have gone", l.touched.set)
	}
}

// What waits behind other leases of a slow line goes to one that has fetched its own, and for what is on its way to it
// at last nobody waits.
func TestASlowLineIsNotWaitedFor(t *testing.T) {
	l := newLeasing(40, rand.New(rand.NewPCG(1, 2)))
	fast := l.join(&habits{asks: true, relay: 0.5})
	l.join(&habits{asks: true, relay: 0.5, slow: true, one: true})
	begin := l.now
	for l.exclusive {
		l.step()
		l.audit(t)
		if l.now.Sub(begin) > time.Minute {
			t.Fatal("the origin still waits")
		}
	}
	if took := l.now.Sub(begin); took > 8*time.Second { // it has 4 s of work; a piece takes the slow one 8 s
		t.Errorf("the origin was an ordinary seed after %v", took)
	}
	lacks := slices.DeleteFunc(slices.Clone(fast.has), func(has bool) bool { return has })
	if len(lacks) > 3 {
		t.Errorf("the fast one lacks %d pieces of 40", len(lacks))
	}
}

// Of what a machine of ours fetches slowly, what it has yet to ask for goes to another, and is hidden from it.
func TestSlowLesseesHaveNoQueue(t *testing.T) {
	for _, c := range []struct {
		name  string
		asked []int
		moves bool
		other bool
		goes  []int
	}{
		{"what is behind what it fetches", []int{0}, true, false, []int{1}},
		{"what is before that", []int{1}, true, false, []int{0}},
		{"it fetches nothing", []int{0}, false, false, nil},
		{"it has asked for all", []int{0, 1}, true, false, nil},
		{"it is not Shoal", []int{0}, true, true, nil},
	} {
		l := newLeasing(10, rand.New(rand.NewPCG(1, 2)))
		h, quick := l.join(&habits{other: c.other}), l.join(&habits{})
		l.crowd.room = 2 * leasePiece
		slices.Sort(l.order)
		l.next = 2
		for p := range 2 {
			l.grant(h.conn, p, leasePiece, l.now)
		}
		for _, p := range c.asked {
			l.asked(h.conn, p, leasePiece, l.now)
		}
		l.now = l.now.Add(l.crowd.long())
		if c.moves {
			l.sent(h.conn, c.asked[0], 16<<10, leasePiece, l.now)
		}
		if l.plan(l.now, l.crowd); len(l.hidden) > 0 {
			t.Errorf("%s: something is taken after %v, want a moment more", c.name, l.crowd.long())
		}
		l.now = l.now.Add(tickTime)
		l.plan(l.now, l.crowd)
		l.audit(t)
		var goes []int
		for _, g := range l.hidden {
			if goes = append(goes, g.piece); g.to != h.conn || l.leases[g.piece] == nil || l.leases[g.piece].to != quick.conn {
				t.Errorf("%s: piece %d is taken, and not leased to the other", c.name, g.piece)
			}
		}
		if !slices.Equal(goes, c.goes) {
			t.Errorf("%s: pieces %v are taken, want %v", c.name, goes, c.goes)
		}
	}
}

// Nobody waits for a slow machine of ours to fetch the last of all.
func TestTheLastIsNotWaitedFor(t *testing.T) {
	for other, want := range map[bool]bool{false: true, true: false} {
		l := newLeasing(2, rand.New(rand.NewPCG(1, 2)))
		h := l.join(&habits{other: other})
		l.join(&habits{})
		l.next = 2
		for p := range 2 {
			l.grant(h.conn, p, leasePiece, l.now)
			l.asked(h.conn, p, leasePiece, l.now)
		}
		l.now = l.now.Add(l.crowd.long())
		if _, done := l.plan(l.now, l.crowd); done {
			t.Error("the phase is over before it is time")
		}
		l.now = l.now.Add(tickTime)
		if _, done := l.plan(l.now, l.crowd); done != want {
			t.Errorf("the phase is over: %v, want %v; the slow one is Shoal: %v", done, want, !other)
		}
	}
	if d := (crowd{room: 1}).long(); d != askTime {
		t.Errorf("who fetches over a line that is not known is slow after %v, want %v", d, askTime)
	}
}

// What an origin takes from who is slow it takes back by name, and shows to another.
func TestTakenIsHidden(t *testing.T) {
	b, cs := crowdBench(t, 40, 2)
	slow, quick := cs[0], cs[1]
	now := b.now()
	b.reveal = newRevealer(40, b.rnd)
	for p := range 40 {
		b.owns(p)
	}
	for _, c := range cs {
		c.introduced, c.v2, c.theirDontHave = true, true, 3
		c.open = !b.reveal.joins(c, len(cs), now)
	}
	b.lines[away].rate = 10 << 20
	b.lease(now)
	var taken []int
	for p, l := range b.reveal.leases {
		if l.to != slow {
			b.reveal.sent(quick, p, l.bytes, l.bytes, now)
			continue
		}
		l.at = now.Add(-time.Minute)
		if taken = append(taken, p); len(taken) == 1 {
			l.asked = true
		}
	}
	b.reveal.peers[slow].moved = now
	told, _ := slow.out.take(1 << 20)
	quick.out.take(1 << 20)
	b.reveal.planned = time.Time{}
	for range 5 { // maxTries of what was given back each time
		b.lease(now)
	}
	hidden, _ := slow.out.take(1 << 20)
	shown, _ := quick.out.take(1 << 20)
	if len(taken) < 2 {
		t.Fatalf("the slow one had %d leases, want some", len(taken))
	}
	for _, p := range taken[1:] {
		have, not := wire.AppendIndex(nil, wire.Have, uint32(p)), wire.AppendDontHave(nil, 3, uint32(p))
		if !bytes.Contains(told, have) || !bytes.Contains(hidden, not) || !bytes.Contains(shown, have) || slow.revealed.has(p) {
			t.Errorf("piece %d was not shown to the slow one, hidden from it, and shown to the other", p)
		}
	}
}

// Who has had few leases has passed on few, and is not given few for that.
func TestFewLeasesAreNoReasonForFew(t *testing.T) {
	l := newLeasing(1000, rand.New(rand.NewPCG(1, 2)))
	few, many := l.join(&habits{}), l.join(&habits{})
	set := func(h *habits, leases, spread int) {
		r := l.revealer.peers[h.conn]
		r.leases, r.spread, r.busy = slices.Repeat([]*lease{{at: l.now, to: h.conn}}, leases), spread, 20*time.Second
	}
	set(few, 2, 33)  // each takes 1.2 s to be seen elsewhere
	set(many, 3, 49) // the same
	if c, _ := l.lessee(l.now, 0, l.crowd); c != few.conn {
		t.Error("the next lease goes to the one that has more")
	}
	set(many, 3, 200) // it passes on much more
	if c, _ := l.lessee(l.now, 0, l.crowd); c != many.conn {
		t.Error("the next lease goes to the slower one")
	}
}

// A peer that was in the way once is soon given leases again, and one that always is is not.
func TestPenaltiesGrow(t *testing.T) {
	l := newLeasing(10, rand.New(rand.NewPCG(1, 2)))
	a := l.join(&habits{})
	l.join(&habits{})
	r := l.revealer.peers[a.conn]
	var last time.Duration
	for range 6 {
		l.punish(r, l.now)
		d := r.penalty.Sub(l.now)
		if last == 0 && d != penaltyFirst || d < last || d > penaltyTime {
			t.Errorf("a penalty of %v after one of %v", d, last)
		}
		last = d
	}
	if last != penaltyTime {
		t.Errorf("the last penalty is %v, want %v", last, penaltyTime)
	}
	l.exclusive = true
	x := l.grant(a.conn, 0, leasePiece, l.now)
	l.revealer.sent(a.conn, 0, leasePiece, leasePiece, l.now)
	l.revealer.has(l.peers[1].conn, x.piece, l.now)
	if l.punish(r, l.now); r.penalty.Sub(l.now) != penaltyFirst {
		t.Errorf("a penalty of %v for one that has passed something on since, want %v", r.penalty.Sub(l.now), penaltyFirst)
	}
}
