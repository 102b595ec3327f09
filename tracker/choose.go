package tracker

// asker is who a choice is made for.
type asker struct {
	id     [20]byte
	wants  bool   // pieces; who wants none gets only peers that do
	local  bool   // loopback addresses are of use: it asks over loopback
	site   uint32 // 0: none
	now    uint32
	random uint64 // the only chance in a choice
}

// choose fills out with up to n peers for the asker, taken from all (one family of a swarm) and from site (those of them in the asker's
// site; may be nil). self is the asker's own address in this family, with port 0 if it has none.
//
// The asker gets no peer twice, never itself, nobody who has expired. Who wants pieces gets seeds for up to half and other leechers for
// the rest, or more of one kind where there are too few of the other: a leecher always learns of the few seeds there are, and is never
// cut off from those it can trade with. Peers of its site come first, up to an eighth less than n: that eighth goes to others, so that
// sites do not become islands. Among equals chance decides.
func choose[A address](all, site *table[A], self endpoint[A], a *asker, n int, out []peer[A]) []peer[A] {
	f := filter[A]{id: a.id, self: self, now: a.now, local: a.local}
	random := a.random
	var near mix[A]
	if site != nil && site.len() > 0 {
		near = newMix(site, a.wants, &random)
		few := min(all.len()-site.len(), max(n/8, 1))
		out = near.take(out, n-few, &f)
		f.not = a.site
	}
	far := newMix(all, a.wants, &random)
	out = far.take(out, n-len(out), &f)
	if f.not != 0 {
		f.not = 0
		out = near.take(out, n-len(out), &f)
	}
	return out
}

// filter says who may be given to an asker.
type filter[A address] struct {
	id    [20]byte
	self  endpoint[A]
	now   uint32
	local bool
	not   uint32 // a site whose peers were given already; 0: none
}

func (f *filter[A]) passes(p *peer[A]) bool {
	switch {
	case p.expires <= f.now,
		p.local && !f.local,
		f.not != 0 && p.site == f.not,
		p.port == f.self.port && p.addr == f.self.addr,
		p.id == f.id && p.id != [20]byte{}: // the asker, known by its other address
		return false
	}
	return true
}

// mix draws from the two halves of a table.
type mix[A address] struct {
	t           *table[A]
	wants, rest walk
}

func newMix[A address](t *table[A], wants bool, random *uint64) mix[A] {
	m := mix[A]{t: t, wants: newWalk(0, int(t.wanting), draw(random))}
	if wants {
		m.rest = newWalk(int(t.wanting), len(t.peers), draw(random))
	}
	return m
}

// take appends up to k peers: first of the rest (seeds) for half of k, then leechers, then the rest again.
func (m *mix[A]) take(out []peer[A], k int, f *filter[A]) []peer[A] {
	if k <= 0 || m.t == nil {
		return out
	}
	end := len(out) + k
	out = m.drawFrom(&m.rest, out, len(out)+(k+1)/2, f)
	out = m.drawFrom(&m.wants, out, end, f)
	return m.drawFrom(&m.rest, out, end, f)
}

func (m *mix[A]) drawFrom(w *walk, out []peer[A], end int, f *filter[A]) []peer[A] {
	for len(out) < end {
		i, more := w.next()
		if !more {
			break
		}
		if p := &m.t.peers[i]; f.passes(p) {
			out = append(out, *p)
		}
	}
	return out
}

// walk visits positions in an order that chance decides, each once: from a random start in steps that share no factor with the number of
// positions. Any set of neighbours would do for an answer, but peers that stand side by side came at the same time, and a swarm in which
// each knows only its neighbours in time is a long chain.
type walk struct{ base, n, at, step, left uint32 }

// maxLooks bounds how many positions one walk visits: with very many expired or foreign peers in between, an answer may be short.
const maxLooks = 2048

func newWalk(from, to int, random uint64) walk {
	n := uint32(to - from)
	if n == 0 {
		return walk{}
	}
	return walk{
		base: uint32(from),
		n:    n,
		at:   uint32((random & 0xffffffff) * uint64(n) >> 32),
		step: strides[random>>32%uint64(len(strides))] % n,
		left: min(n, maxLooks),
	}
}

func (w *walk) next() (int, bool) {
	if w.left == 0 {
		return 0, false
	}
	w.left--
	i := w.base + w.at
	if w.at += w.step; w.at >= w.n {
		w.at -= w.n
	}
	return int(i), true
}

// strides are primes above 2^31. A table is smaller, so none divides its size, and each visits every position.
var strides = [...]uint32{
	2155679797, 2159813323, 2254146613, 2315877527, 2328726497, 2348262589, 2369179181, 2449642799,
	2537099491, 2603220121, 2615832671, 2629089877, 2735576959, 2745560969, 2767054501, 2795684029,
	2814286513, 2840975089, 2985629447, 2988200599, 3028875383, 3082469939, 3094362113, 3098573281,
	3105440323, 3138487769, 3175645861, 3202669147, 3210981251, 3257120939, 3271944583, 3288073511,
	3352813433, 3437473997, 3439565683, 3469401763, 3486879167, 3496962221, 3502981243, 3505028519,
	3515540563, 3537051163, 3538334777, 3541404901, 3600054907, 3626158967, 3783358463, 3814282943,
	3835775477, 3885647069, 3892139161, 3931168589, 3951438091, 3983251579, 3983978623, 4000855717,
	4062430859, 4068311881, 4083484397, 4089564461, 4120819033, 4203149219, 4240252763, 4287709831,
}

// draw returns the next number of a sequence and moves it on (splitmix64).
func draw(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
