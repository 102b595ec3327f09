package swarm

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/piece"
)

func TestRationHoldsForADay(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	r := NewRation(1000, 1.5)
	for _, c := range []struct {
		what       string
		n, reserve int64
		at         time.Time
		want       bool
	}{
		{"a copy", 1000, 500, noon, true},
		{"more than is left", 501, 0, noon, false},
		{"what is left, but is kept for others", 500, 1, noon, false},
		{"what is left", 500, 0, noon, true},
		{"one byte more", 1, 0, noon, false},
		{"before midnight", 1, 0, noon.Add(12*time.Hour - 1), false},
		{"after midnight", 1500, 0, noon.Add(12 * time.Hour), true},
		{"more on that day", 1, 0, noon.Add(13 * time.Hour), false},
		{"after the clock was set back", 1, 0, noon, false},
	} {
		if got := r.take(c.n, c.reserve, c.at); got != c.want {
			t.Errorf("%s: take(%d, %d) = %v, want %v", c.what, c.n, c.reserve, got, c.want)
		}
	}
	r.SetCopies(2)
	if given, allowed := r.Today(noon); given != 1500 || allowed != 2000 {
		t.Errorf("after a change: given %d of %d, want 1500 of 2000", given, allowed)
	}
	if r.Return(500); !r.take(1000, 0, noon) || r.take(1, 0, noon) {
		t.Error("what did not go out is not given to others, or more than that is")
	}
	r.SetCopies(0)
	if !r.take(1<<40, 0, noon) {
		t.Error("0 copies is a bound, want none")
	}
}

// What the swarm has not had once is not given over HTTP: else some piece would be missing at the end, and all would wait for it.
func TestRationKeepsTheFirstCopy(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	peer, other := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.18.0.2")
	r := NewRation(1000, 1.1)
	if r.peers = map[netip.Addr]bool{peer: false}; r.Ask(other, 101, now) == 0 {
		t.Error("101 bytes beside a swarm that has had none of 1000 are given, want that they wait: 1100 are allowed")
	}
	if w := r.Ask(other, 100, now); w != 0 {
		t.Errorf("100 bytes: wait %v, want that they are given", w)
	}
	if !r.take(400, 600, now) {
		t.Error("the swarm does not get what is kept for it")
	}
	r.met(r.peers, 500)
	if w := r.Ask(peer, 100, now); w != 0 {
		t.Errorf("100 bytes of 600, when 500 are kept: wait %v, want that they are given", w)
	}
}

// Over HTTP nobody is sent away for long, and nobody at all where there are no peers.
func TestRationOverHTTP(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	fed, starving, stranger := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("198.18.0.3")
	r := NewRation(1000, 1)
	if w := r.Ask(stranger, 1000, now); w != 0 {
		t.Fatalf("within the ration: wait %v", w)
	}
	if w := r.Ask(stranger, 1000, now); w != 0 {
		t.Errorf("without any peer: wait %v, want none", w)
	}
	r.met(map[netip.Addr]bool{fed: false, starving: true}, 0)
	ask := func(who netip.Addr, after time.Duration) time.Duration { return r.Ask(who, 100, now.Add(after)) }
	for _, c := range []struct {
		who   netip.Addr
		after time.Duration
		waits bool
	}{
		{stranger, 0, true}, {stranger, time.Second, true}, {stranger, 3 * time.Second, false},
		{stranger, 4 * time.Second, false}, {stranger, 30 * time.Second, false}, // it has shown that it has nobody else
		{stranger, 3 * time.Minute, true}, // and is asked again to show it
		{starving, 0, true}, {starving, 3 * time.Second, false}, {starving, 4 * time.Second, false},
		{fed, 0, true}, {fed, 3 * time.Second, true}, {fed, 10 * time.Second, false}, {fed, 11 * time.Second, true},
	} {
		if w := ask(c.who, c.after); w > 0 != c.waits {
			t.Errorf("%v after %v: wait %v, want waits = %v", c.who, c.after, w, c.waits)
		}
	}
	for i := range 3 * maxWaiting { // strangers without end
		r.Ask(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1, now.Add(time.Duration(i)*time.Millisecond))
	}
	if n := len(r.waiting); n > maxWaiting {
		t.Errorf("%d addresses are remembered, want %d at most", n, maxWaiting)
	}
}

// rationed is an origin whose ration is spent, and machines that exchange what they have.
type rationed struct {
	*session
	now      time.Time
	machines []*eater
	beyond   int64
}

const leaf = piece.BlockSize

// eater is a machine that lacks pieces.
type eater struct {
	*conn
	has  []bool
	rate float64 // pieces per second that it gives others
	owed float64
	dead bool
	liar bool // announces nothing
}

func newRationed(tor *piece.Torrent) *rationed {
	t := &Transfer{node: New(Config{Role: RoleOrigin}), spec: Spec{Ration: NewRation(tor.Length, 1e-9)}}
	t.id.Store(&infoHashes{v1: tor.V1, hasV1: true})
	return &rationed{session: newSession(t, tor), now: time.Unix(1e9, 0)}
}

func (r *rationed) join(e *eater) {
	e.conn = &conn{s: r.session, have: newBitset(len(e.has)), introduced: true, shoal: true, fast: true, choking: true,
		addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 1, byte(len(r.machines))}), 1)}
	e.out.notify = make(chan struct{}, 1)
	e.out.overflow = func() {}
	e.hunger.gained = r.now
	r.machines = append(r.machines, e)
	r.conns = append(r.conns, e.conn)
}

func (r *rationed) die(e *eater) {
	e.dead, e.gone = true, true
	r.conns = slices.DeleteFunc(r.conns, func(c *conn) bool { return c == e.conn })
}

func (r *rationed) got(e *eater, p int) {
	e.has[p] = true
	if !e.liar {
		r.announced(e.conn, p, r.now)
	}
}

// step lets a tenth of a second pass. The origin gives ten pieces in it at most, to those who may have them.
func (r *rationed) step() {
	r.now = r.now.Add(tickTime)
	r.tickRation(r.now)
	for _, e := range r.machines {
		if e.dead {
			continue
		}
		for e.owed += e.rate / 10; e.owed >= 1; e.owed-- {
			r.pass(e)
		}
	}
	left := 10
	for _, e := range r.machines {
		for p := range e.has {
			if left == 0 || e.dead || e.has[p] || r.rationed(e.conn) {
				continue
			}
			n := r.torrent.PieceLen(p)
			if r.affords(e.conn, upRequest{piece: uint32(p), length: uint32(n)}, r.now) {
				r.beyond += n
				left--
				if !e.liar {
					r.got(e, p)
				}
			}
		}
	}
}

// pass has e give a piece to somebody who lacks it.
func (r *rationed) pass(e *eater) {
	for _, i := range r.rnd.Perm(len(r.machines)) {
		to := r.machines[i]
		for _, p := range r.rnd.Perm(len(e.has)) {
			if to != e && !to.dead && e.has[p] && !to.has[p] {
				r.got(to, p)
				return
			}
		}
	}
}

func (r *rationed) complete() bool {
	for _, e := range r.machines {
		for _, has := range e.has {
			if !has && !e.dead && !e.liar {
				return false
			}
		}
	}
	return true
}

// While those who hold the pieces give them, nothing is given beyond the ration, however long it takes.
func TestRationHoldsWhileTheSwarmMoves(t *testing.T) {
	const pieces = 300
	tor, _, _ := makeContent(t, pieces*leaf, piece.BuildConfig{PieceLength: leaf})
	r := newRationed(tor)
	for i := range 8 {
		e := &eater{has: make([]bool, pieces), rate: 5}
		for p := range pieces {
			e.has[p] = p%8 == i
		}
		r.join(e)
	}
	for steps := 0; !r.complete(); steps++ {
		if steps > 20000 {
			t.Fatal("the swarm does not finish")
		}
		r.step()
	}
	// Chance leaves a machine without a new piece for three seconds now and then.
	if all := 8 * tor.Length; r.beyond > all/100 {
		t.Errorf("%d bytes of %d were given beyond the ration in %v, want 1 %% at most", r.beyond, all, r.now.Sub(time.Unix(1e9, 0)))
	}
}

// Whoever dies, gives nothing or lies: the others finish, in bounded time.
func TestRationNeverStopsASwarm(t *testing.T) {
	const pieces = 60
	tor, _, _ := makeContent(t, pieces*leaf, piece.BuildConfig{PieceLength: leaf})
	rapid.Check(t, func(t *rapid.T) {
		r := newRationed(tor)
		for i := range rapid.IntRange(1, 8).Draw(t, "machines") {
			e := &eater{has: make([]bool, pieces), liar: rapid.IntRange(0, 5).Draw(t, "liar") == 0}
			if rapid.Bool().Draw(t, "gives") && !e.liar {
				e.rate = 20 * rapid.Float64Range(0.1, 1).Draw(t, "rate")
			}
			for p := range pieces {
				e.has[p] = (p+i)%4 == 0 && !e.liar
			}
			r.join(e)
		}
		bound := 10000
		for steps := 0; !r.complete(); steps++ {
			if steps > bound {
				t.Fatalf("not finished after %v; %s", r.now.Sub(time.Unix(1e9, 0)), r)
			}
			if e := r.machines[r.rnd.IntN(len(r.machines))]; r.rnd.IntN(100) == 0 && !e.dead {
				r.die(e)
			}
			r.step()
		}
		for _, e := range r.machines {
			if most := int64(2*maxWindow) + 4*r.torrent.PieceLength; e.hunger.unproven > most {
				t.Fatalf("%d bytes went beyond the ration to one that announces nothing, want %d at most", e.hunger.unproven, most)
			}
		}
	})
}

func (r *rationed) String() (s string) {
	for _, e := range r.machines {
		n := 0
		for _, has := range e.has {
			if has {
				n++
			}
		}
		s += fmt.Sprintf("[%d pieces, dead %v, rate %.1f, %+v] ", n, e.dead, e.rate, e.hunger)
	}
	return s
}

// A crowd gets on with the copies that the origin may give; when it is gone, a late-comer is not left without.
func TestOriginBudget(t *testing.T) {
	t.Parallel()
	const copies = 1.25
	tor, path, want := makeContent(t, 4<<20, piece.BuildConfig{PieceLength: leaf})
	ration := NewRation(tor.Length, copies)
	origin := newMachine(t, Config{Role: RoleOrigin, LimitUp: 16 << 20})
	source := add(t, origin, Spec{Torrent: tor, Content: path, Ration: ration})
	var crowd []*machine
	var trs []*Transfer
	addrs := []string{origin.addr}
	for range 4 {
		m := newMachine(t, Config{LimitUp: 4 << 20})
		trs = append(trs, add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: addrs}))
		crowd = append(crowd, m)
		addrs = append(addrs[:len(addrs):len(addrs)], m.addr)
	}
	var sum int64
	for _, tr := range trs {
		wait(t, tr, 60*time.Second)
		sameFile(t, filepath.Join(tr.spec.Dir, "release.bin"), want)
		sum += tr.Stats().From[Origin]
	}
	given, allowed := ration.Today(time.Now())
	if given < source.Stats().To[Peers] || sum > given {
		t.Errorf("counted %d bytes, sent %d, received %d: want no more sent than counted", given, source.Stats().To[Peers], sum)
	}
	if most := allowed + allowed/50; given > most { // a machine that a busy computer leaves alone for three seconds gets a little more
		t.Errorf("%d bytes were given, want %d at most", given, most)
	}
	for _, m := range crowd {
		m.stop()
	}
	ration.exceed(allowed, time.Now()) // whatever was left
	m := newMachine(t, Config{})
	tr := add(t, m, Spec{Torrent: tor, Dir: t.TempDir(), Peers: []string{origin.addr}})
	wait(t, tr, 60*time.Second)
	sameFile(t, filepath.Join(tr.spec.Dir, "release.bin"), want)
}
