package daemon

import (
	"encoding/hex"
	"time"

	"shoal/edgecache"
	"shoal/seeder"
	"shoal/swarm"
	"shoal/tracker"
)

// Status is what /api/v1/status answers. Sizes are bytes, rates bytes per second, times seconds.
type Status struct {
	Version  string          `json:"version"`
	Role     string          `json:"role"`
	Site     string          `json:"site,omitempty"`
	Port     int             `json:"port"`
	Uptime   float64         `json:"uptime_seconds"`
	DHT      DHTStatus       `json:"dht"`
	Contents []ContentStatus `json:"contents"`
	Tracker  *tracker.Stats  `json:"tracker,omitempty"`
	Swarms   []SwarmStatus   `json:"swarms,omitempty"`
	Limits   LimitStatus     `json:"limits"`
	// Edge is what an edge keeps of others.
	Edge *edgecache.Status `json:"edge,omitempty"`
}

// LimitStatus is the limits: rates as users write them, and what of them is in force now.
type LimitStatus struct {
	Up       string  `json:"limit_up"`
	Down     string  `json:"limit_down"`
	LAN      string  `json:"limit_lan"`
	UpNow    int64   `json:"limit_up_now"` // bytes per second; 0: none
	DownNow  int64   `json:"limit_down_now"`
	LANNow   int64   `json:"limit_lan_now"`
	MinRate  int64   `json:"min_rate"` // bytes per second; 0: none
	MaxPeers int     `json:"max_peers"`
	Budget   float64 `json:"origin_budget"` // copies of each content a day; 0: any number
}

// ContentStatus is one content of a node.
type ContentStatus struct {
	Name     string  `json:"name"`
	Infohash string  `json:"infohash"`
	Bytes    int64   `json:"bytes"`
	Peers    int     `json:"peers"`
	Seeds    int     `json:"seeds"`
	Up       int64   `json:"up_bytes_per_second"`
	SentPeer int64   `json:"sent_peers_bytes"`
	SentHTTP int64   `json:"sent_http_bytes"`
	Copies   float64 `json:"copies"`                       // everything sent / content
	Today    int64   `json:"given_today_bytes"`            // to swarms, over BitTorrent and HTTP
	Budget   int64   `json:"budget_today_bytes,omitempty"` // how much of that is allowed; none if there is no bound
	// While machines that are connected lack something, or this one does: TMin over that time, and what held it back.
	Efficiency float64            `json:"efficiency"`
	TMin       float64            `json:"t_min_seconds"`
	Held       map[string]float64 `json:"held_seconds"`
	Error      string             `json:"error,omitempty"`
	Fetch      *FetchStatus       `json:"fetch,omitempty"` // of what is being fetched; nil: all is here
}

// FetchStatus is how far a fetch is. What its content says of being held back is then of the fetch.
type FetchStatus struct {
	Wanted int64 `json:"wanted_bytes"`
	Have   int64 `json:"have_bytes"` // verified
	Down   int64 `json:"bytes_per_second"`
}

// SwarmStatus is one of the tracker's swarms.
type SwarmStatus struct {
	Infohash   string `json:"infohash"`
	Seeds      int    `json:"seeds"`
	Leechers   int    `json:"leechers"`
	Downloaded int    `json:"downloaded"`
}

// Status is how the node is doing.
func (s *Server) Status() Status {
	s.seeder.Look(time.Now())
	st := Status{Version: s.cfg.Version, Role: s.role(), Site: s.cfg.Swarm.Site, Port: s.Port(), DHT: s.DHT(),
		Uptime: time.Since(s.started).Round(time.Millisecond).Seconds(), Contents: []ContentStatus{}}
	st.Limits = s.bounds.status()
	for _, c := range s.seeder.Contents() {
		st.Contents = append(st.Contents, s.contentStatus(c))
	}
	if s.edge != nil {
		x := s.edge.Status()
		st.Edge = &x
	}
	if s.tracker != nil {
		t := s.tracker.Stats()
		st.Tracker = &t
		for _, w := range s.tracker.Top(100) {
			st.Swarms = append(st.Swarms, SwarmStatus{hex.EncodeToString(w.InfoHash[:]), w.Seeds + w.Partial, w.Leechers, w.Downloaded})
		}
	}
	return st
}

// role is the node's in JSON: a tracker without content is none of the swarm's roles.
func (s *Server) role() string {
	if s.cfg.Plain || !s.cfg.Tracker {
		return s.cfg.Swarm.Role.String()
	}
	return "tracker"
}

func (s *Server) contentStatus(c *seeder.Content) ContentStatus {
	x := c.Transfer.Stats()
	st := ContentStatus{Name: c.Name, Infohash: c.Key(), Bytes: c.Length, SentHTTP: s.seeder.Sent(c)}
	st.take(x)
	st.Today, st.Budget = c.Ration.Today(time.Now())
	if err := c.Gone(); err != nil {
		st.Error = err.Error()
	}
	return st
}

// take fills in what a transfer says of itself, beside what was sent over HTTP.
func (st *ContentStatus) take(x swarm.Stats) {
	st.Peers, st.Seeds, st.Up = x.Peers, x.Seeds, x.Up
	for _, n := range x.To {
		st.SentPeer += n
	}
	if st.Bytes > 0 {
		st.Copies = float64(st.SentPeer+st.SentHTTP) / float64(st.Bytes)
	}
	st.TMin, st.Held = float64(x.TMin().Round(time.Millisecond))/float64(time.Second), heldTimes(x)
	busy := 0.0
	for _, seconds := range st.Held {
		busy += seconds
	}
	if busy > 0 {
		st.Efficiency = min(1, float64(int(1000*st.TMin/busy))/1000)
	}
}

// heldTimes are for how many seconds a transfer was held back by what; without those that are zero.
func heldTimes(s swarm.Stats) map[string]float64 {
	m := make(map[string]float64)
	for h, d := range s.Held {
		if d > 0 {
			m[swarm.Hold(h).String()] = float64(d.Round(time.Millisecond)) / float64(time.Second)
		}
	}
	return m
}

// Status is how a node is doing that only takes part.
func (p *Peer) Status() Status {
	st := Status{Version: p.cfg.Version, Role: p.cfg.Swarm.Role.String(), Site: p.cfg.Swarm.Site, Port: p.Port(), DHT: p.DHT(),
		Uptime: time.Since(p.started).Round(time.Millisecond).Seconds(), Contents: []ContentStatus{}, Limits: p.bounds.status()}
	for _, t := range p.Transfers() {
		in := t.Torrent()
		if in == nil {
			continue // its description is yet to come
		}
		x := t.Stats()
		c := ContentStatus{Name: in.Name, Infohash: in.Key(), Bytes: in.Length}
		c.take(x)
		select {
		case <-t.Done():
		default:
			c.Fetch = &FetchStatus{Wanted: x.Wanted, Have: x.Have, Down: x.Down}
		}
		st.Contents = append(st.Contents, c)
	}
	return st
}

// status are the limits as they are shown.
func (b *bounds) status() LimitStatus {
	set, now := b.limits(), b.node.Limits()
	return LimitStatus{Up: set.Get("limit-up"), Down: set.Get("limit-down"), LAN: set.Get("limit-lan"),
		UpNow: now.Up, DownNow: now.Down, LANNow: now.LAN, MinRate: now.MinRate, MaxPeers: now.MaxPeers, Budget: set.OriginBudget}
}
