package edgecache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/swarm"
)

// counters are written by many goroutines.
type counters struct {
	hits, misses, redirects        atomic.Int64 // over HTTP, counted when they end
	hitBytes, missBytes            atomic.Int64
	toPeers, toEdges               atomic.Int64
	filled, failed, mended         atomic.Int64
	rotten, scrubbed               atomic.Int64 // contents, bytes
	fromOrigin, fromEdges, fromAny atomic.Int64

	mu      sync.Mutex
	dropped map[string]Dropped // by reason
}

// served counts a response of n bytes over HTTP: to another edge, or of what was here before or came in for it.
func (c *counters) served(toEdge, was bool, n int64) {
	switch {
	case toEdge:
		c.toEdges.Add(n)
	case was:
		c.hits.Add(1)
		c.hitBytes.Add(n)
	default:
		c.misses.Add(1)
		c.missBytes.Add(n)
	}
}

// Dropped counts contents that were removed, and the bytes of disk that was.
type Dropped struct {
	Contents int64 `json:"contents"`
	Bytes    int64 `json:"bytes"`
}

func (c *counters) evicted(why string, h held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped == nil {
		c.dropped = map[string]Dropped{}
	}
	d := c.dropped[why]
	if d.Bytes += h.cost; !h.file {
		d.Contents++
	}
	c.dropped[why] = d
}

// fetched counts what a transfer brought.
func (c *counters) fetched(s swarm.Stats) {
	c.fromOrigin.Add(s.From[swarm.Origin])
	c.fromEdges.Add(s.From[swarm.Edges])
	c.fromAny.Add(s.From[swarm.LAN] + s.From[swarm.Peers])
}

// Status is how an edge is doing. Sizes are bytes.
type Status struct {
	Quota    int64              `json:"quota_bytes"`
	Used     int64              `json:"used_bytes"` // kept, being fetched, and metadata
	Kept     int                `json:"contents_kept"`
	Fetching int                `json:"contents_fetching"`
	Requests Requests           `json:"requests"`
	Fetched  Fetched            `json:"fetched"`
	Dropped  map[string]Dropped `json:"dropped"` // by reason: room, quota, withdrawn, gone
	Origins  []OriginStatus     `json:"origins"`
	Contents []ContentStatus    `json:"contents"`
	NoRoom   *Lack              `json:"no_room,omitempty"` // that is followed or pinned
	Ring     *RingStatus        `json:"ring,omitempty"`
}

// Requests counts what was asked for over HTTP, other edges apart, and what was given to peers.
type Requests struct {
	All       int64   `json:"all"`
	Hits      int64   `json:"hits"`
	Misses    int64   `json:"misses"` // served while they came in, or failed
	Redirects int64   `json:"redirects"`
	HitBytes  int64   `json:"hit_bytes"`
	MissBytes int64   `json:"miss_bytes"` // served while they came in
	PeerBytes int64   `json:"peer_bytes"`
	EdgeBytes int64   `json:"edge_bytes"` // given to other edges, either way
	HitRatio  float64 `json:"hit_ratio"`
	ByteRatio float64 `json:"byte_hit_ratio"`
	Saved     int64   `json:"saved_bytes"` // served and not got from the origin
}

// Fetched counts what came in.
type Fetched struct {
	Contents   int64 `json:"contents"`
	Failed     int64 `json:"failed"`
	Mended     int64 `json:"mended"`         // that had changed on disk
	Rotten     int64 `json:"rotten"`         // of those, that were found by reading
	Scrubbed   int64 `json:"scrubbed_bytes"` // that were read and found to be right
	FromOrigin int64 `json:"from_origin_bytes"`
	FromEdges  int64 `json:"from_edges_bytes"`
	FromPeers  int64 `json:"from_peers_bytes"`
}

// OriginStatus is an origin as the edge knows it.
type OriginStatus struct {
	URL        string    `json:"url"`
	Repository string    `json:"repository,omitempty"`
	Version    int64     `json:"version,omitempty"` // of its timestamp
	Releases   int       `json:"releases"`
	Asked      time.Time `json:"asked"`
	Error      string    `json:"error,omitempty"`
	// Fork is why the log of the repository is known to be another for others.
	Fork string `json:"fork,omitempty"`
}

// ContentStatus is a content that takes room.
type ContentStatus struct {
	Name     string  `json:"name"` // APP@VERSION, or a content's name
	Infohash string  `json:"infohash"`
	Platform string  `json:"platform,omitempty"`
	Kind     string  `json:"kind,omitempty"`       // of a release: T the tree itself, F its archive, P a patch to it
	From     string  `json:"patch_from,omitempty"` // of a patch: the version that it begins with
	Bytes    int64   `json:"bytes"`
	Disk     int64   `json:"disk_bytes"`
	State    string  `json:"state"` // whole, fetching, parts
	Have     int64   `json:"have_bytes"`
	Heat     float64 `json:"heat"` // requests, each a half-life ago counts half
	Pinned   bool    `json:"pinned"`
	Owned    bool    `json:"owned"`
	Peers    int     `json:"peers"`
	Up       int64   `json:"up_bytes_per_second"` // to peers
}

// RingStatus is the cluster.
type RingStatus struct {
	Self     string         `json:"self"`
	Replicas int            `json:"replicas"`
	Draining bool           `json:"draining"`
	Drained  bool           `json:"drained"`
	Left     *Lack          `json:"left,omitempty"`      // while it drains: what is not taken over yet
	Full     *Lack          `json:"left_full,omitempty"` // of that, what has no room at an edge that is to take it
	OnlyHere *Lack          `json:"only_here,omitempty"` // once drained: what is pinned here, and no other edge has
	Members  []MemberStatus `json:"members"`
}

// MemberStatus is an edge of the cluster, with how many contents it is to keep.
type MemberStatus struct {
	Member
	Owns int `json:"owns"`
}

// Status answers what has happened so far, and what is here.
func (e *Edge) Status() Status {
	now := e.cfg.Now()
	used, _, kept := e.shelf.usage()
	c := &e.count
	st := Status{Quota: e.cfg.Quota, Used: used, Kept: kept, Dropped: map[string]Dropped{}, Origins: []OriginStatus{}, Contents: []ContentStatus{}}
	st.Requests = Requests{Hits: c.hits.Load(), Misses: c.misses.Load(), Redirects: c.redirects.Load(), HitBytes: c.hitBytes.Load(), MissBytes: c.missBytes.Load(), PeerBytes: c.toPeers.Load(), EdgeBytes: c.toEdges.Load()}
	st.Fetched = Fetched{Contents: c.filled.Load(), Failed: c.failed.Load(), Mended: c.mended.Load(), Rotten: c.rotten.Load(), Scrubbed: c.scrubbed.Load(), FromOrigin: c.fromOrigin.Load(), FromEdges: c.fromEdges.Load(), FromPeers: c.fromAny.Load()}
	c.mu.Lock()
	for why, d := range c.dropped {
		st.Dropped[why] = d
	}
	c.mu.Unlock()
	all, _ := e.offered()
	for _, key := range e.shelf.keys() {
		h, _ := e.shelf.get(key)
		if h.file { // counted with what is used
			continue
		}
		x := ContentStatus{Name: h.name, Infohash: key, Bytes: h.bytes, Disk: h.cost, State: "parts", Heat: e.shelf.heat(key).now(now)}
		if k := all[key]; k != nil {
			x.Name, x.Platform = k.ref(), k.platform
			if k.artefact != nil {
				x.Kind, x.From = k.artefact.Kind, k.artefact.From
			}
		}
		s := e.status(key)
		x.Pinned, x.Owned = s.pinned, s.owned
		e.mu.Lock()
		c := e.contents[key]
		e.mu.Unlock()
		if c != nil {
			if t, _, _ := c.state(); t != nil {
				ts := t.Stats()
				x.State, x.Have, x.Peers, x.Up = "fetching", ts.Have, ts.Peers, ts.Up
				if !h.whole {
					st.Fetching++
					st.Fetched.add(ts)
				}
			}
		}
		if h.whole {
			x.State, x.Have = "whole", h.bytes
		}
		st.Contents = append(st.Contents, x)
	}
	st.Requests.finish(st.Fetched.FromOrigin)
	st.NoRoom = e.lack()
	for _, f := range e.feeds {
		st.Origins = append(st.Origins, f.status())
	}
	if e.ring != nil {
		st.Ring = e.ring.status()
	}
	return st
}

// add counts what a transfer has brought that is still under way.
func (f *Fetched) add(s swarm.Stats) {
	f.FromOrigin += s.From[swarm.Origin]
	f.FromEdges += s.From[swarm.Edges]
	f.FromPeers += s.From[swarm.LAN] + s.From[swarm.Peers]
}

func (r *Requests) finish(fromOrigin int64) {
	ratio := func(a, b int64) float64 {
		if b == 0 {
			return 0
		}
		return float64(int(1000*float64(a)/float64(b))) / 1000
	}
	r.All = r.Hits + r.Misses + r.Redirects
	r.HitRatio = ratio(r.Hits, r.All)
	r.ByteRatio = ratio(r.HitBytes, r.HitBytes+r.MissBytes)
	r.Saved = max(0, r.HitBytes+r.MissBytes+r.PeerBytes+r.EdgeBytes-fromOrigin)
}

func (f *feed) status() OriginStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := OriginStatus{URL: f.url.Redacted(), Asked: f.asked.UTC().Truncate(time.Second)}
	if f.catalog != nil {
		st.Repository, st.Version, st.Releases = f.catalog.id, f.catalog.version, f.catalog.releases()
	}
	if f.err != nil {
		st.Error = f.err.Error()
	}
	if f.fork != nil {
		st.Fork = f.fork.Error()
	}
	return st
}

func (r *ring) status() *RingStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := &RingStatus{Self: r.cfg.Name, Replicas: r.cfg.Replicas, Draining: r.mine.Draining, Drained: r.drained.Load(), Left: r.left, Full: r.full, OnlyHere: r.onlyHere}
	owns, all := map[string]int{}, r.all
	if all == nil { // somebody has come or gone, and it is not shared out anew yet: that is how it is going to be
		all = owners(r.keys, r.followers(), r.cfg.Replicas)
	}
	for _, own := range all {
		for _, m := range own {
			owns[m.Name]++
		}
	}
	for _, m := range r.members {
		st.Members = append(st.Members, MemberStatus{m, owns[m.Name]})
	}
	if !slices.ContainsFunc(r.members, r.isSelf) { // it has left
		st.Members = append(st.Members, MemberStatus{Member: Member{Name: r.cfg.Name, Zone: r.cfg.Zone, Follows: r.mine.Follows, Draining: true}})
	}
	return st
}
