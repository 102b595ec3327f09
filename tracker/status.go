package tracker

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Stats are a server's numbers at one moment; the counters count from its start.
type Stats struct {
	Swarms   int `json:"swarms"`
	Peers    int `json:"peers"`    // all addresses, seeds too
	Seeds    int `json:"seeds"`    // of these, those that have everything
	Partial  int `json:"partial"`  // of these, those that have all they want (BEP 21)
	Leechers int `json:"leechers"` // of these, those that want pieces

	AnnouncesPerSec float64 `json:"announces_per_second"` // over the last ten seconds

	AnnouncesHTTP uint64 `json:"announces_http"`
	AnnouncesUDP  uint64 `json:"announces_udp"`
	ConnectsUDP   int64  `json:"connects_udp"`
	Scrapes       int64  `json:"scrapes"`
	Refused       int64  `json:"refused"`          // announces of info hashes that are not served
	Limited       int64  `json:"limited"`          // requests beyond what one source may make
	Shared        string `json:"shared,omitempty"` // whether peers are shared with other trackers: "yes", "lost" (not at the moment), "" (with nobody)
	Malformed     int64  `json:"malformed"`        // requests that made no sense, among them those with an old connection id
}

// sizes are sums over swarms.
type sizes struct{ swarms, peers, seeds, leechers int }

func (a *sizes) add(b sizes) {
	a.swarms += b.swarms
	a.peers += b.peers
	a.seeds += b.seeds
	a.leechers += b.leechers
}

// Stats counts. It looks at each swarm, not at each peer.
func (s *Server) Stats() Stats {
	out := Stats{
		AnnouncesPerSec: s.rate.perSec(),

		ConnectsUDP: s.connects.Load(),
		Scrapes:     s.scrapes.Load(),
		Refused:     s.refused.Load(),
		Limited:     s.limited.Load(),
		Malformed:   s.malformed.Load(),
	}
	if s.share != nil {
		out.Shared = "yes"
		if s.share.lost.Load() {
			out.Shared = "lost"
		}
	}
	var all sizes
	named := map[[20]byte]sizes{} // of contents that may have several swarms
	for i := range s.store.shards {
		sh := &s.store.shards[i]
		sh.mu.Lock()
		out.AnnouncesHTTP += sh.announces[doorHTTP]
		out.AnnouncesUDP += sh.announces[doorUDP]
		for sw := range sh.swarms.all() {
			now := sizes{1, sw.len(), sw.seeds(), sw.leechers()}
			if s.config.NameOf != nil {
				if first, ok := s.config.NameOf(sw.hash); ok {
					if now.peers >= named[first].peers {
						named[first] = now
					}
					continue
				}
			}
			all.add(now)
		}
		sh.mu.Unlock()
	}
	for _, one := range named {
		all.add(one)
	}
	out.Swarms, out.Peers, out.Seeds, out.Leechers = all.swarms, all.peers, all.seeds, all.leechers
	out.Partial = out.Peers - out.Seeds - out.Leechers
	return out
}

// SwarmStats is one swarm at one moment.
type SwarmStats struct {
	InfoHash   [20]byte
	Seeds      int
	Partial    int
	Leechers   int
	Downloaded int           // how many said that they had completed it, since the tracker knows the swarm
	Age        time.Duration // for how long the tracker has known it
}

func (s *SwarmStats) peers() int { return s.Seeds + s.Partial + s.Leechers }

// Top returns up to n swarms, those with the most peers first.
func (s *Server) Top(n int) []SwarmStats {
	bigger := func(a, b SwarmStats) int {
		return cmp.Or(cmp.Compare(b.peers(), a.peers()), slices.Compare(a.InfoHash[:], b.InfoHash[:]))
	}
	now := s.now()
	var top []SwarmStats
	for i := range s.store.shards {
		sh := &s.store.shards[i]
		sh.mu.Lock()
		for sw := range sh.swarms.all() {
			if len(top) >= n && (n <= 0 || sw.len() < top[n-1].peers()) {
				continue
			}
			c := sw.counts()
			one := SwarmStats{InfoHash: sw.hash, Seeds: c.complete, Partial: c.incomplete - c.downloaders, Leechers: c.downloaders,
				Downloaded: int(c.downloaded), Age: time.Duration(now-sw.born) * time.Second}
			at, _ := slices.BinarySearchFunc(top, one, bigger)
			top = slices.Insert(top, at, one)
			top = top[:min(len(top), n)]
		}
		sh.mu.Unlock()
	}
	return top
}

// rate is how many announces per second there were lately: the counter is looked at every five seconds, and the oldest of three looks is the base.
type rate struct {
	mu   sync.Mutex
	seen [rateOver]uint64
	n    int // looks so far
}

const (
	rateEvery = 5 * time.Second
	rateOver  = 3
)

func (r *rate) count(total uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[r.n%rateOver] = total
	r.n++
}

func (r *rate) perSec() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n < 2 {
		return 0
	}
	last, first := r.n-1, max(r.n-rateOver, 0)
	return float64(r.seen[last%rateOver]-r.seen[first%rateOver]) / float64(last-first) / rateEvery.Seconds()
}

// announced is the number of announces so far.
func (st *store) announced() (n uint64) {
	for i := range st.shards {
		sh := &st.shards[i]
		sh.mu.Lock()
		for _, m := range sh.announces {
			n += m
		}
		sh.mu.Unlock()
	}
	return n
}
