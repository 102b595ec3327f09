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
	"time"

	"github.com/dustin/go-humanize"

	"shoal/seeder"
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
	Copies   float64 `json:"copies"` // everything sent / content
	Error    string  `json:"error,omitempty"`
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
	st := Status{Version: s.cfg.Version, Role: s.role(), Site: s.cfg.Swarm.Site, Port: s.Port(), DHT: s.DHT(),
		Uptime: time.Since(s.started).Round(time.Millisecond).Seconds(), Contents: []ContentStatus{}}
	for _, c := range s.seeder.Contents() {
		st.Contents = append(st.Contents, s.contentStatus(c))
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
	if err := c.Gone(); err != nil {
		st.Error = err.Error()
	}
	return st
}

// public is what the open port serves over HTTP.
func (s *Server) public() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Shoal/"+s.cfg.Version)
		switch path := r.URL.Path; {
		case s.tracker != nil && (path == "/announce" || path == "/scrape"):
			s.tracker.ServeHTTP(w, r)
		case path == "/":
			s.page(w)
		case path == "/healthz":
			s.health(w)
		case path == "/api/v1/status":
			writeJSON(w, s.Status())
		default:
			s.seeder.ServeHTTP(w, r)
		}
	})
}

// control is what the control socket serves: the status, for now.
func (s *Server) control() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/status" {
			http.NotFound(w, r)
			return
		}
		writeJSON(w, s.Status())
	})
}

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
<p>{{.DHT}}{{with .DHT.Stats}}{{with .IPv4}}; {{.Good}} nodes over IPv4{{end}}{{with .IPv6}}; {{.Good}} over IPv6{{end}}{{end}}.</p>
{{with .Tracker}}<p>Tracker: {{.Swarms}} swarms, {{.Seeds}} seeds, {{.Leechers}} leechers.</p>{{end}}
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
