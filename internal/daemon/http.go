package daemon

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

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
	// While machines that are connected lack something: TMin over that time, and what held it back.
	Efficiency float64            `json:"efficiency"`
	TMin       float64            `json:"t_min_seconds"`
	Held       map[string]float64 `json:"held_seconds"`
	Error      string             `json:"error,omitempty"`
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
	set, now := s.bounds.limits(), s.node.Limits()
	st.Limits = LimitStatus{Up: set.Get("limit-up"), Down: set.Get("limit-down"), LAN: set.Get("limit-lan"),
		UpNow: now.Up, DownNow: now.Down, LANNow: now.LAN, MaxPeers: now.MaxPeers, Budget: set.OriginBudget}
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
	st := ContentStatus{Name: c.Name, Infohash: c.Key(), Bytes: c.Length, Peers: x.Peers, Seeds: x.Seeds, Up: x.Up, SentHTTP: s.seeder.Sent(c)}
	for _, n := range x.To {
		st.SentPeer += n
	}
	if c.Length > 0 {
		st.Copies = float64(st.SentPeer+st.SentHTTP) / float64(c.Length)
	}
	st.TMin, st.Held = float64(x.TMin().Round(time.Millisecond))/float64(time.Second), heldTimes(x)
	busy := 0.0
	for _, seconds := range st.Held {
		busy += seconds
	}
	if busy > 0 {
		st.Efficiency = min(1, float64(int(1000*st.TMin/busy))/1000)
	}
	st.Today, st.Budget = c.Ration.Today(time.Now())
	if err := c.Gone(); err != nil {
		st.Error = err.Error()
	}
	return st
}

// public is what the open port serves over HTTP.
func (s *Server) public() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Shoal/"+s.cfg.Version)
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(30 * time.Second)) // who sends more than a page sets another
		switch path := r.URL.Path; {
		case s.tracker != nil && s.tracker.Serves(path):
			s.tracker.ServeHTTP(w, r)
		case s.cfg.Repository != nil && seeder.RepositoryPath(path):
			s.repository.ServeHTTP(w, r)
		case s.pushes != nil && (path == seeder.PushPath || strings.HasPrefix(path, seeder.PushPath+"/")):
			s.pushes.ServeHTTP(w, r)
		case s.fleet != nil && s.fleet.serves(path):
			s.fleet.ServeHTTP(w, r)
		case path == "/":
			s.page(w)
		case path == "/healthz":
			s.health(w)
		case path == "/metrics":
			s.metrics(w)
		case path == "/api/v1/status":
			writeJSON(w, s.Status())
		case s.edge != nil:
			s.edgePublic(w, r)
		default:
			s.seeder.ServeHTTP(w, r)
		}
	})
}

// control is what the control socket serves: the status, and all that changes the node.
func (s *Server) control() http.Handler {
	mux := http.NewServeMux()
	if s.edge != nil {
		s.edgeControl(mux)
	}
	if s.fleet != nil {
		s.fleet.control(mux)
	}
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Status()) })
	mux.HandleFunc("GET "+LimitsPath, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Status().Limits) })
	mux.HandleFunc("PATCH "+LimitsPath, func(w http.ResponseWriter, r *http.Request) {
		var texts map[string]string
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&texts)
		if err == nil {
			err = s.ChangeLimits(texts)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, s.Status().Limits)
	})
	return mux
}

// LimitsPath is where the control socket answers with the limits (GET: [LimitStatus]), and takes
// changes (PATCH: an object of texts by the limits' names; 400 and a line of text if one cannot be read).
const LimitsPath = "/api/v1/limits"

func (s *Server) health(w http.ResponseWriter) {
	type shoal struct {
		Role string `json:"role"`
	}
	writeJSON(w, struct {
		OK    bool  `json:"ok"`
		Shoal shoal `json:"shoal"`
	}{true, shoal{s.role()}})
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own structs marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(b, '\n'))
}

var pageTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"size": func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
	"url":  func(s string) string { return "/" + s },
}).Parse(`<!doctype html><meta charset="utf-8"><title>Shoal</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .8em .3em 0;border-bottom:1px solid #ddd}td.n,th.n{text-align:right}</style>
<h1>Shoal {{.Role}}</h1>
<p>Up for {{printf "%.0f" .Uptime}} s on port {{.Port}}. The same as JSON: <a href="/api/v1/status">/api/v1/status</a></p>
{{if .Contents}}<table><tr><th>Content<th class=n>Size<th class=n>Peers<th class=n>Sent<th class=n>Copies<th></tr>
{{range .Contents}}<tr><td><a href="{{url .Name}}.torrent">{{.Name}}</a>{{if .Error}}<br><small>{{.Error}}</small>{{end}}<td class=n>{{size .Bytes}}<td class=n>{{.Peers}}<td class=n>{{size .SentPeer}} to peers, {{size .SentHTTP}} over HTTP<td class=n>{{printf "%.2f" .Copies}}<td><code>{{slice .Infohash 0 12}}</code></tr>
{{end}}</table>{{end}}
{{with .Edge}}<p>{{.Kept}} contents kept, {{.Fetching}} on their way: {{size .Used}} of {{size .Quota}}. {{size .Requests.Saved}} saved at the origin.</p>
<table><tr><th>Content<th class=n>Size<th></tr>
{{range .Contents}}<tr><td>{{.Name}}<td class=n>{{size .Bytes}}<td><code>{{slice .Infohash 0 12}}</code></tr>
{{end}}</table>{{end}}
<p>{{.DHT}}{{with .DHT.Stats}}{{with .IPv4}}; {{.Good}} nodes over IPv4{{end}}{{with .IPv6}}; {{.Good}} over IPv6{{end}}{{end}}.</p>
{{with .Tracker}}<p>Tracker: {{.Swarms}} swarms, {{.Seeds}} seeds, {{.Leechers}} leechers, {{printf "%.1f" .AnnouncesPerSec}} announces per second.</p>{{end}}
`))

func (s *Server) page(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if err := pageTemplate.Execute(w, s.Status()); err != nil {
		s.cfg.Log.Debug("status page", "err", err)
	}
}

// SocketName is the control socket's name in the state directory.
const SocketName = "control.sock"

// controlSocket makes the socket, for its owner alone. The lock on the directory is held, so one
// that lies there is left over from a process that was killed.
func controlSocket(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}
