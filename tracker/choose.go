package tracker

// asker is who a choice is made for.
type asker struct {
	id     [20]byte
	wants  bool   // pieces; who wants none gets only peers that do
	local  bool   // loopback addresses are of use: it asks over loopback
	ids    bool   // of the peers are wanted as well
	site   uint32 // 0: none
	now    uint32
	random uint64 // the only chance in a choice
}

// choice is some peers; ids are theirs if the asker wanted them, else nil.
type choice[A address] struct {
	peers []spot[A]
	ids   [][20]byte
}

func (c *choice[A]) reset() { c.peers, c.ids = c.peers[:0], c.ids[:0] }

// choose adds up to n peers for the asker to out, taken from all (one family of a swarm) and from site (those of them in the asker's
// site; may be nil). self is the asker's own address in this family, with port 0 if it has none.
//
// The asker gets no peer twice, never itself, nobody who has expired. Who wants pieces gets seeds for up to half and other leechers for
// the rest, or more of one kind where there are too few of the other: a leecher always learns of the few seeds there are, and is never
// cut off from those it can trade with. Peers of its site come first, up to an eighth less than n: that eighth goes to others, so that
// sites do not become islands. Among equals chance decides.
func choose[A address](all, site *table[A], self endpoint[A], a *asker, n int, out *choice[A]) {
	f := filter[A]{asker: a, self: self, mark: markOf(&a.id), named: a.id != [20]byte{}}
	random := a.random
	end := len(out.peers) + n
	var near mix[A]
	if site != nil && site.len() > 0 {
		near = newMix(site, a.wants, &random)
		few := min(all.len()-site.len(), max(n/8, 1))
		near.take(out, end-few, &f)
		f.not = a.site
	}
	far := newMix(all, a.wants, &random)
	far.take(out, end, &f)
	if f.not != 0 {
		f.not = 0
		near.take(out, end, &f)
	}
}

// filter says who may be given to an asker.
type filter[A address] struct {
	*asker
	self  endpoint[A]
	mark  uint8
	named bool   // it has an id
	not   uint32 // a site whose peers were given already; 0: none
}

// passes looks at the detail of very few peers.
func (f *filter[A]) passes(p *spot[A], d *detail) bool {
	if p.mark == f.mark && f.named && d.id == f.id { // the asker, known by its other address
		return false
	}
	return p.port != f.self.port || p.addr != f.self.addr
}

// mix draws from the two halves of a table.
type mix[A address] struct {
	t           *table[A]
	wants, rest walk
}

func newMix[A address](t *table[A], wants bool, random *uint64) mix[A] {
	m := mix[A]{t: t}
	m.wants, m.rest = newWalks(t, wants, random)
	return m
}

// newWalks begins the walks over the two halves; who wants nothing does not need the second.
func newWalks[A address](t *table[A], both bool, random *uint64) (wants, rest walk) {
	wants = newWalk(0, int(t.wanting), draw(random))
	if both {
		rest = newWalk(int(t.wanting), len(t.spots), draw(random))
	}
	return wants, rest
}

// take adds peers to out until there are end: first of the rest (seeds) for half of what is missing, then leechers, then the rest again.
func (m *mix[A]) take(out *choice[A], end int, f *filter[A]) {
	missing := end - len(out.peers)
	if missing <= 0 || m.t == nil {
		return
	}
	m.drawFrom(&m.rest, out, len(out.peers)+(missing+1)/2, f)
	m.drawFrom(&m.wants, out, end, f)
	m.drawFrom(&m.rest, out, end, f)
}

func (m *mix[A]) drawFrom(w *walk, out *choice[A], end int, f *filter[A]) {
	var never state // what must not be in a state
	if !f.local {
		never = stateLocal
	}
	for len(out.peers) < end && w.left > 0 {
		from, to := w.run(end - len(out.peers))
		spots, details := m.t.spots[from:to], m.t.details[from:to]
		for i := range spots {
			p := &spots[i]
			if p.expires <= f.now || p.state&never != 0 || (p.mark == f.mark || p.port == f.self.port) && !f.passes(p, &details[i]) ||
				f.not != 0 && details[i].site == f.not {
				continue
			}
			out.peers = append(out.peers, *p)
			if f.ids {
				out.ids = append(out.ids, details[i].id)
			}
		}
	}
}

// walk visits positions one after the other, each once, from a start that chance decides. Chance has also ordered the table, so neighbours
// have nothing in common; and they lie side by side in memory, so that fifty peers cost ten cache misses, not fifty.
type walk struct{ base, n, at, left uint32 }

// maxLooks bounds how many positions one walk visits: with very many expired or foreign peers in between, an answer may be short.
const maxLooks = 2048

func newWalk(from, to int, random uint64) walk {
	n := uint32(to - from)
	return walk{base: uint32(from), n: n, at: uint32((random & 0xffffffff) * uint64(n) >> 32), left: min(n, maxLooks)}
}

// run visits up to k more positions, from the first to before the last.
func (w *walk) run(k int) (from, to int) {
	k = min(k, int(w.left), int(w.n-w.at))
	from = int(w.base + w.at)
	w.left -= uint32(k)
	if w.at += uint32(k); w.at == w.n {
		w.at = 0
	}
	return from, from + k
}

// draw returns the next number of a sequence and moves it on (splitmix64).
func draw(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
