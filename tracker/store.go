package tracker

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const shardCount = 64

// store holds all swarms in memory.
type store struct {
	settled             time.Duration
	maxPeers, maxSwarms int64
	peers, swarms       atomic.Int64
	shards              [shardCount]shard
}

// shard holds the swarms whose info hashes begin alike.
type shard struct {
	mu        sync.Mutex
	swarms    swarms
	announces [doors]uint64 // counted here, where the lock is held anyway
	touched   uint32        // nobody reads it: see touch
	_         [64]byte      // neighbours do not share a cache line
}

// swarm is all peers of one info hash. Those that named a site stand a second time in its group, and so do those at home.
type swarm struct {
	hash       [20]byte
	allowed    uint32            // the version of the allow list that was last seen to have it; 0: none
	sites      map[uint32]*group // nil while nobody has named one
	home       *group            // the peers on the tracker's own machine, see home.go; nil: none
	born       uint32
	downloaded uint32
	group
}

// group is peers of both families.
type group struct {
	v4 table[[4]byte]
	v6 table[[16]byte]
}

func (g *group) len() int      { return g.v4.len() + g.v6.len() }
func (g *group) leechers() int { return int(g.v4.wanting + g.v6.wanting) }
func (g *group) seeds() int    { return int(g.v4.seeds + g.v6.seeds) }

func v4of(g *group) *table[[4]byte]  { return &g.v4 }
func v6of(g *group) *table[[16]byte] { return &g.v6 }

func (sw *swarm) counts() counts {
	complete := sw.seeds()
	return counts{complete: complete, incomplete: sw.len() - complete, downloaders: sw.leechers(), downloaded: sw.downloaded}
}

func newStore(c Config) *store {
	return &store{settled: c.Interval, maxPeers: int64(c.MaxPeers), maxSwarms: int64(c.MaxSwarms)}
}

// shard picks by the hash's first byte. Whoever crafts info hashes can crowd one shard, which costs parallelism and nothing else.
func (st *store) shard(hash *[20]byte) *shard { return &st.shards[hash[0]%shardCount] }

// gate says which info hashes are served: all if allow is nil. What was allowed once is not asked again before version changes, unless that is 0.
type gate struct {
	allow   func(hash [20]byte) bool
	version uint32
}

// announce carries out r and fills a, whose slices it reuses. False: the info hash is not served.
func (st *store) announce(now uint32, d door, r *request, a *answer, g gate) bool {
	a.reset()
	random := rand.Uint64()
	sh := st.shard(&r.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms.get(&r.hash)
	if g.allow != nil && (sw == nil || sw.allowed != g.version || g.version == 0) {
		sh.mu.Unlock() // for as long as it calls out
		allowed := g.allow(r.hash)
		sh.mu.Lock()
		if !allowed {
			return false
		}
		if sw = sh.swarms.get(&r.hash); sw != nil {
			sw.allowed = g.version
		}
	}
	sh.announces[d]++
	st.carryOut(now, sh, sw, r, a, random)
	return true
}

// carryOut does it, for a swarm that may be nil, with the shard locked.
func (st *store) carryOut(now uint32, sh *shard, sw *swarm, r *request, a *answer, random uint64) {
	if r.event == eventStopped {
		if sw != nil {
			st.leave(sw, r)
			a.counts = sw.counts()
		}
		a.interval, a.minInterval = cadence(st.settled, youngFor, 0, 0, 0, 0)
		return
	}
	if sw == nil {
		if r.port != 0 && st.swarms.Load() >= st.maxSwarms {
			a.warning = warnFull
		}
		sw = &swarm{hash: r.hash, born: now}
		if r.port != 0 && a.warning == "" {
			sh.swarms.add(sw)
			st.swarms.Add(1)
		}
	}
	sh.touched += sw.touch(r, random)
	leechers := sw.leechers()
	if r.kind() == leecher {
		leechers++
	}
	a.interval, a.minInterval = cadence(st.settled, now-sw.born, leechers, sw.len(), int(st.peers.Load()), uint32(random))
	if r.port != 0 && a.warning == "" {
		if !st.join(sw, r, r.kind(), now+lifetime(a.interval), uint32(random>>32)) {
			a.warning = warnFull
		}
	}
	a.counts = sw.counts()
	sw.answer(now, r, random, a)
}

// touch looks at the three places in the swarm's memory that the answer will need, all at once: the processor then waits for them together.
// One after the other they were a quarter of the tracker's own time.
func (sw *swarm) touch(r *request, random uint64) uint32 {
	if !r.from.Is4() {
		addr := r.from.As16()
		return sw.v6.touch(&addr, r.port, random)
	}
	addr := r.from.As4()
	return sw.v4.touch(&addr, r.port, random)
}

func (t *table[A]) touch(addr *A, port uint16, random uint64) (x uint32) {
	wants, rest := newWalks(t, true, &random)
	for _, w := range [...]*walk{&wants, &rest} {
		for i, n := w.at, min(w.n, touchSpots); n > 0; n -= min(n, spotsPerLine) {
			x += uint32(t.spots[w.base+i].port)
			if i += spotsPerLine; i >= w.n {
				i -= min(i, w.n)
			}
		}
	}
	// Last, because what comes after it cannot begin before it is known where the tag is.
	hash := hashOf(addr, port)
	if t.index != nil {
		x += t.index[hash&uint32(len(t.index)-1)]
	} else if i := bytes.IndexByte(t.tags, tagOf(hash)); i >= 0 {
		x += uint32(t.spots[i].port)
	}
	return x
}

const (
	spotsPerLine = 5  // of IPv4, in 64 bytes; the next line is fetched unasked
	touchSpots   = 25 // half of the peers of an answer come from each walk
)

// answer chooses the peers for r: its own family first, and up to a quarter of the other where the answer can hold both.
func (sw *swarm) answer(now uint32, r *request, random uint64, a *answer) {
	who := asker{id: r.id, wants: r.wants(), local: r.from.IsLoopback(), ids: r.ids, site: r.site, now: now, random: random}
	if sw.home != nil && !who.local {
		sw.answerHome(&who, a)
	}
	var site4 *table[[4]byte]
	var site6 *table[[16]byte]
	if g := sw.sites[r.site]; r.site != 0 && g != nil {
		site4, site6 = &g.v4, &g.v6
	}
	other := 0
	if r.from.Is4() {
		if r.families {
			other = min(r.want/4, sw.v6.len())
		}
		choose(&sw.v4, site4, endpoint[[4]byte]{r.from.As4(), r.port}, &who, r.want-other, &a.v4)
		if r.families {
			choose(&sw.v6, site6, endpoint[[16]byte]{}, &who, r.want-len(a.v4.peers), &a.v6)
		}
		return
	}
	if r.families {
		other = min(r.want/4, sw.v4.len())
	}
	choose(&sw.v6, site6, endpoint[[16]byte]{r.from.As16(), r.port}, &who, r.want-other, &a.v6)
	if r.families {
		choose(&sw.v4, site4, endpoint[[4]byte]{}, &who, r.want-len(a.v6.peers), &a.v4)
	}
}

// join lists the sender of r, and leave forgets it.
func (st *store) join(sw *swarm, r *request, k kind, expires, random uint32) bool {
	if r.from.Is4() {
		p := newPeer(r.from.As4(), r.port, k, r.from.IsLoopback(), expires, r.id, r.site)
		return join(st, sw, v4of, &p, r.event, random)
	}
	p := newPeer(r.from.As16(), r.port, k, r.from.IsLoopback(), expires, r.id, r.site)
	return join(st, sw, v6of, &p, r.event, random)
}

func (st *store) leave(sw *swarm, r *request) {
	if r.from.Is4() {
		leave(st, sw, v4of, endpoint[[4]byte]{r.from.As4(), r.port}, r.id)
	} else {
		leave(st, sw, v6of, endpoint[[16]byte]{r.from.As16(), r.port}, r.id)
	}
}

// join lists p in sw and in its site. It does not if p is new and the tracker is full.
func join[A address](st *store, sw *swarm, of func(*group) *table[A], p *peer[A], e event, random uint32) bool {
	t := of(&sw.group)
	if e == eventNone && !p.state.local() && t.refresh(p) {
		return true
	}
	if (st.peers.Load() >= st.maxPeers || t.len() >= maxTable) && t.find(p.addr, p.port) < 0 {
		return false
	}
	old, had := t.put(*p, random)
	if !had {
		st.peers.Add(1)
	}
	if e == eventCompleted && p.state.kind() == seed && !(had && old.state.kind() == seed) {
		sw.downloaded++
	}
	if had && old.site != p.site {
		leaveSite(sw, of, &old)
	}
	if p.state.local() {
		if sw.home == nil {
			sw.home = &group{}
		}
		of(sw.home).put(*p, random)
	}
	if p.site != 0 {
		g := sw.sites[p.site]
		if g == nil {
			if sw.sites == nil {
				sw.sites = make(map[uint32]*group)
			}
			g = &group{}
			sw.sites[p.site] = g
		}
		of(g).put(*p, random)
	}
	return true
}

// leave forgets the peer at an address if it is the one with this id: a late "stopped" of a process must not remove its successor on the
// same port.
func leave[A address](st *store, sw *swarm, of func(*group) *table[A], at endpoint[A], id [20]byte) {
	t := of(&sw.group)
	i := t.find(at.addr, at.port)
	if i < 0 || t.details[i].id != id {
		return
	}
	forget(st, sw, of, i)
}

// forget removes the i-th peer of a family from the swarm and its groups.
func forget[A address](st *store, sw *swarm, of func(*group) *table[A], i int) {
	t := of(&sw.group)
	p := t.at(i)
	leaveSite(sw, of, &p)
	if p.state.local() && sw.home != nil {
		of(sw.home).drop(p.addr, p.port)
		if sw.home.len() == 0 {
			sw.home = nil
		}
	}
	t.remove(i)
	st.peers.Add(-1)
}

func leaveSite[A address](sw *swarm, of func(*group) *table[A], p *peer[A]) {
	g := sw.sites[p.site]
	if p.site == 0 || g == nil {
		return
	}
	of(g).drop(p.addr, p.port)
	if g.len() == 0 {
		delete(sw.sites, p.site)
	}
}

// sweep forgets all peers that have expired and all swarms that are empty.
func (st *store) sweep(now uint32) {
	for i := range st.shards {
		sh := &st.shards[i]
		sh.mu.Lock()
		sh.swarms.retain(func(sw *swarm) bool {
			expire(st, sw, v4of, now)
			expire(st, sw, v6of, now)
			for _, g := range sw.sites {
				g.v4.shrink()
				g.v6.shrink()
			}
			if sw.len() == 0 {
				st.swarms.Add(-1)
			}
			return sw.len() > 0
		})
		sh.mu.Unlock()
	}
}

func expire[A address](st *store, sw *swarm, of func(*group) *table[A], now uint32) {
	t := of(&sw.group)
	for i := t.len() - 1; i >= 0; i-- { // from the end: what remove moves to i was looked at before
		if t.spots[i].expires <= now {
			forget(st, sw, of, i)
		}
	}
	t.shrink()
}

func (st *store) counts(hash [20]byte) (counts, bool) {
	sh := st.shard(&hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sw := sh.swarms.get(&hash)
	if sw == nil {
		return counts{}, false
	}
	return sw.counts(), true
}

// source is where a request came from, in the form that the store knows.
func source(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
